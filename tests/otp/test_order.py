"""Case 87 of the suite: the order of children, with names that are not sorted."""

from __future__ import annotations

from tests.otp.case import case
from tests.otp.play import Play
from tests.otp.shape import Child, sup

NAMES = ("m", "a", "z", "b")


def said(word: str, *names: str) -> list[tuple[str, str]]:
    return [(word, name) for name in names]


@case(87)
def test_order_of_children_is_that_of_the_start_and_the_reverse_at_a_stop(play: Play) -> None:
    stage = play(sup(*map(Child, NAMES), strategy="rest_for_one"))
    assert stage.order("starting", "ready") == [(word, name) for name in NAMES for word in ("starting", "ready")]
    seen = len(stage.order("starting", "asked", "ended"))
    stage.crash("a")
    steps = stage.order("starting", "asked", "ended")[seen:]
    assert steps == [
        ("ended", "a"),
        *[(word, name) for name in ("b", "z") for word in ("asked", "ended")],
        *said("starting", "a", "z", "b"),
    ]
    seen += len(steps)
    assert stage.stop().error is None
    stopped = stage.order("starting", "asked", "ended")[seen:]
    assert stopped == [(word, name) for name in reversed(NAMES) for word in ("asked", "ended")]


@case(87, forms=("sim", "agent"), why="the test beside it runs in every form")
def test_order_of_children_holds_for_trees_depth_first(play: Play) -> None:
    stage = play(sup(Child("z"), sup(Child("k"), Child("c"), name="m"), Child("a"), strategy="one_for_all"))
    inward = ("z", "m/k", "m/c", "a")
    assert stage.order("starting") == said("starting", *inward)
    stage.kill("z")
    assert stage.order("asked") == said("asked", "a", "m/c", "m/k")
    assert stage.order("starting")[4:] == said("starting", *inward)
    assert stage.stop().error is None
    assert stage.order("asked")[3:] == said("asked", *reversed(inward))
