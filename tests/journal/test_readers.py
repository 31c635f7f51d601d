"""Who comes to read: only with a ticket, once; and whatever a hostile one does, the journal goes on with all others."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import msgspec
import pytest

from agenthost.journal import readers as rules
from agenthost.journal import words
from agenthost.protocol import mail
from agenthost.protocol import sessions as say
from agenthost.protocol.frames import framed
from tests.journal.screen import Screen
from tests.journal.test_process import End, Running
from tests.waiting import wait_until

encode = msgspec.msgpack.encode


class Library:
    """A journal's process with a listening socket, as the host passes it."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "sessions")
        self.journal = Running(folder)
        self._listener = socket.socket(socket.AF_UNIX)
        Path(self.address).unlink(missing_ok=True)
        self._listener.bind(self.address)
        self._listener.listen(100)
        socket.send_fds(self.journal.doors, [words.LISTENER.to_bytes(8, "big")], [self._listener.fileno()])
        assert isinstance(self.journal.host.wait(words.Opened), words.Opened)
        self.agent = self.journal.own("/a", 1)
        self._numbers = iter(range(100_000, 200_000))
        self._turns = iter(range(1, 100_000))
        self._open: list[socket.socket] = []

    def ticket(self, who: str = "uid 0") -> bytes:
        ticket, number = os.urandom(say.TICKET_BYTES), next(self._numbers)
        self.journal.host.say(words.Admit(number, ticket, who))
        assert self.journal.host.wait(words.Answer).id == number
        return ticket

    def connect(self) -> End:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.address)
        self._open.append(sock)
        return End(sock, say.ToReader)

    def enter(self) -> End:
        end = self.connect()
        end.say(say.Hello(self.ticket()))
        assert end.wait(say.Welcome) == say.Welcome(1)
        return end

    def tell(self, *texts: str) -> None:
        """A turn of the agent, committed."""
        number = next(self._turns)
        entries = tuple(mail.Entry("note", msgpack.packb({"text": text}), 0) for text in texts)
        self.agent.say(mail.Commit(number, entries=entries, turn=number))
        assert self.agent.wait(mail.Leased).id == number

    def answers_within_s(self) -> float:
        """How long the agent waits for an answer now."""
        began = time.monotonic()
        self.tell("still there?")
        return time.monotonic() - began

    def end(self) -> None:
        for sock in self._open:
            sock.close()
        self.journal.end()
        self._listener.close()


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    one = Library(tmp_path)
    yield one
    one.end()


def is_closed(end: End) -> bool:
    """Nothing more comes from there."""
    with contextlib.suppress(ConnectionError):
        while data := end.sock.recv(1 << 16):
            assert data
    return True


def read_all(end: End, screen: Screen, last_seq: int) -> None:
    while screen.last_seq < last_seq:
        screen.hear(end.wait(say.ToReader))


def test_who_has_a_ticket_reads(library: Library) -> None:
    library.tell("one", "two")
    end = library.enter()
    end.say(say.Follow(7, "/a"))
    assert [end.wait(say.Entry).seq for _ in range(2)] == [1, 2]
    assert end.wait(say.CaughtUp) == say.CaughtUp(7, 2)
    library.tell("three")
    assert end.wait(say.Entry).seq == 3
    end.say(say.Check(7))
    assert end.wait(say.CaughtUp) == say.CaughtUp(7, 3)


@pytest.mark.parametrize("first", [say.Hello(bytes(16)), say.Follow(1, "/a")])
def test_who_has_none_is_refused_and_closed(library: Library, first: say.FromReader) -> None:
    end = library.connect()
    end.say(first)
    refused = end.wait(say.Refused)
    assert (refused.id, refused.code) in [(0, "not_permitted"), (0, "protocol")]
    assert is_closed(end)


def test_a_ticket_is_good_once(library: Library) -> None:
    ticket = library.ticket()
    first, second = library.connect(), library.connect()
    first.say(say.Hello(ticket))
    assert isinstance(first.wait(say.Welcome), say.Welcome)
    second.say(say.Hello(ticket))
    assert second.wait(say.Refused).code == "not_permitted"


def test_a_ticket_ends_with_its_time(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(say, "TICKET_S", 0.0)
    ticket = library.ticket()
    end = library.connect()
    end.say(say.Hello(ticket))
    assert end.wait(say.Refused).code == "not_permitted"


def test_who_says_nothing_is_closed(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(say, "HELLO_S", 0.05)
    assert is_closed(library.connect())


def test_strangers_make_room_for_each_other_and_not_for_readers(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "STRANGERS", 4)
    reader = library.enter()
    strangers = [library.connect() for _ in range(20)]
    library.enter()
    reader.say(say.Follow(1, "/a"))
    assert isinstance(reader.wait(say.CaughtUp), say.CaughtUp)
    for one in strangers[:10]:
        assert is_closed(one)


def test_no_more_connections_than_there_may_be(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "CONNECTIONS", 3)
    readers = [library.enter() for _ in range(3)]
    assert is_closed(library.connect())
    readers[0].sock.close()
    wait_until(lambda: _tries_to_enter(library), 30, "there is room again")


def _tries_to_enter(library: Library) -> bool:
    end = library.connect()
    try:
        end.say(say.Hello(library.ticket()))
        return isinstance(end.wait(say.Welcome), say.Welcome)
    except OSError:
        return False


@pytest.mark.parametrize(
    "nonsense", [framed(b"\xc1"), b"\xff\xff\xff\xff", framed(b"\x91\xa4told"), framed(encode(["follow", "x"]))]
)
def test_who_speaks_nonsense_is_told_so_and_closed(library: Library, nonsense: bytes) -> None:
    end = library.enter()
    end.sock.sendall(nonsense)
    assert end.wait(say.Refused).code == "protocol"
    assert is_closed(end)
    assert library.answers_within_s() < 30


@pytest.mark.parametrize(
    ("word", "code"),
    [
        (say.Follow(0, "/a"), "usage"),
        (say.Follow(2, "a"), "usage"),
        (say.Follow(2, "/" + "x" * 2000), "usage"),
        (say.Follow(2, "/a", name="x" * 65), "usage"),
        (say.Follow(2, "/a", name="\x1b[2J"), "usage"),
        (say.Follow(1, "/b"), "usage"),
        (say.Unfollow(2), "unknown_name"),
        (say.Seat(2), "unknown_name"),
        (say.Check(9), "unknown_name"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_rest_goes_on(
    library: Library, word: say.Follow | say.Unfollow | say.Seat | say.Check, code: str
) -> None:
    end = library.enter()
    end.say(say.Follow(1, "/a"), word)
    refused = end.wait(say.Refused)
    assert (refused.id, refused.code) == (word.id, code)
    library.tell("one")
    assert end.wait(say.Entry).seq == 1


def test_a_number_may_be_used_again_after_unfollow(library: Library) -> None:
    end = library.enter()
    end.say(say.Follow(1, "/a"), say.Unfollow(1), say.Follow(1, "/b"), say.Check(1))
    assert end.wait(say.CaughtUp).id == 1


def test_one_connection_follows_so_many_sessions(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(say, "FOLLOWED", 3)
    end = library.enter()
    end.say(*(say.Follow(number, f"/s{number}") for number in range(1, 5)))
    assert end.wait(say.Refused).code == "overloaded"


def test_who_never_reads_costs_a_bounded_buffer(library: Library) -> None:
    """The agent tells far more than fits; all who read go on, and so does the agent."""
    deaf, good, screen = library.enter(), library.enter(), Screen()
    for end in (deaf, good):
        end.say(say.Follow(1, "/a"))
    text = "x" * 100_000
    for _ in range(60):
        library.tell(text)
    library.tell("end")
    read_all(good, screen, 61)
    assert len(screen.entries) == 61
    late = Screen()
    read_all(deaf, late, 61)  # it reads after all, and has lost nothing
    assert late.fold == screen.fold


def test_who_asks_without_reading_is_not_heard_for_ever(library: Library) -> None:
    """A flood of words from somebody who reads no answer: he blocks, and the agent does not notice."""
    flood = library.enter()
    flood.say(say.Follow(1, "/a"))
    flood.sock.setblocking(False)
    word = framed(encode(say.Check(1))) * 1000
    said = 0
    stalls = 0
    deadline = time.monotonic() + 30
    while stalls < 20 and time.monotonic() < deadline:
        try:
            said += flood.sock.send(word)
            stalls = 0
        except BlockingIOError:
            stalls += 1
            assert library.answers_within_s() < 30
    assert said > 0
    assert stalls == 20, "it was never stopped"


def test_the_journal_restarted_loses_no_connection_attempt(tmp_path: Path) -> None:
    """Whoever connects while there is no journal waits in the backlog, and the next one takes him."""
    first = Library(tmp_path)
    first.tell("one")
    listener = first._listener.dup()
    first.end()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tmp_path / "sessions"))
    journal = Running(tmp_path)
    try:
        socket.send_fds(journal.doors, [words.LISTENER.to_bytes(8, "big")], [listener.fileno()])
        ticket = os.urandom(16)
        journal.host.say(words.Admit(1, ticket, "uid 0"))
        end = End(sock, say.ToReader)
        end.say(say.Hello(ticket), say.Follow(1, "/a"))
        assert end.wait(say.Entry).seq == 1
    finally:
        sock.close()
        listener.close()
        journal.end()


def test_what_was_open_when_the_host_ended_is_in_the_log_as_broken(tmp_path: Path) -> None:
    """The host is gone, so its agents are, and nobody will say these parts again."""
    first = Library(tmp_path)
    first.agent.say(mail.Delta(1, 0, 0, "answer", msgpack.packb({}), 0, "half of"))
    end = first.enter()
    end.say(say.Follow(1, "/a"))
    assert end.wait(say.Delta).text == "half of"
    first.end()
    second = Library(tmp_path)
    try:
        end = second.enter()
        end.say(say.Follow(1, "/a"))
        entry = end.wait(say.Entry)
        assert (entry.broken, msgpack.unpackb(entry.body)) == (True, {"text": "half of"})
    finally:
        second.end()


def test_who_is_refused_the_seat_is_told_by_whom(library: Library) -> None:
    ana, bob = library.enter(), library.enter()
    ana.say(say.Follow(1, "/a", name="ana"), say.Seat(1))
    seat = ana.wait(say.Seated).seat
    bob.say(say.Follow(1, "/a", name="bob"), say.Seat(1))
    refused = bob.wait(say.Refused)
    assert (refused.code, "ana" in refused.why) == ("busy", True)
    said = words.Send(900, "client:0", "/a", msgpack.packb("hi"), "", words.Terms(), in_session=True, seat="")
    library.journal.host.say(said)
    assert library.journal.host.wait(words.Answer).code == "busy"
    library.journal.host.say(msgspec.structs.replace(said, id=901, seat=seat))
    assert library.journal.host.wait(words.Answer).code == ""
    one = bob.wait(say.Entry)
    assert (one.type, msgpack.unpackb(one.body)) == ("message", {"body": "hi", "sender": "client:0"})
    ana.sock.close()
    while bob.wait(say.Present).names != ["bob"]:
        continue
    bob.say(say.Seat(1))
    assert bob.wait(say.Seated).seat


def test_what_cannot_be_read_is_not_said_in_a_session(library: Library) -> None:
    said = words.Send(900, "client:0", "/a", b"\xc1", "", words.Terms(), in_session=True)
    library.journal.host.say(said)
    assert library.journal.host.wait(words.Answer).code == "protocol"
