"""Turns of mail that begin before those before them are true: a real agent's end of its door, and the clerk behind it.

What becomes true is what would have without that: in order, once, upon each other. What is not true takes back what was
built upon it; and nothing that anybody sees was built upon what may not be true.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import pytest

from agenthost.agent import ahead as aheads
from agenthost.agent import committing
from agenthost.agent.agent import Agent, create
from agenthost.agent.ahead import Ahead
from agenthost.agent.blocking import finish
from agenthost.agent.durable import Durable
from agenthost.agent.turn import Undone
from agenthost.core.remedy import rungs
from agenthost.errors import AgenthostError, Overloaded
from agenthost.journal import ops, words
from agenthost.journal.values import Mail
from agenthost.journal.words import Terms
from agenthost.protocol import mail
from agenthost.protocol.frames import Frames, framed
from tests.journal.test_clerk import TERMS, Office, packed

Handler = Callable[["Worker", Any], None]


class Author(Agent):
    def handle(self, message: Any, ctx: Any) -> None:
        """Handlers of the tests stand in the tests."""


class Worker:
    """An agent as the plain desk runs it. ``deaf``: the journal does not hear it."""

    def __init__(self, office: Office, path: str, n: int, handler: Handler, terms: Terms = TERMS) -> None:
        self.office, self.path, self.n, self.handler = office, path, n, handler
        self.party = office.own(path, n, terms)
        self.host, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.its = its
        self.durable = Durable(f"1.{n}", its)
        self.durable.ahead = Ahead()
        self.agent = create(Author, {}, self.durable)
        self.end: socket.socket | None = None
        self.deaf = False
        self.began: list[Any] = []
        """The body of each turn that was begun."""
        self.most_open = 0
        self.durable.open().wait = self.wait  # type: ignore[method-assign]
        self.give_door(1)

    def give_door(self, number: int) -> None:
        if self.end is not None:
            self.end.close()
        self.end, theirs = socket.socketpair()
        self.end.setblocking(False)
        self.frames = Frames(1 << 24)
        door = self.durable.open()
        door.came(number, os.dup(theirs.fileno()))
        theirs.close()
        door.adopt()

    def wait(self, asked: Any, deadline: float) -> Any:
        """As ``Door.wait``: nobody else serves it meanwhile."""
        finish(self.until(lambda: asked.answer is not None, deadline))
        return asked.answer

    def serve(self) -> None:
        """The journal reads what was said, commits it, and answers."""
        assert self.end is not None
        try:
            data = self.end.recv(1 << 22)
        except BlockingIOError:
            data = b""
        for frame in self.frames.feed(data):
            self.office.clerk.hear(self.party, msgspec.msgpack.decode(frame, type=mail.FromAgent), self.office.now_ms)
        self.office.commit()
        out, self.party.out = self.party.out, []
        for one in out:
            self.end.sendall(framed(msgspec.msgpack.encode(one)))

    async def until(self, ready: Callable[[], bool], deadline: float) -> bool:
        for _ in range(100):
            if ready():
                return True
            self.serve()
            self.durable.open().pump()
        self.office.pass_time(10)
        return ready()

    def settle(self) -> None:
        """What a call in a turn does before it leaves."""
        ahead = self.durable.ahead
        assert ahead is not None
        if ahead.is_open:
            finish(ahead.settle(self.durable, self.until))

    def attempt(self, one: mail.Mail) -> None:
        """As ``SyncDesk._take_mail``, as long as nothing fails."""
        durable = self.durable
        durable.in_hand = one
        body = msgpack.unpackb(one.body)
        self.began.append(body)
        self.handler(self, body)
        if durable.in_hand is not one:
            raise Undone
        finish(committing.commit(durable, self.until, of=one, take=True))
        assert durable.ahead is not None
        self.most_open = max(self.most_open, len(durable.ahead._said))

    def turn(self, one: mail.Mail) -> None:
        durable = self.durable
        try:
            self.attempt(one)
        except (Undone, AgenthostError) as error:
            self.settle_idle()
            if durable.in_hand is one:
                finish(committing.failed(durable, self.until, one, error))
            else:
                durable.revert()

    def taken(self) -> mail.Mail | None:
        durable = self.durable
        if durable.mail is None:
            self.settle_idle()
        if durable.mail is None:
            committing.take(durable)
            finish(self.until(lambda: not durable.is_taking, 0))
        one, durable.mail = durable.mail, None
        return one

    def run(self, turns: int = 1000) -> None:
        """Until nothing is left to do."""
        while turns and (one := self.taken()) is not None:
            self.turn(one)
            turns -= 1

    def settle_idle(self) -> None:
        try:
            self.settle()
        except Undone:
            pass

    def die(self, why: str = "killed") -> None:
        """What it has said counts."""
        self.serve()
        self.close()
        self.office.disown(self.path, self.n, why)

    def close(self) -> None:
        door = self.durable.door
        for one in (self.host, self.its, self.end, door.sock if door else None):
            if one is not None:
                one.close()


pytestmark = pytest.mark.usefixtures("patient")


def note(worker: Worker, body: Any) -> None:
    worker.agent.state.setdefault("got", []).append(body)


def state_of(office: Office, path: str = "/a") -> Any:
    found = office.store.reader().state(path)
    return None if found is None else msgpack.unpackb(found.state)


def status(office: Office, message: int) -> tuple[str, int]:
    found = office.store.reader().message(message)
    return found.status, found.attempt


def send(office: Office, count: int, *, first: int = 0, to: str = "/a") -> list[int]:
    return [office.send(to, packed(number)).result["message"] for number in range(first, first + count)]


def test_turns_begin_before_those_before_them_are_answered_and_all_become_true_in_order(office: Office) -> None:
    numbers = send(office, 100)
    worker = Worker(office, "/a", 1, note)
    worker.run()
    assert worker.most_open == committing.SHOWN
    assert worker.began == list(range(100)), "each once"
    assert state_of(office) == {"got": list(range(100))}
    assert {status(office, number) for number in numbers} == {("done", 1)}
    worker.close()


def test_what_takes_long_is_waited_for(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aheads, "LONGEST_S", -1.0)
    send(office, 5)
    worker = Worker(office, "/a", 1, note)
    worker.run()
    assert (worker.most_open, worker.began) == (0, list(range(5)))
    worker.close()


def test_a_turn_that_is_refused_takes_back_those_that_were_begun_upon_it(office: Office) -> None:
    known(office, "/full", limit=1)
    send(office, 1, to="/full")
    numbers = send(office, 6)

    def pass_on(worker: Worker, body: Any) -> None:
        note(worker, body)
        if body == 2:
            worker.durable.sends.append(mail.Sending("/full", packed("no room")))
        if body >= 2:
            worker.durable.sends.append(mail.Sending("/sink", packed(body)))

    known(office, "/sink")
    worker = Worker(office, "/a", 1, pass_on, Terms(attempts=1, initial_ms=1, max_ms=1))
    worker.run()
    assert worker.began == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert state_of(office) == {"got": [0, 1, 3, 4, 5]}
    assert [status(office, number)[0] for number in numbers] == ["done", "done", "dead", "done", "done", "done"]
    assert [status(office, number)[1] for number in numbers] == [1] * 6, "no attempt was lost"
    assert received(office, "/sink") == [3, 4, 5]
    worker.close()


def test_of_an_agent_that_dies_the_message_in_hand_has_failed_and_no_other(office: Office) -> None:
    numbers = send(office, 6)

    def die_at_3(worker: Worker, body: Any) -> None:
        note(worker, body)
        if body == 3:
            raise KeyboardInterrupt

    worker = Worker(office, "/a", 1, die_at_3)
    for _ in range(3):
        one = worker.taken()
        assert one is not None
        worker.attempt(one)
    assert worker.most_open == 3, "nothing is known to be true"
    last = worker.taken()
    assert last is not None
    with pytest.raises(KeyboardInterrupt):
        worker.attempt(last)
    worker.die("killed by SIGKILL")
    reader = office.store.reader()
    assert [len(reader.history(number)) for number in numbers] == [0, 0, 0, 1, 0, 0]
    assert state_of(office) == {"got": [0, 1, 2]}
    office.pass_time(10)
    second = Worker(office, "/a", 2, note)
    second.run()
    assert state_of(office) == {"got": list(range(6))}
    assert [status(office, number) for number in numbers] == [("done", 2 if at == 3 else 1) for at in range(6)]
    second.close()


def test_a_turn_that_fails_is_known_to_have_failed_after_those_before_it(office: Office) -> None:
    numbers = send(office, 4)

    def refuse_2(worker: Worker, body: Any) -> None:
        note(worker, body)
        if body == 2 and worker.began.count(2) == 1:
            raise Overloaded("not now")

    worker = Worker(office, "/a", 1, refuse_2)
    worker.run()
    assert status(office, numbers[2]) == ("backing_off", 1)
    assert state_of(office) == {"got": [0, 1]}, "its line waits for it"
    office.pass_time(10)
    worker.run()
    assert state_of(office) == {"got": [0, 1, 2, 3]}
    worker.close()


def test_what_anybody_sees_waits_until_all_before_it_is_true(office: Office) -> None:
    send(office, 5)
    seen = list[Any]()

    def call(worker: Worker, body: Any) -> None:
        note(worker, body)
        worker.settle()
        seen.append((body, state_of(office)))

    worker = Worker(office, "/a", 1, call)
    worker.run()
    assert seen[1:] == [(body, {"got": list(range(body))}) for body in range(1, 5)]
    assert worker.began == list(range(5))
    worker.close()


def test_what_was_shown_and_is_dropped_meanwhile_is_not_done(office: Office) -> None:
    numbers = send(office, 6)

    def drop(worker: Worker, body: Any) -> None:
        note(worker, body)
        if body == 1:
            office.store.commit([ops.Drop(numbers[3])], office.now_ms)

    worker = Worker(office, "/a", 1, drop)
    worker.run()
    assert state_of(office) == {"got": [0, 1, 2, 4, 5]}
    assert status(office, numbers[3]) == ("dropped", 0)
    worker.close()


def test_a_handler_that_lets_nothing_pass_does_not_make_true_what_is_undone(office: Office) -> None:
    numbers = send(office, 4)

    def stubborn(worker: Worker, body: Any) -> None:
        note(worker, body)
        if body == 2 and worker.began.count(2) == 1:
            office.store.commit([ops.Drop(numbers[2])], office.now_ms)
            try:
                worker.settle()
            except BaseException:  # what such an author writes
                worker.agent.state["stubborn"] = True

    worker = Worker(office, "/a", 1, stubborn)
    worker.run()
    assert state_of(office) == {"got": [0, 1, 3]}
    worker.close()


def test_the_end_of_a_journal_doubles_nothing(office: Office) -> None:
    numbers = send(office, 8)
    doors = iter(range(2, 100))

    def cut(worker: Worker, body: Any) -> None:
        note(worker, body)
        if body in (2, 5) and worker.began.count(body) == 1:
            if body == 5:
                worker.serve()  # it is committed, and nobody hears of it
                worker.party.out.clear()
            worker.party = office.own("/a", 1)
            worker.give_door(next(doors))

    worker = Worker(office, "/a", 1, cut)
    worker.run()
    assert state_of(office) == {"got": list(range(8))}
    assert {status(office, number) for number in numbers} == {("done", 1)}
    worker.close()


def test_nothing_is_shown_where_a_commit_depends_on_those_before_it(office: Office) -> None:
    ladder = rungs.Ladder((rungs.Roll_back(1), rungs.Dead_letter()))
    terms = Terms(ladder=ladder)
    send(office, 3)
    party = office.own("/a", 1, terms)
    answer = office.ask(party, mail.Take(1, 10))
    assert answer.mail is not None and answer.shown == ()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_what_is_true_is_what_was_done_once_and_in_order(office: Office, seed: int) -> None:
    chance = random.Random(seed)
    known(office, "/sink")
    sent = list[int]()
    doors = iter(range(2, 1000))

    def anything(worker: Worker, body: Any) -> None:
        pass_on(worker, body)
        match chance.randrange(14):
            case 0:
                raise Overloaded("not now")
            case 1:
                worker.settle()
            case 2:
                worker.serve()
            case 3:
                worker.serve()
                worker.party.out.clear()
                worker.party = office.own("/a", worker.n)
                worker.give_door(next(doors))
            case 4:
                sent.extend(range(len(sent), len(sent) + 3))
                send(office, 3, first=sent[-3])

    def pass_on(worker: Worker, body: Any) -> None:
        note(worker, body)
        worker.durable.sends.append(mail.Sending("/sink", packed(body)))

    n = 1
    worker = Worker(office, "/a", n, anything)
    for _ in range(30):
        first = len(sent)
        sent.extend(range(first, first + chance.randrange(8)))
        send(office, len(sent) - first, first=first)
        worker.run(chance.randrange(1, 30))
        if chance.random() < 0.3:
            worker.die()
            n += 1
            worker = Worker(office, "/a", n, anything)
        office.pass_time(5)
    worker.handler = pass_on
    for _ in range(5):
        office.pass_time(10)
        worker.run()
    assert state_of(office) == {"got": sent}
    assert received(office, "/sink") == sent
    worker.close()


def known(office: Office, path: str, limit: int = 0) -> None:
    """The host says that mail may be sent there."""
    office.host(words.Known(999_999, path, Terms(limit=limit) if limit else TERMS, ""))


def received(office: Office, path: str) -> list[Any]:
    mailbox = [one for one in office.store.reader().export() if isinstance(one, Mail) and one.receiver == path]
    return [msgpack.unpackb(one.body) for one in sorted(mailbox, key=lambda one: one.id)]
