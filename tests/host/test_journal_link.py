"""What waits for a journal that is not there is bounded, and what is kept is said to the next one in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import msgspec
import pytest

from agenthost.host.journal_link import CRASHES, JournalLink, Waiting
from agenthost.journal import words
from agenthost.protocol.frames import Frames, framed


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [*socket.socketpair(), *socket.socketpair()]
    yield made
    for one in made:
        one.close()


def said(sock: socket.socket) -> list[words.FromHost]:
    frames = Frames(words.WORD_BYTES)
    sock.setblocking(False)
    read = msgspec.msgpack.Decoder(words.FromHost).decode
    found: list[words.FromHost] = []
    while True:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return found
        found += [read(frame) for frame in frames.feed(data)]


async def written(link: JournalLink) -> None:
    """All that it has to say fits into the socket's buffer: one turn of the loop."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_of_records_no_more_bytes_are_kept_than_bounded() -> None:
    waiting = Waiting(100, 1000)
    assert [waiting.add(number, 300) for number in (1, 2, 3, 4)] == [[], [], [], [1]]
    assert waiting.add(5, 5000) == [2, 3, 4], "the newest is kept, whatever it takes"
    waiting.forget({6})
    assert waiting.add(6, 900) == []


def test_the_newest_records_of_crashes_are_kept_for_a_journal_and_all_of_what_else_was_said(
    sockets: list[socket.socket],
) -> None:
    ours, theirs, door, far_door = sockets

    async def run() -> None:
        link = JournalLink(lambda word: None, lambda why: None)
        link.say(words.Clear(link.next_id(), "/a", "first"))
        for n in range(CRASHES + 7):
            link.say(words.Crashed(link.next_id(), "/a", 1, n, n + 1, 5, "exit"))
        link.connect(ours, door)
        await written(link)
        first, *crashes = said(theirs)
        assert isinstance(first, words.Clear)
        assert [one.n for one in crashes if isinstance(one, words.Crashed)] == [*range(7, CRASHES + 7)]
        theirs.send(framed(msgspec.msgpack.encode(words.Did([one.id for one in crashes]))))
        await asyncio.sleep(0)
        link.say(words.Crashed(link.next_id(), "/b", 1, 1, 999, 5, "exit"))
        await written(link)
        (last,) = said(theirs)
        assert isinstance(last, words.Crashed) and last.path == "/b"
        link.disconnect()

    asyncio.run(run())
    assert far_door.fileno() >= 0
