"""Rules I1 to I9: how many restarts a supervisor bears, and what giving up means above it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agenthost.core.intensity import Window
from tests.core.trees import supervisor, worker
from tests.core.world import World


def one(intensity: int, period_s: float = 5.0, **options: object) -> World:
    return World(supervisor("root", worker("a"), worker("b"), intensity=intensity, period_s=period_s, **options)).boot()


def test_intensity_zero_gives_up_at_the_first_death() -> None:
    world = one(0)
    world.crash("/a")
    assert world.ended is not None
    assert world.ended.kind == "gave_up"


@pytest.mark.parametrize("intensity", [1, 2, 5])
def test_exactly_intensity_restarts_are_borne(intensity: int) -> None:
    world = one(intensity)
    for _ in range(intensity):
        world.crash("/a")
        assert world.ended is None
    world.crash("/a")
    assert world.ended is not None


def test_the_counter_is_shared_by_all_children() -> None:
    world = one(1)
    world.crash("/a")
    world.crash("/b")
    assert world.ended is not None


def test_a_group_restart_counts_once() -> None:
    world = World(supervisor("root", *(worker(name) for name in "abcdef"), strategy="one_for_all", intensity=1)).boot()
    world.crash("/a")
    assert world.ended is None


def test_crashes_spaced_beyond_the_window_never_make_it_give_up() -> None:
    world = one(1, period_s=1.0)
    for _ in range(50):
        world.crash("/a")
        world.pass_time(1.001)
    assert world.ended is None


def test_the_border_of_the_window_is_included_and_time_is_fractional() -> None:
    """Deviation D2."""
    world = one(1, period_s=1.0)
    world.crash("/a")
    world.pass_time(1.0)
    world.crash("/a")
    assert world.ended is not None


@pytest.mark.parametrize(("gap_s", "gives_up"), [(1.06, True), (2.06, False)])
def test_under_otp_strict_time_is_whole_seconds_as_measured_on_otp(gap_s: float, gives_up: bool) -> None:
    """I4, answer 13."""
    world = one(1, period_s=1, otp_strict=True)
    world.crash("/a")
    world.pass_time(gap_s)
    world.crash("/a")
    assert (world.ended is not None) == gives_up


def test_giving_up_stops_all_children_in_reverse_first() -> None:
    world = World(supervisor("root", *(worker(name) for name in "abc"), intensity=0)).boot()
    mark = world.mark
    world.crash("/b")
    assert [path for what, path in world.since(mark) if what == "ask"] == ["/c", "/a"]


def test_nesting_multiplies() -> None:
    """I7: with intensity 1 on two levels three crashes are survived, the fourth takes down the top."""
    world = World(supervisor("root", supervisor("s", worker("a"), intensity=1), intensity=1)).boot()
    for _ in range(3):
        world.crash("/s/a")
        assert world.ended is None
    world.crash("/s/a")
    assert world.ended is not None


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_giving_up_always_escalates(restart: str) -> None:
    """Deviation D3."""
    world = World(supervisor("root", supervisor("s", worker("a"), intensity=0, restart=restart), intensity=1)).boot()
    world.crash("/s/a")
    assert world.births("/s/a") == 2
    world.crash("/s/a")
    assert world.ended is not None
    assert world.ended.kind == "gave_up"


def test_under_otp_strict_a_transient_supervisor_that_gave_up_rests() -> None:
    """I8, answer 19."""
    world = World(
        supervisor("root", supervisor("s", worker("a"), intensity=0, restart="transient", otp_strict=True))
    ).boot()
    world.crash("/s/a")
    assert world.births("/s/a") == 1
    assert world.ended is None


def test_the_reason_says_how_many_in_how_long_and_what_was_last() -> None:
    world = one(1)
    world.crash("/a")
    world.crash("/b")
    assert world.ended is not None
    assert world.ended.words() == "gave up: 2 restarts in 5 s; the last: /b exit status 1"


@given(
    intensity=some.integers(0, 6),
    period_s=some.floats(0.1, 50),
    gaps_s=some.lists(some.floats(0, 20), max_size=60),
)
def test_the_window_agrees_with_its_definition(intensity: int, period_s: float, gaps_s: list[float]) -> None:
    window, now, times = Window(intensity, period_s), 0.0, []
    for gap_s in gaps_s:
        now += gap_s
        times.append(now)
        assert window.restart(now) == (sum(now - at <= period_s for at in times) <= intensity)
