"""Rules I1 to I9: how many restarts a supervisor bears, and what giving up means above it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agenthost.core.intensity import Window
from agenthost.core.spec import Backoff, WorkerSpec
from agenthost.core.view import shown
from tests.core.trees import pool, supervisor, worker
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


# ---- D10: a window of its own


def own(name: str, **options: object) -> WorkerSpec:
    return worker(name, intensity=2, period_s=10.0, **options)


def crash_when_up(world: World, path: str) -> None:
    """At once when its back-off is over: time in which it is up moves the window on."""
    while path not in world.running():
        world.pass_time(0.1)
    world.crash(path)


def test_a_child_with_an_intensity_of_its_own_is_set_aside_alone() -> None:
    world = World(supervisor("root", own("bad"), worker("good"), intensity=1)).boot()
    for _ in range(3):
        world.crash("/bad")
    assert world.running() == ["/good"] and world.births("/good") == 1
    assert shown(world.state.nodes["/bad"]) == "gave_up"
    [record] = [record for record in world.records if record.name == "agent.gave_up"]
    assert record.fields["reason"] == "gave up: 3 restarts in 10 s; the last: /bad exit status 1"


def test_what_counts_for_a_child_of_its_own_does_not_count_for_its_supervisor() -> None:
    world = World(supervisor("root", own("bad"), worker("good"), intensity=1)).boot()
    for _ in range(3):
        world.crash("/bad")
    world.crash("/good")
    assert world.births("/good") == 2 and world.ended is None
    world.crash("/good")
    assert world.ended is not None


def test_its_own_window_slides() -> None:
    world = World(supervisor("root", own("bad"), intensity=0)).boot()
    for _ in range(20):
        world.crash("/bad")
        world.pass_time(5.1)
    assert world.running() == ["/bad"]


def test_its_window_stands_still_while_it_waits_in_back_off() -> None:
    world = World(supervisor("root", own("bad", backoff=Backoff(initial_s=20.0, jitter=0.0)), intensity=0)).boot()
    for _ in range(3):
        crash_when_up(world, "/bad")
    assert world.running() == [] and shown(world.state.nodes["/bad"]) == "gave_up" and world.ended is None


def test_whoever_starts_it_by_hand_gives_it_its_patience_back() -> None:
    world = World(supervisor("root", own("bad"), intensity=0)).boot()
    for _ in range(3):
        world.crash("/bad")
    answer = world.command("start", "/bad")
    assert answer is not None and answer.error is None
    for _ in range(2):
        world.crash("/bad")
    assert world.running() == ["/bad"]


def test_members_of_a_pool_have_one_each() -> None:
    world = World(supervisor("root", pool("chats", own("any"), intensity=0))).boot()
    world.add("/chats", "ana")
    world.add("/chats", "bob")
    for _ in range(3):
        world.crash("/chats/ana")
    assert world.running() == ["/chats/bob"] and world.births("/chats/bob") == 1
    for _ in range(2):
        world.crash("/chats/bob")
    assert world.running() == ["/chats/bob"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_in_a_group_the_others_stay_as_they_are_when_it_is_set_aside(strategy: str) -> None:
    world = World(supervisor("root", own("bad"), worker("good"), strategy=strategy, intensity=0)).boot()
    for _ in range(3):
        world.crash("/bad")
    assert world.running() == ["/good"] and world.births("/good") == 3


def test_a_reload_gives_and_takes_a_window_also_while_it_waits() -> None:
    slow = Backoff(initial_s=5.0, jitter=0.0)
    plain, counted = worker("bad", backoff=slow), own("bad", backoff=slow)
    world = World(supervisor("root", plain, intensity=9)).boot()
    world.crash("/bad")
    world.crash("/bad")  # it waits
    world.reload(supervisor("root", counted, intensity=9))
    for _ in range(3):
        crash_when_up(world, "/bad")
    assert shown(world.state.nodes["/bad"]) == "gave_up"
    world.command("start", "/bad")
    world.crash("/bad")
    assert "/bad" not in world.running()
    world.reload(supervisor("root", plain, intensity=0))
    crash_when_up(world, "/bad")
    assert world.ended is not None
