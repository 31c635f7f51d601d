"""Rules R1 to R11 and T1 to T8: who comes back, and who goes with them."""

from __future__ import annotations

import pytest

from agenthost.core.reason import Reason
from agenthost.core.spec import Backoff
from tests.core.trees import supervisor, worker
from tests.core.world import CRASH, NORMAL, World, fails_to_start, never_ready, ready_at_once

SHUTDOWN = Reason("shutdown")
ENDS = {"normal": NORMAL, "shutdown": SHUTDOWN, "crash": CRASH, "signal": Reason("signal", 9)}


def three(strategy: str, restart: str = "permanent", **options: object) -> World:
    return World(
        supervisor("root", *(worker(name, restart=restart) for name in "abc"), strategy=strategy, **options)
    ).boot()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_restart_type_by_reason(restart: str, end: str) -> None:
    world = three("one_for_one", restart)
    world.crash("/b", ENDS[end])
    comes_back = restart == "permanent" or (restart == "transient" and end in ("crash", "signal"))
    assert world.births("/b") == (2 if comes_back else 1)
    assert ("/b" in world.state.nodes) == (restart != "temporary")
    assert world.births("/a") == world.births("/c") == 1


def test_a_transient_child_that_ended_well_can_be_started_again_by_hand() -> None:
    world = three("one_for_one", "transient")
    world.crash("/b", NORMAL)
    assert world.state.nodes["/b"].life == "done"  # type: ignore[union-attr]
    answer = world.command("start", "/b")
    assert answer is not None
    assert answer.error is None
    assert world.births("/b") == 2


def test_one_for_one_replaces_only_the_failed_child() -> None:
    world = three("one_for_one")
    mark = world.mark
    world.crash("/b")
    assert {path for _, path in world.since(mark)} == {"/b"}


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() -> None:
    world = three("one_for_all")
    mark = world.mark
    world.crash("/b")
    steps = [entry for entry in world.since(mark) if entry[0] in ("ask", "birth")]
    assert steps == [("ask", "/c"), ("ask", "/a"), ("birth", "/a"), ("birth", "/b"), ("birth", "/c")]


def test_rest_for_one_leaves_the_earlier_ones_untouched() -> None:
    world = three("rest_for_one")
    mark = world.mark
    world.crash("/b")
    steps = [entry for entry in world.since(mark) if entry[0] in ("ask", "birth")]
    assert steps == [("ask", "/c"), ("birth", "/b"), ("birth", "/c")]
    assert world.births("/a") == 1


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_transient_child_that_ends_well_touches_nobody(strategy: str) -> None:
    world = three(strategy, "transient")
    mark = world.mark
    world.crash("/a", NORMAL)
    assert {path for _, path in world.since(mark)} == {"/a"}


def test_a_permanent_child_that_ends_well_restarts_everybody_under_one_for_all() -> None:
    world = three("one_for_all")
    world.crash("/a", NORMAL)
    assert [world.births(f"/{name}") for name in "abc"] == [2, 2, 2]


def test_a_group_restart_leaves_what_an_operator_stopped_down() -> None:
    """Deviation D4."""
    world = three("one_for_all")
    world.command("stop", "/c")
    world.crash("/a")
    assert world.running() == ["/a", "/b"]
    world.command("start", "/c")
    assert world.running() == ["/a", "/b", "/c"]


def test_under_otp_strict_a_group_restart_revives_what_an_operator_stopped() -> None:
    """T4."""
    world = three("one_for_all", otp_strict=True)
    world.command("stop", "/c")
    world.crash("/a")
    assert world.running() == ["/a", "/b", "/c"]


def test_rest_for_one_leaves_an_earlier_stopped_sibling_stopped() -> None:
    world = three("rest_for_one", otp_strict=True)
    world.command("stop", "/a")
    world.command("stop", "/c")
    world.crash("/b")
    assert world.running() == ["/b", "/c"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_restart_starts_a_finished_transient_sibling_again(strategy: str) -> None:
    world = three(strategy, "transient")
    world.crash("/c", NORMAL)
    world.crash("/a")
    assert world.running() == ["/a", "/b", "/c"]


def test_one_for_all_whose_sibling_fails_to_start_is_tried_again_as_a_whole() -> None:
    world = three("one_for_all")
    world.behave["/b"] = [fails_to_start]
    mark = world.mark
    world.crash("/a")
    births = [path for what, path in world.since(mark) if what == "birth"]
    assert births == ["/a", "/b", "/a", "/b", "/c"]
    assert world.state.root.window.count == 2


def test_rest_for_one_is_tried_again_from_the_sibling_that_failed() -> None:
    world = World(supervisor("root", *(worker(name) for name in "abcd"), strategy="rest_for_one")).boot()
    world.behave["/c"] = [fails_to_start]
    mark = world.mark
    world.crash("/b")
    births = [path for what, path in world.since(mark) if what == "birth"]
    assert births == ["/b", "/c", "/c", "/d"]


def test_a_failed_restart_counts_and_is_tried_again_at_once() -> None:
    world = three("one_for_one", intensity=4)
    world.behave["/a"] = [fails_to_start] * 3
    world.crash("/a")
    assert world.births("/a") == 5
    assert world.running() == ["/a", "/b", "/c"]


def test_a_restart_that_always_fails_ends_in_giving_up_after_intensity_starts() -> None:
    world = three("one_for_one", intensity=2)
    world.behave["/a"] = [fails_to_start] * 9
    world.crash("/a")
    assert world.births("/a") == 3
    assert world.ended is not None
    assert world.ended.kind == "gave_up"


def test_a_slow_restart_of_one_child_does_not_hold_up_another() -> None:
    world = three("one_for_one")
    world.behave["/a"] = [never_ready]
    world.crash("/a")
    world.crash("/b")
    assert world.births("/b") == 2


def test_a_child_that_ends_during_a_group_restart_is_looked_at_afterwards() -> None:
    world = three("rest_for_one")
    world.behave["/b"] = [never_ready]
    world.crash("/b")
    world.crash("/a")
    assert world.births("/a") == 1
    from agenthost.core import events as on

    world.tell(on.Ready("/b", world.process("/b").n))
    assert [world.births(f"/{name}") for name in "abc"] == [2, 3, 3]
    assert world.running() == ["/a", "/b", "/c"]


def test_a_restarted_supervisor_starts_its_children_again() -> None:
    world = World(supervisor("root", supervisor("s", worker("a"), worker("b"), intensity=0), worker("z"))).boot()
    world.crash("/s/a")
    assert [world.births(path) for path in ("/s/a", "/s/b", "/z")] == [2, 2, 1]
    assert world.state.nodes["/s"].restarts == 1


# ---- back-off, deviation D1

BACKOFF = Backoff(initial_s=1.0, factor=2.0, max_s=5.0, jitter=0.0, calm_s=10.0)


def test_the_first_restart_is_immediate_and_then_waits_grow_up_to_the_maximum() -> None:
    world = World(supervisor("root", worker("a", backoff=BACKOFF), intensity=100)).boot()
    delays = []
    for _ in range(6):
        world.crash("/a")
        before = world.now
        while not world.processes:
            world.pass_time(0.25)
        delays.append(world.now - before)
    assert delays == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_child_that_was_calm_starts_again_at_the_bottom() -> None:
    world = World(supervisor("root", worker("a", backoff=BACKOFF), intensity=100)).boot()
    world.crash("/a")
    world.crash("/a")
    world.pass_time(1.0)
    world.pass_time(10.0)
    world.crash("/a")
    assert world.running() == ["/a"]


def test_waiting_in_back_off_does_not_age_the_window() -> None:
    slow = Backoff(initial_s=20.0, factor=1.0, jitter=0.0, calm_s=1000.0)
    world = World(supervisor("root", worker("a", backoff=slow), intensity=3, period_s=30.0)).boot()
    for _ in range(3):
        world.crash("/a")
        world.pass_time(20.0)
    assert world.ended is None
    world.crash("/a")
    assert world.ended is not None
    assert world.ended.kind == "gave_up"


def test_jitter_adds_up_to_its_share_and_repeats_with_the_seed() -> None:
    jittery = Backoff(initial_s=10.0, jitter=0.5)

    def second_delay(seed: int) -> float:
        world = World(supervisor("root", worker("a", backoff=jittery)), seed=seed).boot()
        world.crash("/a")
        world.crash("/a")
        return world.timers["wait||/a"] - world.now

    delays = {second_delay(seed) for seed in range(1, 30)}
    assert all(10.0 <= delay < 15.0 for delay in delays)
    assert len(delays) > 20
    assert second_delay(7) == second_delay(7)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_child_waiting_in_back_off_can_be_stopped_and_stays_down(strategy: str) -> None:
    world = World(
        supervisor("root", *(worker(name, backoff=BACKOFF) for name in "abc"), strategy=strategy, intensity=9)
    ).boot()
    world.crash("/b")
    world.crash("/b")
    assert world.state.nodes["/b"].life == "waiting"  # type: ignore[union-attr]
    answer = world.command("stop", "/b")
    assert answer is not None
    assert answer.error is None
    world.pass_time(100)
    assert world.running() == ["/a", "/c"]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_child_waiting_in_back_off_can_be_started_at_once(strategy: str) -> None:
    world = World(
        supervisor("root", *(worker(name, backoff=BACKOFF) for name in "abc"), strategy=strategy, intensity=9)
    ).boot()
    world.crash("/b")
    world.crash("/b")
    answer = world.command("start", "/b")
    assert answer is not None
    assert answer.error is None
    assert world.running() == ["/a", "/b", "/c"]
    assert not [timer for timer in world.timers if timer.startswith("wait")]


def test_a_supervisor_can_be_stopped_while_a_group_waits_in_back_off() -> None:
    world = World(
        supervisor("root", *(worker(name, backoff=BACKOFF) for name in "abc"), strategy="one_for_all", intensity=9)
    ).boot()
    world.crash("/b")
    world.crash("/b")
    world.halt()
    assert world.ended is not None
    assert not world.timers


def test_a_supervisor_that_gave_up_waits_in_back_off_and_comes_back() -> None:
    inner = supervisor("s", worker("a"), intensity=0, backoff=BACKOFF)
    world = World(supervisor("root", inner, intensity=9)).boot()
    world.crash("/s/a")
    assert world.running() == ["/s/a"]
    world.crash("/s/a")
    assert world.running() == []
    world.pass_time(1.0)
    assert world.running() == ["/s/a"]


def test_ready_said_twice_changes_nothing() -> None:
    world = three("one_for_one")
    process = world.process("/a")
    mark = world.mark
    ready_at_once(world, process)
    assert world.since(mark) == []
