"""An agent's end of its door: what was not answered is said again at the next one; who has a successor ends."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from agenthost.agent import committing
from agenthost.agent.agent import Agent, create
from agenthost.agent.blocking import finish
from agenthost.agent.door import Door
from agenthost.agent.durable import FENCED, Durable
from agenthost.errors import JournalUnavailable, Overloaded
from agenthost.protocol import birth, mail
from agenthost.protocol.codec import encode
from agenthost.protocol.frames import Frames, framed

Answer = Callable[[mail.FromAgent], mail.FromJournal | None]


class Counting(Agent):
    def handle(self, message: Any, ctx: Any) -> None:
        """It has no turns here."""


class Journal:
    """The host's end of the birth socket, and the journal's of doors."""

    def __init__(self) -> None:
        self.host, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.host.settimeout(10)
        self.durable = Durable("1.1", its)
        self.agent = create(Counting, {}, self.durable)
        self._its = its
        self._numbers = iter(range(1, 100))
        self.end: socket.socket | None = None
        self.answer: Answer = lambda message: None
        self.heard: list[mail.FromAgent] = []
        self._frames = Frames(1 << 20)

    def wait_wanted(self) -> birth.WantDoor:
        return msgspec.msgpack.decode(self.host.recv(1000), type=birth.WantDoor)

    def give_door(self) -> None:
        self.end, its = socket.socketpair()
        self._frames = Frames(1 << 20)
        packet = encode(birth.Door(number=next(self._numbers)))
        socket.send_fds(self.host, [packet], [its.fileno()])
        its.close()

    def serve(self) -> None:
        """Read what there is, and answer it."""
        assert self.end is not None
        self.end.setblocking(False)
        try:
            data = self.end.recv(1 << 20)
        except BlockingIOError:
            return
        for frame in self._frames.feed(data):
            message = msgspec.msgpack.decode(frame, type=mail.FromAgent)
            self.heard.append(message)
            if (answer := self.answer(message)) is not None:
                self.end.sendall(framed(encode(answer)))

    async def until(self, ready: Callable[[], bool], deadline: float) -> bool:
        """What a plain desk does."""
        door = self.durable.open()
        while not ready():
            if time.monotonic() > deadline:
                return False
            if door.sock is None:
                door.hear_birth()
            door.adopt()
            if self.end is not None:
                self.serve()
            door.pump()
        return True

    def cut(self) -> None:
        assert self.end is not None
        self.end.close()
        self.end = None

    def close(self) -> None:
        door = self.durable.door
        for one in (self.host, self._its, self.end, door.sock if door else None):
            if one is not None:
                one.close()


@pytest.fixture
def journal() -> Iterator[Journal]:
    one = Journal()
    yield one
    one.close()


def leased(message: mail.FromAgent) -> mail.FromJournal | None:
    match message:
        case mail.Load(id=number):
            return mail.State(number, None)
        case mail.Knows(id=number) | mail.Fail(id=number) | mail.Send(id=number):
            return mail.Done(number)
        case mail.Commit(id=number) | mail.Take(id=number):
            return mail.Leased(number)
    return None


def test_a_door_is_asked_for_when_it_is_needed_first_and_what_is_said_twice_is_the_same(journal: Journal) -> None:
    journal.agent.__dict__["state"] = {"n": 1}
    door = journal.durable.open()
    asked = door.ask(lambda number: mail.Commit(number, state=b"\x80"))
    assert journal.wait_wanted().had == 0
    journal.give_door()
    journal.answer = lambda message: None  # it hears that, and is killed
    assert not finish(journal.until(lambda: bool(journal.heard) and asked.answer is not None, time.monotonic() + 0.05))
    journal.cut()
    finish(journal.until(lambda: door.sock is None, time.monotonic() + 10))
    assert journal.wait_wanted().had == 1
    journal.give_door()
    journal.answer = leased
    assert finish(journal.until(lambda: asked.answer is not None, time.monotonic() + 10))
    assert len(journal.heard) == 2 and journal.heard[0] == journal.heard[1]


def test_the_state_is_loaded_at_its_first_touch_by_an_agent_that_does_nothing_else(journal: Journal) -> None:
    journal.give_door()
    assert journal.end is not None
    journal.end.sendall(framed(encode(mail.State(1, b"\x81\xa1n\x05"))))
    assert journal.agent.state == {"n": 5}
    assert journal.wait_wanted().had == 0


def test_a_turn_that_is_refused_leaves_the_state_as_it_was(journal: Journal) -> None:
    journal.give_door()
    assert journal.end is not None
    journal.end.sendall(framed(encode(mail.State(1, b"\x81\xa1n\x05"))))
    journal.agent.state["n"] = 6
    journal.answer = lambda message: mail.Refused(message.id, "overloaded", "cannot send: full")
    with pytest.raises(Overloaded, match="full"):
        finish(committing.commit(journal.durable, journal.until))
    journal.durable.revert()
    assert journal.agent.state == {"n": 5}


def test_who_has_a_successor_ends_with_a_status_of_its_own(journal: Journal) -> None:
    journal.give_door()
    journal.answer = lambda message: mail.Refused(message.id, mail.STALE, "somebody newer has taken over")
    one = mail.Mail(7, "/b", b"\x01", 1, 0)
    with pytest.raises(SystemExit) as ended:
        finish(committing.commit(journal.durable, journal.until, of=one))
    assert ended.value.code == FENCED
    assert finish(committing.failed(journal.durable, journal.until, one, ended.value)) == FENCED
    assert not any(isinstance(message, mail.Fail) for message in journal.heard)


def test_a_turn_of_mail_waits_for_a_disk_that_is_full(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "AGAIN_S", 0.001)
    journal.give_door()
    journal.answer = lambda message: (
        leased(message) if len(journal.heard) > 3 else mail.Refused(message.id, "journal_full", "no room")
    )
    finish(committing.commit(journal.durable, journal.until, of=mail.Mail(7, "/b", b"\x01", 1, 0)))
    assert len(journal.heard) == 4
    journal.heard.clear()
    journal.agent.__dict__["state"] = {"n": 1}
    with pytest.raises(JournalUnavailable, match="no room"):  # a caller waits: it is told
        finish(committing.commit(journal.durable, journal.until))


def test_mail_of_a_turn_leaves_with_its_commit_and_other_mail_at_once(journal: Journal) -> None:
    journal.give_door()
    journal.answer = leased
    deadline = time.monotonic() + 10
    finish(committing.post(journal.durable, journal.until, "/b", b"\x01", deadline, in_turn=True))
    finish(committing.post(journal.durable, journal.until, "/b", b"\x02", deadline, in_turn=True))
    assert [type(message) for message in journal.heard] == [mail.Knows]
    finish(committing.commit(journal.durable, journal.until))
    commit = journal.heard[-1]
    assert isinstance(commit, mail.Commit) and [one.body for one in commit.sends] == [b"\x01", b"\x02"]
    assert len({one.key for one in commit.sends}) == 2
    finish(committing.post(journal.durable, journal.until, "/b", b"\x03", deadline, in_turn=False))
    assert isinstance(journal.heard[-1], mail.Send)


def test_a_journal_that_does_not_answer_is_not_waited_for_for_ever(journal: Journal) -> None:
    door = journal.durable.open()
    with pytest.raises(JournalUnavailable):
        door.wait(door.ask(mail.Load), time.monotonic() + 0.01)


def test_an_older_door_does_not_take_the_place_of_a_newer_one(journal: Journal) -> None:
    door: Door = journal.durable.open()
    (older, kept), (newer, end) = socket.socketpair(), socket.socketpair()
    door.came(2, newer.detach())
    door.came(1, older.detach())
    door.adopt()
    assert door.sock is not None
    end.sendall(framed(encode(mail.Waiting())))
    door.pump()
    assert journal.durable.waits and kept.recv(1) == b""
    kept.close()
    end.close()


def test_a_state_that_was_asked_for_early_is_not_asked_for_again(journal: Journal) -> None:
    journal.give_door()
    journal.durable.preload()
    journal.durable.preload()
    journal.durable.open().hear_birth()
    journal.durable.open().adopt()
    journal.answer = lambda message: (
        mail.State(message.id, b"\x81\xa1n\x05") if isinstance(message, mail.Load) else None
    )
    journal.serve()
    assert journal.agent.state == {"n": 5}
    assert [type(one) for one in journal.heard] == [mail.Load]
