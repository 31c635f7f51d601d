"""Rules A1 to A9: significant children and auto_shutdown."""

from __future__ import annotations

import pytest

from agenthost.core.reason import Reason
from agenthost.errors import ConfigError
from tests.core.trees import supervisor, worker
from tests.core.world import CRASH, NORMAL, World

ENDS = {"normal": NORMAL, "shutdown": Reason("shutdown"), "crash": CRASH, "kill": Reason("signal", 9)}
MODES = ["any_significant", "all_significant"]


def two(restart: str, mode: str, **options: object) -> World:
    """Two significant children and one that is not."""
    return World(
        supervisor(
            "root",
            worker("a", restart=restart, significant=True),
            worker("b", restart=restart, significant=True),
            worker("c", restart=restart),
            auto_shutdown=mode,
            **options,
        )
    ).boot()


def test_a_significant_child_is_refused_where_auto_shutdown_is_never() -> None:
    with pytest.raises(ConfigError, match="auto_shutdown"):
        supervisor("root", worker("a", restart="transient", significant=True))


def test_a_significant_permanent_child_is_refused() -> None:
    with pytest.raises(ConfigError, match="permanent"):
        worker("a", significant=True)


def test_a_significant_child_added_later_is_refused_too() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    answer = world.add("/", "x", worker("x", restart="transient", significant=True))
    assert answer is not None
    assert answer.error == "bad_config"
    assert "/x" not in world.state.nodes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("end", ENDS)
def test_an_insignificant_child_never_triggers(mode: str, restart: str, end: str) -> None:
    world = two(restart, mode)
    world.crash("/c", ENDS[end])
    assert world.ended is None


@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("end", ENDS)
def test_any_significant_stops_at_the_first_end_for_good(restart: str, end: str) -> None:
    world = two(restart, "any_significant")
    world.crash("/a", ENDS[end])
    for_good = restart == "temporary" or end in ("normal", "shutdown")
    assert (world.ended is not None) == for_good
    if for_good:
        assert world.ended is not None
        assert world.ended.kind == "shutdown"


def test_a_crash_of_a_significant_transient_child_restarts_it() -> None:
    world = two("transient", "any_significant")
    world.crash("/a")
    assert world.births("/a") == 2


def test_the_remaining_children_are_stopped_in_reverse_order_first() -> None:
    world = two("transient", "any_significant")
    mark = world.mark
    world.crash("/a", NORMAL)
    assert [path for what, path in world.since(mark) if what == "ask"] == ["/c", "/b"]


def test_a_self_stopping_permanent_supervisor_is_restarted() -> None:
    """A9: that is a trap, and stays one."""
    inner = supervisor("s", worker("a", restart="transient", significant=True), auto_shutdown="any_significant")
    world = World(supervisor("root", inner)).boot()
    world.crash("/s/a", NORMAL)
    assert world.births("/s/a") == 2
