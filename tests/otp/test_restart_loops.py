"""Cases 80 to 82 of the suite: children that cannot be restarted and are tried again and again.

Erlang tries at once, here it waits longer and longer (D1). Either way such a child is seen to be in that state, can be
stopped, and holds up nobody.
"""

from __future__ import annotations

from typing import Any

from tests.otp.case import case
from tests.otp.play import Play
from tests.otp.shape import Child, Sup, pool, sup

FOR_EVER = ("fail",) * 50


def loops(name: str) -> Child:
    return Child(name, backoff=True, shutdown=0.5)


def wait_in_loop(stage: Any, path: str) -> None:
    """It has failed twice, so there is time before the next try."""
    stage.wait(lambda: stage.births(path) >= 3 and stage.state(path) == "waiting", f"{path} waits to be restarted")


def stopped(stage: Any, path: str) -> None:
    """The loop ends by a stop, and does not begin again."""
    assert stage.stop(path).error is None
    births = stage.births(path)
    assert stage.state(path) in ("down", "gone")
    assert stage.who(path) == [0] if stage.state(path) == "down" else path not in stage.rows()
    assert not [row for row in stage.rows().values() if row.state == "waiting"]
    assert stage.births(path) == births


def played(play: Play, shape: Sup) -> Any:
    return play(shape, strict=False)


@case(80)
def test_hanging_restart_loop_can_be_stopped_and_does_not_hold_up_the_stop_of_its_supervisor(play: Play) -> None:
    stage = played(play, sup(loops("a"), Child("b"), intensity=1000))
    (b,) = stage.who("b")
    stage.plan("a", *FOR_EVER)
    stage.leave("a", 1)
    wait_in_loop(stage, "a")
    assert "failed to start" in stage.rows()["a"].reason or "exit status 1" in stage.rows()["a"].reason
    stopped(stage, "a")
    stage.plan("a", "ready", *FOR_EVER)
    assert stage.start("a").error is None
    assert stage.who("b") == [b]
    stage.leave("a", 1)
    stage.wait(lambda: stage.state("a") == "waiting", "it waits again")
    assert stage.stop().error is None
    assert stage.over
    assert (stage.ends(), stage.ends("b")) == (["shutdown"], ["shutdown"])


@case(80, forms=("sim", "agent"), why="the test beside it runs in every form")
def test_hanging_restart_loop_of_a_restart_that_hangs_can_be_stopped_as_well(play: Play) -> None:
    stage = played(play, sup(loops("a"), Child("b")))
    (b,) = stage.who("b")
    stage.plan("a", "hang")
    stage.leave("a", 1)
    stage.wait(lambda: stage.births("a") == 2 and stage.state("a") == "starting", "it is being started")
    stage.leave("b", 1)
    stage.wait(lambda: stage.births("b") == 2 and stage.state("b") == "ready", "its sibling is restarted meanwhile")
    assert stage.who("b") != [b]
    stopped(stage, "a")
    assert stage.births("a") == 2


@case(81)
def test_hanging_restart_loop_rest_for_one_leaves_those_before_it_alone(play: Play) -> None:
    stage = played(play, sup(Child("a"), loops("b"), Child("c"), strategy="rest_for_one", intensity=1000))
    (a,) = stage.who("a")
    stage.plan("b", *FOR_EVER)
    stage.leave("b", 1)
    wait_in_loop(stage, "b")
    assert stage.who("a", "c") == [a, 0]
    assert stage.stop("b").error is None
    stage.settle()
    assert stage.state("b") == "down"
    births = stage.births("b")
    assert (stage.who("a"), stage.state("c")) == ([a], "ready"), "the group goes on without it"
    stage.plan("b", "ready", *FOR_EVER)
    assert stage.start("b").error is None
    stage.leave("b", 1)
    stage.wait(lambda: stage.state("b") == "waiting", "it waits again")
    assert stage.births("b") > births
    assert stage.stop().error is None
    assert stage.over
    assert (stage.ends(), stage.ends("a")) == (["shutdown"], ["shutdown"])


@case(82)
def test_hanging_restart_loop_simple_can_be_stopped_and_leaves_the_other_members_alone(play: Play) -> None:
    stage = played(play, pool(loops("any"), intensity=1000))
    for name in "abc":
        stage.start(name)
    others = stage.who("b", "c")
    stage.plan("a", *FOR_EVER)
    stage.leave("a", 1)
    wait_in_loop(stage, "a")
    assert stage.who("b", "c") == others
    stopped(stage, "a")
    assert stage.kids() == ["b", "c"], "nothing is kept of a member that was stopped"
    stage.plan("b", *FOR_EVER)
    stage.leave("b", 1)
    wait_in_loop(stage, "b")
    assert stage.stop().error is None
    assert stage.over
    assert (stage.ends(), stage.ends("c")) == (["shutdown"], ["shutdown"])
