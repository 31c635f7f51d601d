"""Sessions, in every kind of journal: a log that only grows, points to go back to, copies, and an end that stays."""

from __future__ import annotations

import pytest

from agenthost.journal import limits, ops
from agenthost.journal.answers import Appended
from agenthost.journal.values import Entry, LogPage, Tombstone
from tests.journal.desk import Desk


def said(*bodies: bytes) -> tuple[Entry, ...]:
    return tuple(Entry("said", body) for body in bodies)


def bodies(page: LogPage) -> list[bytes]:
    return [entry.body for entry in page.entries]


def test_a_log_is_numbered_and_read_from_any_offset(desk: Desk) -> None:
    assert desk.asks(ops.Append("/a", said(b"1", b"2"))) == Appended(1, 2)
    assert desk.asks(ops.Append("/a", said(b"3"), (1, 1))) == Appended(3, 3)
    assert desk.asks(ops.Append("/a", ())) == Appended(4, 3)
    page = desk.read.log("/a", after=1)
    assert [(one.seq, one.body, one.at_ms) for one in page.entries] == [(2, b"2", 1000), (3, b"3", 1000)]
    assert (page.first_seq, page.last_seq) == (1, 3)
    assert bodies(desk.read.log("/a", limit=1)) == [b"1"]
    assert desk.read.log("/a", after=3) == LogPage(1, 3, ())
    assert desk.read.log("/nobody") == LogPage(1, 0, ())


def test_the_part_of_an_answer_that_broke_off_is_marked(desk: Desk) -> None:
    desk.asks(ops.Append("/a", (Entry("said", b"hel", 7, 1, broken=True), Entry("said", b"hello", 7, 2))))
    assert [(one.body, one.message, one.attempt, one.broken) for one in desk.read.log("/a").entries] == [
        (b"hel", 7, 1, True),
        (b"hello", 7, 2, False),
    ]


def test_a_session_can_go_back_to_a_checkpoint(desk: Desk) -> None:
    desk.commits(state=b"good", state_version=1, entries=said(b"1"), checkpoint="before")
    desk.now_ms += 1
    desk.commits(state=b"worse", state_version=2, entries=said(b"2"))
    desk.does(ops.Checkpoint("/a", "after"))
    assert [(one.name, one.seq, one.state_version) for one in desk.read.checkpoints("/a")] == [
        ("after", 2, 2),
        ("before", 1, 1),
    ]
    desk.does(ops.RollBack("/a", "before"))
    state = desk.read.state("/a")
    assert state is not None and (state.state, state.state_version) == (b"good", 1)
    assert desk.read.log("/a").last_seq == 2
    before = desk.read.state("/a", "before")
    assert before is not None and (before.state, before.seq, before.at_ms) == (b"good", 1, 1000)
    assert desk.read.state("/a", "never") is None
    assert desk.refuses(ops.RollBack("/a", "never")) == "unknown"
    assert desk.refuses(ops.RollBack("/b", "before")) == "unknown"


def test_a_checkpoint_of_the_same_name_replaces_the_one_before(desk: Desk) -> None:
    desk.commits(state=b"1", checkpoint="c")
    desk.commits(state=b"2", checkpoint="c")
    desk.does(ops.RollBack("/a", "c"))
    state = desk.read.state("/a")
    assert state is not None and state.state == b"2"
    assert len(desk.read.checkpoints("/a")) == 1


def test_checkpoints_have_a_limit(desk: Desk) -> None:
    for n in range(limits.CHECKPOINTS):
        desk.commits(state=b"s", checkpoint=f"c{n}")
    assert desk.refuses(desk.turn(state=b"s", checkpoint="more")) == "too_many"
    assert desk.refuses(ops.Checkpoint("/a", "more")) == "too_many"
    desk.commits(state=b"t", checkpoint="c3")


def test_what_was_removed_does_not_come_back_by_a_late_word(desk: Desk) -> None:
    desk.commits(state=b"s", entries=said(b"1", b"2"), checkpoint="c")
    number = desk.takes(b"late")
    mail = desk.leased()
    desk.does(ops.Intend("/a", (1, 1), number, 1, "c1", "tool"))
    desk.does(ops.Schedule("n", "/a", "/cron", "* * * * *", b"", 5000))
    desk.does(ops.RemoveSession("/a"))
    assert desk.read.tombstone("/a") == Tombstone("/a", 1000, 2)
    assert desk.read.session("/a") is None and desk.read.state("/a") is None and desk.read.checkpoints("/a") == ()
    assert desk.read.log("/a") == LogPage(3, 2, ())
    assert desk.status(number) == "dropped"
    assert desk.read.intents("/a") == () and desk.read.crons() == () and desk.read.sessions() == ()
    assert desk.refuses(desk.turn(mail, state=b"s")) == "removed"
    assert desk.refuses(ops.Accept("/a", "/s", b"")) == "removed"
    assert desk.refuses(ops.Append("/a", said(b"x"))) == "removed"
    assert desk.refuses(ops.Import("/a")) == "removed"
    assert desk.refuses(ops.Intend("/a", (1, 1), 0, 0, "c", "t")) == "removed"
    assert desk.refuses(ops.Checkpoint("/a", "c")) == "removed"
    assert desk.leases() is None
    desk.now_ms += 1
    desk.does(ops.RemoveSession("/a"))
    assert desk.read.tombstone("/a") == Tombstone("/a", 1000, 2)


def test_a_revived_session_goes_on_counting(desk: Desk) -> None:
    desk.commits(state=b"s", entries=said(b"1", b"2"))
    desk.does(ops.RemoveSession("/a"))
    desk.does(ops.Revive("/a"))
    assert desk.read.state("/a") is None and desk.read.log("/a") == LogPage(3, 2, ())
    assert desk.asks(ops.Append("/a", said(b"3"))) == Appended(3, 3)
    desk.takes(b"x")
    assert desk.handles() == b"x"
    assert desk.refuses(ops.Revive("/a")) == "unknown"


def test_a_fork_is_a_copy_that_goes_its_own_way(desk: Desk) -> None:
    desk.commits(state=b"1", entries=said(b"1"), checkpoint="c")
    desk.commits(state=b"2", entries=said(b"2"))
    desk.does(ops.Fork("/a", "/b"))
    desk.commits(state=b"3", entries=said(b"3"))
    state = desk.read.state("/b")
    assert state is not None and (state.path, state.state) == ("/b", b"2")
    assert bodies(desk.read.log("/b")) == [b"1", b"2"]
    assert desk.asks(ops.Append("/b", said(b"b3"))) == Appended(3, 3)
    assert bodies(desk.read.log("/a")) == [b"1", b"2", b"3"]
    assert [one.path for one in desk.read.checkpoints("/b")] == ["/b"]
    assert desk.refuses(ops.Fork("/a", "/b")) == "conflict"
    assert desk.refuses(ops.Fork("/nobody", "/c")) == "unknown"


def test_a_fork_at_a_checkpoint_has_what_was_there_then(desk: Desk) -> None:
    desk.commits(state=b"1", state_version=1, entries=said(b"1"), checkpoint="c1")
    desk.commits(state=b"2", state_version=2, entries=said(b"2", b"3"), checkpoint="c2")
    desk.does(ops.Fork("/a", "/b", "c1"))
    state = desk.read.state("/b")
    assert state is not None and (state.state, state.state_version, state.seq) == (b"1", 1, 1)
    assert bodies(desk.read.log("/b")) == [b"1"]
    assert [one.name for one in desk.read.checkpoints("/b")] == ["c1"]
    assert desk.refuses(ops.Fork("/a", "/c", "never")) == "unknown"
    desk.does(ops.RemoveSession("/b"))
    assert desk.refuses(ops.Fork("/a", "/b")) == "removed"


def test_a_session_can_be_told_and_taken_in_elsewhere(desk: Desk) -> None:
    desk.does(ops.Import("/new", b"state", 3, said(b"1", b"2")))
    state = desk.read.state("/new")
    assert state is not None and (state.state, state.state_version, state.seq) == (b"state", 3, 2)
    assert bodies(desk.read.log("/new")) == [b"1", b"2"]
    assert desk.asks(ops.Append("/new", said(b"3"))) == Appended(3, 3)
    assert desk.refuses(ops.Import("/new")) == "conflict"


def test_a_session_that_ended_goes_on_if_it_is_spoken_to(desk: Desk) -> None:
    desk.commits(state=b"s")
    desk.does(ops.EndSession("/a"))
    session = desk.read.session("/a")
    assert session is not None and session.ended_ms == 1000
    desk.commits(entries=said(b"1"))
    session = desk.read.session("/a")
    assert session is not None and session.ended_ms == 0
    assert desk.refuses(ops.EndSession("/nobody")) == "unknown"


def test_sessions_are_listed_in_pages_below_a_prefix(desk: Desk) -> None:
    for name in ("/x/a", "/x/b", "/x/c", "/xy", "/y/a", "/x/\U0001f600"):
        desk.asks(ops.Append(name, said(b"1")))
    assert [one.path for one in desk.read.sessions("/x/", limit=2)] == ["/x/a", "/x/b"]
    assert [one.path for one in desk.read.sessions("/x/", after="/x/b")] == ["/x/c", "/x/\U0001f600"]
    assert len(desk.read.sessions()) == 6
    session = desk.read.sessions("/y/")[0]
    assert (session.path, session.created_ms, session.first_seq, session.last_seq) == ("/y/a", 1000, 1, 1)
    assert desk.read.stats().sessions == 6


@pytest.mark.parametrize("kind", ["entries", "body"])
def test_a_log_entry_has_its_limits(desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(limits, "BODY_BYTES", 10)
    monkeypatch.setattr(limits, "ENTRIES", 3)
    entries = said(*[b""] * 4) if kind == "entries" else said(b"x" * 11)
    assert desk.refuses(ops.Append("/a", entries)) == "too_large"
    assert desk.refuses(desk.turn(entries=entries)) == "too_large"
    assert desk.refuses(ops.Import("/b", entries=entries)) == "too_large"
