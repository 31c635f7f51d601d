"""The writer: many requests into few commits, answers after the commit, and what becomes of them when it fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agenthost.errors import JournalDamaged, JournalFull, Overloaded
from agenthost.journal import ops, writer
from agenthost.journal.answers import Accepted, Answer, Rejected
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.writer import Writer


def accept(n: int = 0, to: str = "/a") -> ops.Accept:
    return ops.Accept(to, "/s", b"%d" % n)


class Counted(MemoryStore):
    """Remembers its batches; fails as told."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.error: Exception | None = None

    def commit(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        if self.error is not None:
            raise self.error
        answers = super().commit(batch, now_ms)
        self.batches.append(len(batch))
        return answers


def test_what_gathered_is_one_commit_and_each_gets_its_own_answers() -> None:
    store = Counted()
    write = Writer(store)
    write.submit("first", [accept(1), accept(2)], 1)
    write.submit("second", [accept(3)], 1)
    write.submit("nothing", [], 1)
    assert write.waiting == 3
    outcomes = write.try_commit(1)
    assert [(one.token, one.answers, one.error) for one in outcomes] == [
        ("first", [Accepted(1), Accepted(2)], None),
        ("second", [Accepted(3)], None),
        ("nothing", [], None),
    ]
    assert store.batches == [3]
    assert (write.waiting, write.commits, write.operations) == (0, 1, 3)
    assert write.try_commit(1) == []


def test_a_batch_has_a_bound_and_keeps_requests_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH_OPS", 4)
    store = Counted()
    write = Writer(store)
    for n in range(3):
        write.submit(n, [accept(), accept(), accept()], 1)
    assert write.full
    assert [one.token for _ in range(4) for one in write.try_commit(1)] == [0, 1, 2]
    assert store.batches == [3, 3, 3]
    write.submit("large", [accept()] * 9, 1)
    assert len(write.try_commit(1)) == 1


def test_a_batch_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH_BYTES", 3000)
    store = Counted()
    write = Writer(store)
    turn = ops.CommitTurn("/a", (1, 1), state=b"x" * 2000)
    for _ in range(3):
        write.submit("", [turn], 1)
    while write.try_commit(1):
        pass
    assert store.batches == [1, 1, 1]


def test_too_much_that_waits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUEUE_OPS", 2)
    write = Writer(Counted())
    write.submit("", [accept(), accept()], 1)
    with pytest.raises(Overloaded, match="cannot queue 1 operations for the journal: 2 wait"):
        write.submit("", [accept()], 1)
    write.try_commit(1)
    write.submit("", [accept()], 1)


def test_a_full_disk_is_tried_again_until_patience_ends() -> None:
    store = Counted()
    write = Writer(store)
    store.error = JournalFull("cannot write the journal: the disk is full")
    write.submit("patient", [accept(1)], 0, patience_ms=10_000)
    write.submit("hasty", [accept(2)], 0, patience_ms=60)
    assert write.try_commit(0) == []
    assert write.trouble is store.error
    assert write.retry_at_ms == 50
    assert write.try_commit(49) == []
    (gone,) = write.try_commit(60)
    assert (gone.token, gone.answers, gone.error) == ("hasty", None, store.error)
    assert write.retry_at_ms == 160
    store.error = None
    assert write.try_commit(159) == []
    (kept,) = write.try_commit(160)
    assert (kept.token, kept.answers) == ("patient", [Accepted(1)])
    assert write.trouble is None and write.waiting == 0


def test_a_damaged_journal_is_told_to_all_at_once() -> None:
    store = Counted()
    write = Writer(store)
    store.error = JournalDamaged("cannot read the journal")
    write.submit("a", [accept()], 0)
    write.submit("b", [accept()], 0)
    assert [(one.token, one.error) for one in write.try_commit(0)] == [("a", store.error), ("b", store.error)]
    with pytest.raises(JournalDamaged):
        write.submit("c", [accept()], 0)


def test_a_request_that_breaks_the_store_fails_alone(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "journal") as store:
        write = Writer(store)
        write.submit("good", [accept(1)], 1)
        write.submit("bad", [accept(2), ops.Accept("/a", "/s", b"", due_ms=1 << 64)], 1)
        write.submit("good too", [accept(3)], 1)
        good, bad, also = write.try_commit(1)
        assert good.answers == [Accepted(1)] and also.answers == [Accepted(2)]
        assert bad.answers is not None
        assert [one.code for one in bad.answers if isinstance(one, Rejected)] == ["failed", "failed"]
        assert isinstance(bad.answers[0], Rejected) and "OverflowError" in bad.answers[0].why
        with store.reader() as read:
            assert read.open_count("/a") == 2


def test_what_has_to_be_written_whenever_that_may_be_is_not_refused_for_want_of_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An agent that arrives while too much waits would never own its path."""
    monkeypatch.setattr(writer, "QUEUE_OPS", 2)
    write = Writer(Counted())
    write.submit("full", [accept(1), accept(2)], 1)
    with pytest.raises(Overloaded):
        write.submit("more", [accept(3)], 1)
    write.submit("an arrival", [ops.Own("/a", (1, 1))], 1, writer.FOR_EVER_MS)
    assert [one.token for one in write.try_commit(1)] == ["full", "an arrival"]


def test_events_of_the_core_are_in_no_hurry_until_somebody_waits() -> None:
    write = Writer(Counted())
    assert write.is_unhurried
    write.submit("event", [ops.Note(1, 1, 0.0, b"x")], 1)
    assert write.is_unhurried
    write.submit("somebody", [accept(1)], 1)
    assert not write.is_unhurried
    write.try_commit(1)
    write.submit("event", [ops.Note(1, 2, 0.0, b"x")], 1)
    assert write.is_unhurried and write.waiting == 1
