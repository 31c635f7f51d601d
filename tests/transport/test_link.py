"""The host's end of the link, in asyncio, with the other end played by a plain socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agenthost.transport.framing import LinkEnd, pack
from agenthost.transport.link import RouterLink

WITHIN_S = 10


class Host:
    """Keeps what the link tells; ``happened`` is a queue of it."""

    def __init__(self, backlog_bytes: int) -> None:
        ours, self.theirs = socket.socketpair()
        self.router = LinkEnd(self.theirs)
        self.happened: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        tell = self.happened.put_nowait
        self.link = RouterLink(
            ours,
            on_message=lambda *message: tell(("message", *message)),
            on_gone=lambda peer: tell(("gone", peer)),
            on_counters=lambda counters: tell(("counters", counters)),
            on_lost=lambda why: tell(("lost", why)),
            on_full=lambda peer: tell(("full", peer)),
            backlog_bytes=backlog_bytes,
        )

    def say(self, *message: Any) -> None:
        self.router.put(list(message))
        self.router.try_flush()

    async def next(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.happened.get(), WITHIN_S)


@asynccontextmanager
async def host_link(backlog_bytes: int = 1 << 20) -> AsyncIterator[Host]:
    host = Host(backlog_bytes)
    try:
        yield host
    finally:
        host.link.close()
        host.theirs.close()


def test_every_word_of_the_router_finds_its_callback() -> None:
    async def scene() -> None:
        async with host_link() as host:
            host.say("in", b"peer", 1000, 0, [b"frame"])
            host.say("gone", b"peer")
            host.say("full", b"peer")
            host.say("counters", {"received": 1})
            assert await host.next() == ("message", b"peer", 1000, 0, [b"frame"])
            assert await host.next() == ("gone", b"peer")
            assert await host.next() == ("full", b"peer")
            assert await host.next() == ("counters", {"received": 1})

    asyncio.run(scene())


def test_a_message_that_comes_byte_by_byte_comes_once_and_whole() -> None:
    async def scene() -> None:
        async with host_link() as host:
            for byte in pack(["in", b"peer", 0, 1, [b"slow"]]):
                host.theirs.send(bytes([byte]))
                await asyncio.sleep(0)
            assert await host.next() == ("message", b"peer", 0, 1, [b"slow"])
            assert host.happened.empty()

    asyncio.run(scene())


def test_what_the_host_sends_arrives_in_order_also_when_the_router_is_slow() -> None:
    async def scene() -> None:
        async with host_link(1 << 24) as host:
            for number in range(3000):
                host.link.send(b"peer", [b"%d" % number, bytes(500)])
            read: list[list[Any]] = []
            async with asyncio.timeout(WITHIN_S):
                while len(read) < 3000:
                    read += host.router.try_receive() or []
                    await asyncio.sleep(0)
            assert [message[2][0] for message in read] == [b"%d" % number for number in range(3000)]

    asyncio.run(scene())


def test_a_router_that_does_not_read_is_lost_and_the_loop_never_waits_for_it() -> None:
    async def scene() -> None:
        async with host_link(1 << 20) as host:
            for _ in range(100):
                host.link.send(b"peer", [bytes(64 * 1024)])
            what, why = await host.next()
            assert what == "lost" and "not read" in why
            assert not host.link.is_open
            host.link.send(b"peer", [b"into the void"])
            assert host.happened.empty()

    asyncio.run(scene())


def test_the_end_of_the_router_is_told_once() -> None:
    async def scene() -> None:
        async with host_link() as host:
            host.theirs.close()
            assert (await host.next())[0] == "lost"
            host.link.send(b"peer", [b"x"])
            await asyncio.sleep(0)
            assert host.happened.empty()

    asyncio.run(scene())


def test_a_router_that_breaks_the_framing_is_lost() -> None:
    async def scene() -> None:
        async with host_link() as host:
            host.theirs.send(b"\xff\xff\xff\xffrubbish")
            assert (await host.next())[0] == "lost"

    asyncio.run(scene())


def test_closing_the_link_says_nothing() -> None:
    async def scene() -> None:
        async with host_link() as host:
            host.link.close()
            host.link.close()
            await asyncio.sleep(0)
            assert host.happened.empty()

    asyncio.run(scene())


def test_a_callback_that_raises_costs_one_message_and_is_reported() -> None:
    async def scene() -> None:
        ours, theirs = socket.socketpair()
        seen: list[bytes] = []
        reported: list[dict[str, Any]] = []
        done = asyncio.Event()

        def on_message(peer: bytes, uid: int, pid: int, frames: list[bytes]) -> None:
            if frames == [b"bad"]:
                raise RuntimeError("a bug")
            seen.append(frames[0])
            done.set()

        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        link = RouterLink(ours, on_message, lambda _: None, lambda _: None, lambda _: None)
        with theirs:
            theirs.send(pack(["in", b"p", 0, 1, [b"bad"]]) + pack(["what"]) + pack(["in", b"p", 0, 1, [b"good"]]))
            await asyncio.wait_for(done.wait(), WITHIN_S)
            link.close()
        assert seen == [b"good"]
        assert len(reported) == 2

    asyncio.run(scene())


def test_a_burst_lets_the_loop_do_other_things_in_between() -> None:
    async def scene() -> None:
        async with host_link() as host:
            turns_with_messages = 0
            host.theirs.sendall(b"".join(pack(["gone", b"%d" % number]) for number in range(1000)))
            got = 0
            async with asyncio.timeout(WITHIN_S):
                while got < 1000:
                    await asyncio.sleep(0)
                    new = host.happened.qsize()
                    turns_with_messages += new > 0
                    for _ in range(new):
                        assert host.happened.get_nowait() == ("gone", b"%d" % got)
                        got += 1
                    assert new <= 128
            assert turns_with_messages >= 1000 // 128

    asyncio.run(scene())
