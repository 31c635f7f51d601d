"""Events of the core, in every kind of journal: in order, and where one is missing it says so."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.values import Gap, Noted, Snapshot
from tests.journal.desk import Desk


def note(number: int, boot: int = 1) -> ops.Note:
    return ops.Note(boot, number, number / 10, b"event %d" % number, b"chance")


def test_events_come_back_in_order_with_their_time_and_chance(desk: Desk) -> None:
    desk.does(ops.Picture(1, 0, 0.0, b"empty"))
    for number in (1, 2):
        desk.does(note(number))
    desk.does(ops.Picture(1, 2, 0.2, b"state"))
    desk.does(note(3))
    assert desk.read.core(1) == (
        Snapshot(1, 0, 0.0, b"empty", 1000),
        Noted(1, 1, 0.1, b"chance", b"event 1", 1000),
        Noted(1, 2, 0.2, b"chance", b"event 2", 1000),
        Snapshot(1, 2, 0.2, b"state", 1000),
        Noted(1, 3, 0.3, b"chance", b"event 3", 1000),
    )
    assert desk.read.last_snapshot(1) == Snapshot(1, 2, 0.2, b"state", 1000)
    assert desk.read.last_number(1) == 3


def test_an_event_that_was_written_is_passed_over(desk: Desk) -> None:
    desk.does(note(1))
    desk.now_ms += 1
    desk.does(note(1))
    assert desk.read.core(1) == (Noted(1, 1, 0.1, b"chance", b"event 1", 1000),)


def test_a_hole_must_be_written_down_before_what_follows(desk: Desk) -> None:
    desk.does(note(1))
    assert desk.refuses(note(4)) == "out_of_order"
    assert desk.refuses(ops.Picture(1, 3, 0.3, b"")) == "out_of_order"
    desk.does(ops.Missed(1, 3, "the journal was down"))
    assert desk.refuses(ops.Missed(1, 3, "again")) == "out_of_order"
    desk.does(note(4))
    assert desk.read.core(1, after=1) == (
        Gap(1, 2, 3, "the journal was down", 1000),
        Noted(1, 4, 0.4, b"chance", b"event 4", 1000),
    )


def test_a_page_never_ends_between_an_event_and_its_snapshot(desk: Desk) -> None:
    for number in (1, 2, 3):
        desk.does(note(number))
        desk.does(ops.Picture(1, number, 0.0, b""))
    page = desk.read.core(1, limit=3)
    assert [type(one) for one in page] == [Noted, Snapshot, Noted, Snapshot]
    assert len(desk.read.core(1, after=2, limit=3)) == 2


def test_a_snapshot_may_follow_a_gap(desk: Desk) -> None:
    desk.does(ops.Missed(1, 1, "late"))
    desk.does(ops.Picture(1, 1, 0.1, b"s"))
    desk.does(ops.Missed(1, 3, "late again"))
    desk.does(ops.Picture(1, 3, 0.3, b"s"))
    desk.does(note(4))
    everything = desk.read.core(1)
    assert [type(one) for one in everything] == [Gap, Snapshot, Gap, Snapshot, Noted]
    assert desk.read.core(1, limit=1) == everything[:2]
    assert desk.read.core(1, after=1, limit=1) == everything[2:4]
    assert desk.read.core(1, after=3) == everything[4:]


def test_boots_are_told_apart(desk: Desk) -> None:
    desk.does(note(1, boot=3))
    desk.does(note(1, boot=1))
    assert desk.read.boots() == (1, 3)
    assert desk.read.last_number(2) == 0
    assert desk.read.last_snapshot(1) is None
    assert desk.read.core(2) == ()
