"""Cases 1 to 14 of the suite: how a supervisor and its children start, ignore and fail to start."""

from __future__ import annotations

from typing import Any

import pytest

from tests.otp.case import SIM, case
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup
from tests.otp.stage import Note

IGNORES = "a foreign program cannot answer ignore"
ONE_FORM = "a variant; the other test of this case has every form"
WHY_NO_ADD = "over the wire children are added to pools alone; by a reload they are, in the other test of this case"


def fails(stage: Any) -> list[Note]:
    """Records of bad ends."""
    return [note for note in stage.notes() if note.name in ("agent.restarting", "supervisor.restarting")]


@case(1, forms=("sim", "agent"), why="an empty supervisor has no process whose form could matter")
def test_sup_start_normal_an_empty_supervisor_starts_and_stops_with_shutdown(play: Play) -> None:
    stage = play(sup())
    assert stage.state() == "ready"
    assert stage.count() == {"specs": 0, "active": 0, "supervisors": 0, "workers": 0}
    assert stage.stop().error is None
    assert stage.over
    assert stage.ends() == ["shutdown"]


@case(2, forms=("sim", "agent"), why=IGNORES)
def test_sup_start_ignore_init_a_supervisor_with_nothing_to_do_is_up_and_nothing_ends_noisily(play: Play) -> None:
    """A supervisor here runs no code of its own that could answer ignore; all that it has can."""
    stage = play(sup(Child("a", "temporary"), Child("b", "temporary")), plan={"a": ("ignore",), "b": ("ignore",)})
    assert stage.state() == "ready"
    assert stage.kids() == []
    assert stage.ends() == []
    assert fails(stage) == []


@case(3, forms=("sim", "agent"), why=IGNORES)
def test_sup_start_ignore_child_keeps_its_spec_without_a_process(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b")), plan={"a": ("ignore",)})
    assert stage.kids() == ["a", "b"]
    assert stage.count() == {"specs": 2, "active": 1, "supervisors": 0, "workers": 2}
    assert (stage.births("a"), stage.who("a")) == (1, [0])
    assert stage.start("a").error is None  # it can be started by hand, and has something to do now
    assert stage.state("a") == "ready"


@case(4, forms=("sim", "agent"), why=IGNORES)
def test_sup_start_ignore_temporary_child_leaves_no_spec(play: Play) -> None:
    stage = play(sup(Child("a", "temporary"), Child("b")), plan={"a": ("ignore",)})
    assert stage.kids() == ["b"]
    assert stage.count()["specs"] == 1
    assert stage.start("a").error == "unknown_name"


@case(5, forms=SIM, why=WHY_NO_ADD)
def test_sup_start_ignore_temporary_child_start_child_leaves_no_spec(play: Play) -> None:
    stage = play(sup(Child("b")))
    stage.plan("a", "ignore")
    stage.plan("c", "ignore")
    assert stage.add("a", Child("a", "temporary")) == (None, "it had nothing to do")
    assert stage.add("c", Child("c", "permanent")).error is None
    assert stage.kids() == ["b", "c"]


@case(5, forms=("sim", "agent"), why=IGNORES)
def test_sup_start_ignore_temporary_child_that_a_reload_brings_ends_and_is_no_failure(play: Play) -> None:
    stage = play(sup(Child("b")), static=True)
    (b,) = stage.who("b")
    stage.plan("a", "ignore")
    stage.plan("c", "ignore")
    answer = stage.reload(sup(Child("b"), Child("c"), Child("a", "temporary")))
    stage.settle()
    assert stage.births("c") == stage.births("a") == 1
    assert stage.who() == [b]
    assert answer.error is None, answer
    assert stage.kids() == ["b", "c"]


@case(6, forms=("sim", "agent"), why=IGNORES)
def test_sup_start_ignore_temporary_child_start_child_simple_leaves_nothing(play: Play) -> None:
    ignoring_members_leave_nothing(play, "temporary")


@case(7, forms=("sim", "agent"), why=IGNORES)
def test_sup_start_ignore_permanent_child_start_child_simple_leaves_nothing(play: Play) -> None:
    ignoring_members_leave_nothing(play, "permanent")


def ignoring_members_leave_nothing(play: Play, restart: str) -> None:
    stage = play(pool(Child("any", restart)))
    stage.plan("a", "ignore")
    assert stage.start("a") == (None, "it had nothing to do")
    assert stage.start("b").error is None
    assert stage.kids() == ["b"]
    assert stage.count() == {"specs": 1, "active": 1, "supervisors": 0, "workers": 1}
    assert stage.stop().error is None
    assert stage.ends() == ["shutdown"]


@case(9)
def test_sup_start_fail_becomes_the_error_and_what_was_up_stops_in_reverse(play: Play) -> None:
    """S2. An exception of a child's own start; supervisors have no code that could raise one."""
    stage = play(sup(*(Child(name) for name in "abcd")), plan={"c": ("fail",)}, fails=True)
    assert stage.answer.error == "start_failed"
    assert f"{stage.top}/c" in stage.answer.text
    assert [path for what, path in stage.order("ended") if path != "c"] == ["b", "a"]
    assert stage.births("d") == 0
    assert fails(stage) == []
    assert stage.over


@case(9, forms=("sim", "program"), why=ONE_FORM)
def test_sup_start_fail_also_when_the_child_ends_well_before_it_is_ready(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b", "transient")), plan={"b": ("gone",)}, fails=True)
    assert stage.answer.error == "start_failed"
    assert stage.ends("a") == ["shutdown"]
    assert stage.over


@case(10, forms=SIM, why=WHY_NO_ADD)
@pytest.mark.parametrize("how", ["fail", "gone"])
def test_sup_start_child_returns_error_with_the_reason_and_keeps_no_spec(play: Play, how: str) -> None:
    stage = play(sup(Child("b")))
    (b,) = stage.who("b")
    stage.plan("a", how)
    answer = stage.add("a", Child("a"))
    assert answer.error == "start_failed"
    assert "failed to start" in answer.text
    assert (stage.kids(), stage.who("b"), fails(stage)) == (["b"], [b], [])


@case(10)
def test_sup_start_child_returns_error_to_the_reload_that_brought_it_and_keeps_no_spec(play: Play) -> None:
    stage = play(sup(Child("b")), static=True)
    (b,) = stage.who("b")
    stage.plan("a", "fail")
    answer = stage.reload(sup(Child("b"), Child("a")))
    assert answer.error == "start_failed"
    assert f"{stage.top}/a" in answer.text
    stage.settle()
    assert (stage.kids(), stage.who("b"), stage.births("a")) == (["b"], [b], 1)
    assert fails(stage) == []


@case(11)
def test_sup_start_restart_child_returns_error_keeps_the_spec_without_a_process(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b"), intensity=0))
    (b,) = stage.who("b")
    stage.stop("a")
    stage.plan("a", "fail")
    answer = stage.start("a")
    assert answer.error == "start_failed"
    stage.settle()
    assert stage.kids() == ["a", "b"]
    assert (stage.state("a"), stage.who("b")) == ("down", [b])
    assert stage.births("a") == 2
    assert stage.start("a").error is None
    assert stage.state("a") == "ready"


@case(11, forms=("sim", "program"), why=ONE_FORM)
def test_sup_start_restart_child_returns_error_and_by_default_is_tried_again(play: Play) -> None:
    """D13."""
    stage = play(sup(Child("a")), strict=False)
    stage.stop("a")
    stage.plan("a", "fail")
    assert stage.start("a").error == "start_failed"
    stage.wait(lambda: stage.state("a") == "ready", "it is tried again")
    assert (stage.births("a"), stage.rows()["a"].restarts) == (3, 1)


@case(12)
def test_sup_start_child_returns_error_simple_and_no_member_is_kept(play: Play) -> None:
    stage = play(pool(Child("any"), intensity=0))
    assert stage.start("b").error is None
    (b,) = stage.who("b")
    for how in ("fail", "gone"):
        stage.plan("a", how)
        answer = stage.start("a")
        assert answer.error == "start_failed"
        assert stage.top not in answer.text  # the reason itself, not wrapped into who failed
    assert (stage.kids(), stage.who("b"), fails(stage)) == (["b"], [b], [])


@case(14)
def test_sup_start_map_simple_members_all_read_back_the_template(play: Play) -> None:
    stage = play(pool(Child("any", "transient")))
    for name in "abc":
        assert stage.start(name).error is None
    rows = stage.rows()
    assert {(rows[name].restart, rows[name].kind) for name in "abc"} == {("transient", "worker")}
    assert (rows[""].pool, rows[""].strategy) == (True, "one_for_one")
    assert stage.state("nobody") == "gone"
