"""What a store does for remedies: marks of failures, messages that wait for a person, or move to another agent."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.answers import Ripened
from tests.journal.desk import Desk

MARK = ops.Mark("crash ValueError at crew:handle+3", "vary seed=random", b"\x80")


def test_a_failure_keeps_which_one_it_was_and_what_was_decided(desk: Desk) -> None:
    desk.takes(b"1")
    desk.does(ops.BackOff(desk.leased().id, 1, 2000, "no JSON", MARK))
    desk.now_ms = 2000
    desk.asks(ops.Ripen())
    desk.does(ops.DeadLetter(desk.leased().id, 2, "no JSON", ops.Mark("crash", "dead_letter")))
    first, second = desk.read.history(1)
    assert (first.fingerprint, first.rung, first.remedy) == (MARK.fingerprint, MARK.rung, MARK.remedy)
    assert (second.what, second.fingerprint, second.rung, second.remedy) == ("dead_letter", "crash", "dead_letter", b"")


def test_a_parked_message_waits_for_an_answer_and_holds_back_its_lane_alone(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2")
    desk.takes(b"3", sender="/t")
    desk.does(ops.Park(desk.leased().id, 1, "go on?", mark=MARK))
    assert [one.id for one in desk.read.parked()] == [1]
    assert desk.read.parked("/b") == () and desk.read.parked(after=1) == ()
    assert [desk.handles(), desk.handles()] == [b"3", None]
    desk.does(ops.Resume(1, "yes, says ana", ops.Mark(remedy=b"yes")))
    assert [desk.handles(), desk.handles()] == [b"1", b"2"]
    assert [(line.what, line.reason) for line in desk.read.history(1)] == [
        ("parked", "go on?"),
        ("answered", "yes, says ana"),
    ]


def test_only_what_is_parked_can_be_answered(desk: Desk) -> None:
    desk.takes(b"1")
    assert desk.refuses(ops.Resume(1, "yes")) == "conflict"
    assert desk.refuses(ops.Resume(2, "yes")) == "unknown"


def test_a_question_that_nobody_answers_in_time_is_listed_and_does_not_ripen(desk: Desk) -> None:
    desk.takes(b"1")
    desk.does(ops.Park(desk.leased().id, 1, "go on?", until_ms=5000))
    assert desk.read.next_due_ms() == 5000
    assert desk.read.lapsed(4999) == ()
    desk.now_ms = 5000
    assert [one.id for one in desk.read.lapsed(5000)] == [1]
    assert desk.asks(ops.Ripen()) == Ripened(())
    assert desk.status(1) == "parked"
    desk.does(ops.BackOff(1, 1, 5000, "nobody has answered", MARK))
    assert desk.asks(ops.Ripen()) == Ripened(("/a",))
    assert desk.handles() == b"1"


def test_a_parked_message_can_be_set_aside_and_its_lane_goes_on(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2")
    desk.does(ops.Park(desk.leased().id, 1, "go on?", until_ms=5000))
    desk.does(ops.DeadLetter(1, 1, "no, says ana"))
    assert desk.handles() == b"2" and desk.read.next_due_ms() == 0
    assert desk.refuses(ops.Park(1, 1, "")) == "stale"


def test_a_message_that_is_moved_goes_to_the_end_of_its_lane_there_with_all_that_it_has(desk: Desk) -> None:
    desk.asks(ops.Own("/b", (1, 2)))
    desk.takes(b"b1", to="/b")
    desk.takes(b"1", key="k")
    desk.takes(b"2")
    held = desk.leased()
    desk.does(ops.Intend("/a", (1, 1), held.id, 1, "c1", "/tools/pay", b"x"))
    desk.does(ops.Move(held.id, 1, "/b", "garbage", MARK))
    assert desk.read.mailboxes() == (("/a", 1), ("/b", 2))
    assert desk.handles() == b"2"
    assert desk.leased("/b", (1, 2)).body == b"b1"
    desk.commits(desk.leased("/b", (1, 2)))
    moved = desk.leased("/b", (1, 2))
    assert (moved.body, moved.attempt, moved.receiver, moved.key) == (b"1", 2, "/b", "k")
    assert [intent.call for intent in desk.read.intents("/b", moved.id)] == ["c1"]
    assert desk.read.intents("/a") == ()
    assert [line.what for line in desk.read.history(moved.id)] == ["moved"]
    desk.commits(moved)
    assert desk.read.intents("/b") == ()


def test_nothing_is_moved_to_who_was_removed(desk: Desk) -> None:
    desk.does(ops.RemoveSession("/b"))
    desk.takes(b"1")
    desk.leased()
    assert desk.refuses(ops.Move(1, 1, "/b", "why")) == "removed"
    assert desk.status(1) == "leased"


def test_a_parked_message_can_be_moved(desk: Desk) -> None:
    desk.takes(b"1")
    desk.does(ops.Park(desk.leased().id, 1, "go on?"))
    desk.does(ops.Move(1, 1, "/b", "nobody has answered"))
    assert desk.read.mailboxes() == (("/b", 1),)
