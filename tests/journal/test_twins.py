"""SQLite and its twin, driven with the same random operations, give the same answers and keep the same things."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from agenthost.core.budget.amounts import Amounts
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Leased, Rejected
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.ops import Retention
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.values import Entry, Mail, Spending

paths = st.sampled_from(["/a", "/b", "/p/c"])
senders = st.sampled_from(["/s", "/t", "/a"])
sessions = st.sampled_from(["", "", "x", "y"])
names = st.sampled_from(["c1", "c2"])
soon = st.integers(0, 30)
incarnations = st.tuples(st.integers(1, 2), st.integers(1, 3))
entries = st.lists(st.builds(Entry, st.just("said"), st.binary(max_size=3)), max_size=3).map(tuple)
sends = st.builds(
    ops.Accept,
    paths,
    senders,
    st.binary(max_size=3),
    session=sessions,
    key=st.sampled_from(["", "", "k1", "k2"]),
    due_ms=st.one_of(st.just(0), st.integers(0, 200)),
    limit=st.integers(0, 4),
    when_full=st.sampled_from(["refuse", "drop_oldest", "spill"]),
    by_clock=st.booleans(),
)


class Twins(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agenthost-twins-"))
        self.now_ms = 1
        self.held: list[Mail] = []
        self.shown: dict[str, list[int]] = {}
        self.twin = MemoryStore()
        self.read_twin = self.twin.reader()
        self._open()

    def _open(self) -> None:
        self.store = SqliteStore(self.folder / "journal")
        self.read = self.store.reader()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            assert self.store.check() == ()
            self.read.close()
            self.store.close()
            shutil.rmtree(self.folder)

    def _both(self, *batch: ops.Op) -> None:
        answers = self.store.commit(batch, self.now_ms)
        assert [_plain(one) for one in answers] == [_plain(one) for one in self.twin.commit(batch, self.now_ms)]
        for answer in answers:
            following = getattr(answer, "next", None)
            for one in (answer, following):
                if isinstance(one, Leased):
                    self.held = [*self.held[-5:], one.mail]
                    self.shown[one.mail.receiver] = [other.id for other in one.shown]

    # ---- mail

    @rule(batch=st.lists(sends, min_size=1, max_size=4))
    def accept(self, batch: list[ops.Accept]) -> None:
        self._both(*batch)

    @rule(path=paths, incarnation=incarnations)
    def own(self, path: str, incarnation: tuple[int, int]) -> None:
        self._both(ops.Own(path, incarnation))

    @rule(path=paths, until_ms=soon, show=st.integers(0, 3))
    def lease(self, path: str, until_ms: int, show: int) -> None:
        owner = self.read.owner(path) or (1, 1)
        self._both(ops.Lease(path, owner, self.now_ms + until_ms, show))

    @rule(path=paths, incarnation=incarnations)
    def lease_as_somebody(self, path: str, incarnation: tuple[int, int]) -> None:
        self._both(ops.Lease(path, incarnation, self.now_ms))

    @rule(data=st.data(), wait_ms=soon)
    def settle(self, data: st.DataObject, wait_ms: int) -> None:
        mail = self._some_mail(data)
        kind = data.draw(st.sampled_from([ops.Release, ops.Park, ops.DeadLetter, ops.BackOff, ops.Move]))
        mark = ops.Mark("crash", "retry", b"x")
        if kind is ops.BackOff:
            self._both(ops.BackOff(mail.id, mail.attempt, self.now_ms + 1 + wait_ms, "why", mark))
        elif kind is ops.Park:
            self._both(ops.Park(mail.id, mail.attempt, "why", data.draw(st.sampled_from([0, self.now_ms + wait_ms]))))
        elif kind is ops.Move:
            self._both(ops.Move(mail.id, mail.attempt, data.draw(paths), "why", mark))
        else:
            self._both(kind(mail.id, mail.attempt, "why"))

    @rule(message=st.integers(1, 30), drop=st.booleans())
    def requeue_or_drop(self, message: int, drop: bool) -> None:
        self._both(ops.Drop(message) if drop else ops.Requeue(message))

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        parked = self.read.parked()
        number = data.draw(st.sampled_from([one.id for one in parked])) if parked else 1
        self._both(ops.Resume(number, "yes", ops.Mark(remedy=b"y")))

    @rule(path=paths)
    def strand(self, path: str) -> None:
        self._both(ops.Strand(path, "gone"))

    @rule(data=st.data(), until_ms=soon)
    def extend(self, data: st.DataObject, until_ms: int) -> None:
        mail = self._some_mail(data)
        self._both(ops.Extend(mail.receiver, mail.incarnation or (1, 1), mail.id, mail.attempt, until_ms))

    @rule(limit=st.integers(1, 5), passes_ms=soon)
    def ripen(self, limit: int, passes_ms: int) -> None:
        self.now_ms += passes_ms
        self._both(ops.Ripen(limit))

    @rule(sender=senders, key=st.sampled_from(["k1", "k2"]))
    def cancel(self, sender: str, key: str) -> None:
        self._both(ops.Cancel(sender, key))

    @rule(by_ms=st.integers(-50, 50))
    def shift(self, by_ms: int) -> None:
        self._both(ops.Shift(by_ms))

    @rule(name=names, path=paths, due_ms=soon)
    def schedule(self, name: str, path: str, due_ms: int) -> None:
        self._both(ops.Schedule(name, path, "/cron", "* * * * *", b"go", due_ms))

    @rule(name=names, due_ms=soon, next_due_ms=soon, limit=st.integers(0, 3))
    def fire(self, name: str, due_ms: int, next_due_ms: int, limit: int) -> None:
        crons = {cron.name: cron for cron in self.read.crons()}
        due_ms = crons[name].due_ms if name in crons else due_ms
        self._both(ops.Fire(name, due_ms, next_due_ms, limit), ops.Unschedule("c2"))

    @rule(name=names, next_due_ms=soon)
    def skip(self, name: str, next_due_ms: int) -> None:
        cron = self.read.cron(name)
        assert cron == self.read_twin.cron(name)
        self._both(ops.Skip(name, 1 if cron is None else cron.due_ms, next_due_ms))

    # ---- turns

    @rule(data=st.data(), more=st.fixed_dictionaries({
        "state": st.none() | st.binary(max_size=4),
        "state_version": st.integers(0, 2),
        "sends": st.lists(sends, max_size=3).map(tuple),
        "entries": entries,
        "outcome": st.binary(max_size=2),
        "checkpoint": st.sampled_from(["", "", "c1", "c2"]),
        "unsendable": st.sampled_from(["refuse", "dead_letter"]),
        "lease_until_ms": st.integers(0, 1),
        "show": st.integers(0, 3),
        "upon": st.sampled_from([0, 0, 1, 2, 3, 5]),
        "cancels": st.lists(st.sampled_from(["k1", "k2"]), max_size=2).map(tuple),
    }))  # fmt: skip
    def turn(self, data: st.DataObject, more: dict[str, Any]) -> None:
        mail = self._some_mail(data)
        self._both(ops.CommitTurn(mail.receiver, mail.incarnation or (1, 1), mail.id, mail.attempt, **more))

    @rule(
        data=st.data(),
        others=st.lists(sends | st.builds(ops.Cancel, senders, st.sampled_from(["k1", "k2"])), max_size=3),
        states=st.lists(st.none() | st.binary(max_size=2), min_size=3, max_size=3),
        show=st.integers(0, 2),
    )
    def turns_of_what_was_shown(
        self, data: st.DataObject, others: list[ops.Op], states: list[bytes | None], show: int
    ) -> None:
        """Several turns of one agent in one commit, and what others ask between them."""
        mail = self._some_mail(data)
        owner = mail.incarnation or (1, 1)
        of = [(mail.id, mail.attempt), *((number, 1) for number in self.shown.get(mail.receiver, ()))]
        turns: list[ops.Op] = [
            ops.CommitTurn(
                mail.receiver, owner, number, attempt, state, lease_until_ms=7, show=show if last else 0, upon=upon
            )
            for last, upon, (number, attempt), state in zip(
                (False, False, True), (0, *(number for number, _ in of)), of, states, strict=False
            )
        ]
        for other in others:
            turns.insert(data.draw(st.integers(0, len(turns))), other)
        self._both(*turns)

    @rule(
        path=paths,
        incarnation=incarnations,
        state=st.none() | st.binary(max_size=4),
        lines=entries,
        turn=st.integers(0, 4),
    )
    def turn_without_mail(
        self, path: str, incarnation: tuple[int, int], state: bytes | None, lines: Any, turn: int
    ) -> None:
        self._both(ops.CommitTurn(path, incarnation, state=state, entries=lines, turn=turn))

    @rule(data=st.data(), call=names, outcome=st.none() | st.binary(max_size=2))
    def tool_call(self, data: st.DataObject, call: str, outcome: bytes | None) -> None:
        mail = self._some_mail(data)
        who = mail.incarnation or (1, 1)
        if outcome is None:
            self._both(ops.Intend(mail.receiver, who, mail.id, mail.attempt, call, "tool"))
        else:
            self._both(ops.Conclude(mail.receiver, who, mail.id, call, outcome))

    @rule(path=paths, incarnation=incarnations, counts=st.binary(max_size=2))
    def repeated(self, path: str, incarnation: tuple[int, int], counts: bytes) -> None:
        self._both(ops.Repeated(path, incarnation, counts))

    # ---- meters

    @rule(path=paths, message=st.integers(0, 9), alone=st.booleans(), turn=st.integers(0, 3), tokens=st.integers(0, 9))
    def charge(self, path: str, message: int, alone: bool, turn: int, tokens: int) -> None:
        spending = Spending(path, (1, turn), turn, Amounts(tokens), b"s") if turn else None
        self._both(ops.Charge(path, Amounts(tokens, cost=0.5, turns=turn), spending, message, alone))
        self._both(ops.Counted(1, tokens))

    @rule(path=paths, message=st.integers(0, 9))
    def grant(self, path: str, message: int) -> None:
        self._both(ops.Grant(path, "cost", 1.5, "uid 7", message))

    # ---- sessions

    @rule(path=paths, lines=entries, incarnation=st.none() | incarnations, turn=st.integers(0, 4))
    def append(self, path: str, lines: Any, incarnation: tuple[int, int] | None, turn: int) -> None:
        self._both(ops.Append(path, lines, incarnation, turn))

    @rule(path=paths, lines=entries, incarnation=incarnations, breaks=st.booleans())
    def stash(self, path: str, lines: Any, incarnation: tuple[int, int], breaks: bool) -> None:
        owner = self.read.owner(path) or incarnation
        self._both(ops.Stash(path, owner, lines), ops.Stash(path, incarnation, lines))
        if breaks:
            self._both(ops.BreakOff(path, incarnation))

    @rule(path=paths, key=st.sampled_from(["", "k1", "k2"]), limit=st.integers(0, 3))
    def say_in_session(self, path: str, key: str, limit: int) -> None:
        said = Entry("message", b"hi")
        self._both(ops.Accept(path, "/s", b"hi", session=path, key=key, limit=limit, logged=said))

    @rule(
        kind=st.sampled_from([ops.EndSession, ops.RemoveSession, ops.Revive, ops.Revive]),
        path=paths,
    )
    def end(self, kind: Any, path: str) -> None:
        self._both(kind(path))

    @rule(kind=st.sampled_from([ops.Checkpoint, ops.RollBack]), path=paths, name=names)
    def checkpoint(self, kind: Any, path: str, name: str) -> None:
        self._both(kind(path, name))

    @rule(source=paths, copy=st.sampled_from(["/a", "/f1", "/f2"]), name=st.sampled_from(["", "c1", "c2"]))
    def fork(self, source: str, copy: str, name: str) -> None:
        self._both(ops.Fork(source, copy, name))

    @rule(copy=st.sampled_from(["/i1", "/b"]), state=st.none() | st.binary(max_size=3), lines=entries)
    def take_in(self, copy: str, state: bytes | None, lines: Any) -> None:
        self._both(ops.Import(copy, state, 1, lines))

    # ---- the core

    @rule(boot=st.integers(1, 2), ahead=st.integers(0, 2), kind=st.sampled_from(["note", "note", "picture", "missed"]))
    def core(self, boot: int, ahead: int, kind: str) -> None:
        number = self.read.last_number(boot) + ahead
        match kind:
            case "note":
                self._both(ops.Note(boot, number, 0.5, b"e"))
            case "picture":
                self._both(ops.Picture(boot, number, 0.5, b"s"))
            case _:
                self._both(ops.Missed(boot, number, "why"))

    # ---- what failed

    @rule(data=st.data(), path=paths, inc=incarnations, fatal=st.booleans(), of_mail=st.booleans())
    def crash(self, data: st.DataObject, path: str, inc: tuple[int, int], fatal: bool, of_mail: bool) -> None:
        mail = self._some_mail(data)
        if of_mail:
            more = {"fatal": fatal, "adds": mail.id % 3 == 0}
            self._both(ops.Crash(path, inc, "error", "why", "f", mail.id, mail.attempt, "retry", **more))
        else:
            number, ended = data.draw(st.integers(0, 3)), data.draw(st.sampled_from(("", "exit status 1")))
            details = data.draw(st.binary(max_size=2))
            self._both(ops.Crash(path, inc, "exit", ended=ended, details=details, number=number, at_ms=number * 7))

    # ---- upkeep

    @rule(passes_ms=soon, age_ms=soon, dead=st.booleans())
    def retain(self, passes_ms: int, age_ms: int, dead: bool) -> None:
        self.now_ms += passes_ms
        policy = Retention(age_ms, age_ms, age_ms, age_ms if dead else None, age_ms if dead else None, age_ms, 2)
        assert self.store.retain(policy, self.now_ms) == self.twin.retain(policy, self.now_ms)
        self.store.vacuum()

    @rule()
    def open_again(self) -> None:
        self.read.close()
        self.store.close()
        self._open()

    @invariant()
    def both_keep_the_same(self) -> None:
        if not hasattr(self, "store"):
            return
        assert list(self.read.export()) == list(self.read_twin.export())
        assert self.read.receivers() == self.read_twin.receivers()
        assert self.read.mailboxes() == self.read_twin.mailboxes()
        assert self.read.next_due_ms() == self.read_twin.next_due_ms()
        assert self.read.delayed() == self.read_twin.delayed()
        assert self.read.parked("/") == self.read_twin.parked("/")
        assert self.read.lapsed(self.now_ms) == self.read_twin.lapsed(self.now_ms)
        assert self.read.overdue(self.now_ms) == self.read_twin.overdue(self.now_ms)
        assert self.read.holders() == self.read_twin.holders()
        assert self.read.stats().open_mail == self.read_twin.stats().open_mail
        for path in ("/a", "/b", "/p/c"):
            assert self.read.open_count(path) == self.read_twin.open_count(path)
            assert self.read.held(path) == self.read_twin.held(path)
            assert self.read.repeats(path) == self.read_twin.repeats(path)
            assert self.read.log(path) == self.read_twin.log(path)
            assert self.read.stashes() == self.read_twin.stashes()
            assert self.read.log(path, 1, 3, 2) == self.read_twin.log(path, 1, 3, 2)
            assert self.read.checkpoints(path) == self.read_twin.checkpoints(path)

    def _some_mail(self, data: st.DataObject) -> Mail:
        if not self.held:
            return Mail(1, 1, "/a", "/s", "", "leased", 1, 1, b"", incarnation=(1, 1))
        # The latest one most of the time: the others are stale.
        return self.held[-1] if data.draw(st.integers(0, 3)) else data.draw(st.sampled_from(self.held))


def _plain(answer: Answer) -> Answer:
    """Words may differ."""
    return replace(answer, why="") if isinstance(answer, Rejected) else answer


# Shrinking takes minutes here, longer than pytest's limit, which would then hide what failed. The slow one does it.
LOOKING = (Phase.explicit, Phase.reuse, Phase.generate)
TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=15, stateful_step_count=40, phases=LOOKING)


@pytest.mark.slow
@pytest.mark.timeout(1500)
class TestTwinsForLong(Twins.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=400, stateful_step_count=80, phases=(*LOOKING, Phase.shrink))
