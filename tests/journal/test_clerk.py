"""Agents at their doors, and the host behind them, without processes: the clerk with the twin in memory.

Two agents pass numbers on. They are cut off at random, before and after what they said was committed, and come again as
a new incarnation. The checker must find nothing with the real store, and must find what a bad store has done.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgpack
import pytest

from agenthost.errors import JournalUnavailable
from agenthost.journal import called as journal_called
from agenthost.journal import ops, words
from agenthost.journal.answers import Accepted, Answer
from agenthost.journal.clerk import Clerk
from agenthost.journal.memory.reading import MemoryReader
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.orders import Orders
from agenthost.journal.party import Party
from agenthost.journal.words import Terms
from agenthost.journal.writer import Writer
from agenthost.protocol import mail as say

TERMS = Terms(attempts=1_000_000, initial_ms=1, max_ms=2)


class Office:
    """Clerk and orders over a store, with a clock of its own. ``told`` is what the host has heard."""

    def __init__(self, store: Any = None) -> None:
        self.store = store or MemoryStore()
        self.writer = Writer(self.store)
        self.told: list[words.FromJournal] = []
        self.clerk = Clerk(self.store, self.writer, self.told.append)
        self.parties: dict[int, Party] = {}
        self.orders = Orders(self.store, self.clerk, self.told.append, self._own, lambda word: None)
        self.now_ms = 1_000_000
        self._ids = iter(range(1, 1 << 30))

    def _own(self, word: words.Own, party: Party) -> None:
        self.parties[word.n] = party

    def own(self, path: str, n: int, terms: Terms = TERMS) -> Party:
        self.host(words.Own(next(self._ids), path, 1, n, n, terms))
        return self.parties[n]

    def host(self, word: words.FromHost) -> None:
        self.orders.hear(word, self.now_ms)
        self.commit()

    def send(self, to: str, body: bytes, key: str = "") -> Any:
        number = next(self._ids)
        self.host(words.Send(number, "client:0", to, body, key, TERMS))
        return next(one for one in self.told if isinstance(one, words.Answer) and one.id == number)

    def disown(self, path: str, n: int, why: str = "killed", terms: Terms = TERMS) -> None:
        self.host(words.Disown(next(self._ids), path, 1, n, why, terms))

    def commit(self) -> None:
        """Until nothing waits; the host answers what it is asked."""
        while self.writer.waiting or any(isinstance(one, words.Knows) for one in self.told):
            asked = [one for one in self.told if isinstance(one, words.Knows)]
            for one in asked:
                self.told.remove(one)
                terms = TERMS if one.path != "/nobody" else None
                known = words.Known(next(self._ids), one.path, terms, "there is no such agent")
                self.orders.hear(known, self.now_ms)
            for outcome in self.writer.try_commit(self.now_ms):
                outcome.token(outcome.answers, outcome.error)

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.clerk.tick(self.now_ms)
        self.commit()

    def ask(self, party: Party, message: say.FromAgent) -> Any:
        """Its answer."""
        self.clerk.hear(party, message, self.now_ms)
        self.commit()
        found = [one for one in party.out if not isinstance(one, say.Waiting) and one.id == message.id]
        party.out.clear()
        assert len(found) == 1
        return found[0]


def packed(value: Any) -> bytes:
    return msgpack.packb(value)  # type: ignore[no-any-return]


def called(key: str, attempt: int = 1, **more: Any) -> say.Called:
    return say.Called(key, "/tools/pay", attempt, 0, packed({"order": 7}), **more)


def test_what_an_attempt_has_begun_is_told_to_the_next() -> None:
    office = Office()
    first = office.own("/a", 1)
    office.send("/a", packed("x"))
    mail = office.ask(first, say.Take(1)).mail
    begun = say.Intend(2, mail.message, (called("one"), called("two", idempotent=True)))
    assert office.ask(first, begun) == say.Done(2)
    assert office.ask(first, begun) == say.Done(2), "said again after the end of a journal"
    assert office.ask(first, say.Conclude(3, mail.message, "two", b"paid")) == say.Done(3)
    assert office.ask(first, say.Conclude(4, mail.message, "nobody", b"paid")) == say.Done(4)
    office.disown("/a", 1, "killed by SIGKILL")
    office.pass_time(10)
    second = office.own("/a", 2)
    assert office.ask(second, say.Take(1)).mail.attempt == 2
    told = office.ask(second, say.Recall(2, mail.message))
    assert [(one.key, one.attempt, one.idempotent, one.outcome) for one in told.calls] == [
        ("one", 1, False, b""),
        ("two", 1, True, b"paid"),
    ]
    assert (told.calls[0].tool, told.calls[0].arguments) == ("/tools/pay", packed({"order": 7}))
    assert (told.more, told.why) == (False, "killed by SIGKILL")
    assert len(office.ask(second, say.Recall(3, mail.message, 1)).calls) == 1
    late = office.ask(first, say.Intend(9, mail.message, (called("late"),)))
    assert isinstance(late, say.Refused) and late.code == say.STALE
    assert office.ask(second, say.Intend(4, mail.message, (called("one", 2),))) == say.Done(4)
    assert office.ask(second, say.Conclude(5, mail.message, "one", b"again")) == say.Done(5)
    told = office.ask(second, say.Recall(6, mail.message))
    assert [(one.key, one.attempt, one.outcome) for one in told.calls] == [
        ("one", 1, b""),
        ("two", 1, b"paid"),
        ("one", 2, b"again"),
    ]
    assert isinstance(office.ask(second, say.Commit(7, mail.message, 2)), say.Leased)
    assert office.ask(second, say.Recall(8, mail.message)).calls == ()


def test_long_outcomes_are_told_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_called, "PAGE_BYTES", 1000)
    office = Office()
    party = office.own("/a", 1)
    keys = [f"key {number}" for number in range(7)]
    for number, key in enumerate(keys):
        assert office.ask(party, say.Intend(1, 5, (called(key),))) == say.Done(1)
        office.ask(party, say.Conclude(2, 5, key, bytes(3000 if number == 3 else 300)))
    found, more = list[str](), True
    pages = 0
    while more:
        page = office.ask(party, say.Recall(3, 5, len(found)))
        found, more, pages = found + [one.key for one in page.calls], page.more, pages + 1
    assert found == keys and pages > 2


def test_a_state_is_told_with_its_version_and_a_checkpoint_by_its_name() -> None:
    office = Office()
    party = office.own("/a", 1)
    assert office.ask(party, say.Load(1)) == say.State(1)
    office.ask(party, say.Commit(2, state=packed({}), state_version=1, checkpoint="before"))
    office.ask(party, say.Commit(3, state=packed({"n": 1}), state_version=2))
    assert office.ask(party, say.Load(4)) == say.State(4, packed({"n": 1}), 2)
    assert office.ask(party, say.Load(5, checkpoint="before")) == say.State(5, packed({}), 1)
    refused = office.ask(party, say.Load(6, checkpoint="after"))
    assert isinstance(refused, say.Refused) and refused.code == "unknown_name" and refused.hint == "it has before"


def test_a_stale_incarnation_can_write_and_take_nothing() -> None:
    office = Office()
    old = office.own("/a", 1)
    office.send("/a", packed("x"))
    leased = office.ask(old, say.Take(1)).mail
    new = office.own("/a", 2)  # the old one was frozen, say, and knows nothing of it
    for message in (
        say.Commit(2, leased.message, leased.attempt, packed({"by": "old"})),
        say.Commit(3, state=packed({"by": "old"}), sends=(say.Sending("/b", packed("y")),)),
        say.Take(4),
    ):
        answer = office.ask(old, message)
        assert isinstance(answer, say.Refused) and answer.code == say.STALE
    assert office.ask(old, say.Fail(6, leased.message, leased.attempt, "late")) == say.Done(6)  # and nothing came of it
    again = office.ask(new, say.Take(1)).mail
    assert (again.message, again.attempt) == (leased.message, 2)
    assert office.ask(new, say.Load(2)).state is None
    assert office.clerk.reader().open_count("/b") == 0


def test_what_is_said_twice_is_done_once() -> None:
    office = Office()
    a = office.own("/a", 1)
    office.send("/a", packed(1))
    one = office.ask(a, say.Take(1)).mail
    commit = say.Commit(2, one.message, one.attempt, packed({"n": 1}), sends=(say.Sending("/b", b"\x01", "1.1:1"),))
    for _ in range(2):  # its door was cut before it heard the answer
        assert isinstance(office.ask(a, commit), say.Leased)
    turn = say.Commit(3, sends=(say.Sending("/b", b"\x02", "1.1:2"),))
    for _ in range(2):
        assert isinstance(office.ask(a, turn), say.Leased)
    for _ in range(2):
        assert office.ask(a, say.Send(4, "/b", b"\x03", "1.1:3")) == say.Done(4)
    assert [one.body for one in office.clerk.reader().mailbox("/b")] == [b"\x01", b"\x02", b"\x03"]


def test_a_turn_with_an_unknown_receiver_is_refused_as_a_whole() -> None:
    office = Office()
    a = office.own("/a", 1)
    sends = (say.Sending("/b", b"\x01", "k1"), say.Sending("/nobody", b"\x01", "k2"))
    answer = office.ask(a, say.Commit(1, state=packed({"n": 1}), sends=sends))
    assert isinstance(answer, say.Refused) and answer.code == "unknown_name"
    assert office.ask(a, say.Load(2)).state is None and office.clerk.reader().open_count("/b") == 0


def test_the_host_hears_once_of_mail_without_a_door_and_again_after_one() -> None:
    office = Office()
    for number in range(3):
        office.send("/a", packed(number))
    assert [one for one in office.told if isinstance(one, words.Waits)] == [words.Waits("/a")]
    party = office.own("/a", 1)
    assert party.out == [say.Waiting()]
    office.told.clear()
    office.disown("/a", 1)
    assert [one for one in office.told if isinstance(one, words.Waits)] == [words.Waits("/a")]


def test_the_host_hears_of_mail_again_after_the_end_of_one_whose_door_had_closed() -> None:
    office = Office()
    party = office.own("/a", 1)
    office.clerk.there.lost(party)  # it is about to end, and the host does not know
    office.send("/a", packed("x"))
    assert words.Waits("/a") in office.told
    office.told.clear()
    office.disown("/a", 1)
    assert words.Waits("/a") in office.told


def test_failures_of_its_own_count_and_stops_do_not() -> None:
    office, terms = Office(), Terms(attempts=2, initial_ms=10, max_ms=10)
    office.own("/a", 1, terms)
    office.send("/a", packed("x"))
    for n in range(2, 6):
        office.ask(office.parties[n - 1], say.Take(1))
        office.disown("/a", n - 1, "")  # somebody stopped it
        office.own("/a", n, terms)
    office.ask(office.parties[5], say.Take(1))
    office.disown("/a", 5, "killed by SIGSEGV", terms)
    party = office.own("/a", 6, terms)
    assert office.ask(party, say.Take(1)).mail is None
    office.pass_time(10)
    one = office.ask(party, say.Take(2)).mail
    assert office.ask(party, say.Fail(3, one.message, one.attempt, "raised")) == say.Done(3)
    (letter,) = office.clerk.reader().dead_letters()
    assert [line.what for line in office.clerk.reader().history(letter.id)][-2:] == ["backed_off", "dead_letter"]
    assert any(isinstance(told, words.SetAside) for told in office.told)


def test_a_journal_that_was_killed_keeps_to_the_terms_of_whom_it_never_knew() -> None:
    before = Office()
    before.own("/a", 1)
    before.send("/a", packed("x"))
    for n in range(1, 6):  # more often than the usual three
        before.ask(before.parties[n], say.Take(1))
        office = Office(before.store)  # a new one, which is told what the old one has not heard
        office.now_ms = before.now_ms
        office.disown("/a", n, "killed by SIGKILL")
        office.pass_time(10)
        office.own("/a", n + 1)
        before = office
    assert before.clerk.reader().dead_letters() == ()


def test_a_missing_event_of_the_core_is_a_gap() -> None:
    office = Office()
    for number in (1, 2, 5, 6, 6):
        office.host(words.Event(number, 1, number, 0.5, b"e"))
    found = office.clerk.reader().core(1)
    assert [getattr(one, "number", None) or (one.first, one.last) for one in found] == [1, 2, (3, 4), 5, 6]  # type: ignore[union-attr]


# ---- cut off at any point


class Relay:
    """An agent at its door, that counts numbers and passes them on, as in ``tests/host/posters.py``."""

    def __init__(self, office: Office, path: str, to: str, chance: random.Random, ns: Any) -> None:
        self.office, self.path, self.to, self.chance, self._ns = office, path, to, chance, ns
        self._begin()

    def _begin(self) -> None:
        self.n = next(self._ns)
        self.party = self.office.own(self.path, self.n)
        self._id = 0
        state = self._ask(say.Load).state
        self.state = msgpack.unpackb(state) if state is not None else {"last": 0, "count": 0, "wrong": []}
        self.held: say.Mail | None = None

    def _ask(self, kind: Any, *words: Any) -> Any:
        self._id += 1
        return self.office.ask(self.party, kind(self._id, *words))

    def step(self) -> None:
        """One turn, which may be cut off."""
        cut = self.chance.choice(["no"] * 6 + ["before", "unheard", "twice"])
        one = self.held or self._ask(say.Take).mail
        self.held = None
        if one is None:
            return
        number = msgpack.unpackb(one.body)
        if cut == "before":
            self._crash()
            return
        if number != self.state["last"] + 1:
            self.state["wrong"].append([self.state["last"], number])
        self.state = {**self.state, "last": number, "count": self.state["count"] + 1}
        sends = (say.Sending(self.to, one.body),) if self.to else ()
        commit = one.message, one.attempt, packed(self.state), 0, sends, True
        answer = self._ask(say.Commit, *commit)
        if cut == "twice":  # the answer was lost with its door
            answer = self._ask(say.Commit, *commit)
        if cut == "unheard":
            self._crash()
        else:
            self.held = answer.mail

    def _crash(self) -> None:
        self.office.disown(self.path, self.n)
        self.office.pass_time(10)
        self._begin()


def relayed(store: Any, seed: int, messages: int) -> list[str]:
    """What the checker finds after so many messages."""
    chance, office = random.Random(seed), Office(store)
    ns = iter(range(1, 1 << 30))
    agents = [Relay(office, "/a", "/b", chance, ns), Relay(office, "/b", "", chance, ns)]
    for number in range(1, messages + 1):
        office.send("/a", packed(number), str(number))
        chance.choice(agents).step()
    for _ in range(6 * messages):
        for agent in agents:
            agent.step()
    found = []
    for agent in agents:
        found += [f"{agent.path}: {number} after {last}" for last, number in agent.state["wrong"]]
        if agent.state["count"] != messages:
            found.append(f"{agent.path}: {agent.state['count']} of {messages}")
    return found


@pytest.mark.parametrize("seed", range(20))
def test_who_is_cut_off_loses_doubles_and_reorders_nothing(seed: int) -> None:
    assert relayed(MemoryStore(), seed, 40) == []


class BadStore(MemoryStore):
    """Does one thing wrong, once: at the 50th operation of its kind."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault, self._count = fault, 0
        self._late: ops.Accept | None = None

    def commit(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        return [self._one(op, now_ms) for op in batch]

    def _one(self, op: ops.Op, now_ms: int) -> Answer:
        if isinstance(op, ops.Accept | ops.CommitTurn):
            self._count += 1
            if self._count == 50:
                return self._do_wrong(op, now_ms)
        (answer,) = super().commit([op], now_ms)
        if self._late is not None and isinstance(op, ops.Accept):
            late, self._late = self._late, None
            super().commit([late], now_ms)
        return answer

    def _do_wrong(self, op: Any, now_ms: int) -> Answer:
        if isinstance(op, ops.CommitTurn) or (self._fault == "half"):
            self._count -= 1  # the next one
            if self._fault == "half" and isinstance(op, ops.CommitTurn) and op.sends:
                self._count += 1
                op = ops.CommitTurn(op.path, op.incarnation, op.message, op.attempt, op.state)
            (answer,) = super().commit([op], now_ms)
            return answer
        match self._fault:
            case "lose":
                return Accepted(1 << 40)
            case "double":
                super().commit([ops.Accept(op.receiver, op.sender, op.body)], now_ms)
            case "reorder":
                self._late = op
                return Accepted(1 << 40)
        (answer,) = super().commit([op], now_ms)
        return answer


@pytest.mark.parametrize("fault", ["lose", "double", "reorder", "half"])
def test_the_checker_finds_what_a_bad_store_has_done(fault: str) -> None:
    assert relayed(BadStore("none"), 1, 60) == []
    assert relayed(BadStore(fault), 1, 60) != []


def test_an_attempt_is_told_nothing_of_mail_that_is_not_its_own() -> None:
    office = Office()
    first, other = office.own("/a", 1), office.own("/b", 2)
    office.send("/a", packed("x"))
    mail = office.ask(first, say.Take(1)).mail
    office.ask(first, say.Fail(2, mail.message, 1, "the password is 1234"))
    assert office.ask(other, say.Recall(1, mail.message)).why == ""


def test_a_disk_that_fails_as_something_is_due_does_not_stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    party = office.own("/a", 1)
    for number, due_ms in ((1, 500), (2, 5000)):
        office.host(words.Send(number, "client:0", "/a", packed(number), "", TERMS, office.now_ms + due_ms))

    def fails(reader: Any) -> int:
        raise JournalUnavailable("cannot read: the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryReader, "next_due_ms", fails)
        with pytest.raises(JournalUnavailable):
            office.pass_time(600)
    taken = [office.ask(party, say.Take(1)).mail]
    office.ask(party, say.Commit(2, taken[0].message, 1))
    while office.clerk.next_tick_ms():
        office.pass_time(max(1, office.clerk.next_tick_ms() - office.now_ms))
    taken.append(office.ask(party, say.Take(3)).mail)
    assert [msgpack.unpackb(mail.body) for mail in taken] == [1, 2]


def test_what_an_operator_changes_is_not_written_over_by_a_turn_that_knew_what_was_before() -> None:
    office = Office()
    party = office.own("/a", 1)
    office.ask(party, say.Commit(1, state=packed("good"), checkpoint="good"))
    office.ask(party, say.Commit(2, state=packed("bad")))
    office.orders.hear(words.Ask(500, "rollback", {"path": "/a", "checkpoint": "good"}), office.now_ms)
    late = office.ask(party, say.Commit(3, state=packed("worse")))
    assert isinstance(late, say.Refused) and late.code == say.STALE
    state = office.clerk.reader().state("/a")
    assert state is not None and state.state == packed("good")


def test_a_change_that_is_refused_costs_nobody_his_turn() -> None:
    office = Office()
    party = office.own("/a", 1)
    office.ask(party, say.Commit(1, state=packed("good")))
    office.host(words.Ask(500, "rollback", {"path": "/a", "checkpoint": "none"}))
    assert isinstance(office.ask(party, say.Commit(2, state=packed("better"))), say.Leased)


def test_a_disk_that_fails_as_an_answer_is_put_together_leaves_nobody_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office()
    first = office.own("/a", 1)
    office.send("/a", packed("x"))
    mail = office.ask(first, say.Take(1)).mail
    office.ask(first, say.Fail(2, mail.message, 1, "it broke"))
    office.pass_time(10)

    def fails(*args: Any) -> Any:
        raise JournalUnavailable("cannot read: the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryReader, "history", fails)
        taken = office.ask(first, say.Take(3))
        assert isinstance(taken, say.Refused) and taken.code == "journal_unavailable"
        assert isinstance(office.ask(first, say.Fail(4, mail.message, 2, "it broke")), say.Refused)
        office.clerk.hear(first, say.Commit(5, state=packed("true"), take=True), office.now_ms)
        office.commit()
        assert set(map(type, first.out)) == {say.Waiting, say.Leased}
        first.out.clear()
    assert office.ask(first, say.Take(6)).mail.attempt == 2
