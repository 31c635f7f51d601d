"""Rules S1 to S11: starting in order, stopping in reverse, the ladder."""

from __future__ import annotations

import pytest

from agenthost.core.reason import Reason
from agenthost.core.spec import Shutdown
from tests.core.trees import supervisor, worker
from tests.core.world import CRASH, NORMAL, World, cannot_be_loaded, fails_to_start, ignores, never_ready


def test_an_empty_supervisor_starts_and_ends_with_shutdown() -> None:
    world = World(supervisor("root")).boot()
    assert world.state.root.doing == "ready"
    world.halt()
    assert world.ended is not None
    assert world.ended.kind == "shutdown"


def test_children_start_in_order_each_after_the_one_before_is_ready() -> None:
    world = World(supervisor("root", worker("a"), worker("b"), worker("c")), behave={"/b": [never_ready]}).boot()
    assert world.running() == ["/a", "/b"]
    from agenthost.core import events as on

    world.tell(on.Ready("/b", world.process("/b").n))
    assert world.running() == ["/a", "/b", "/c"]
    assert [entry for entry in world.log if entry[0] == "birth"] == [("birth", "/a"), ("birth", "/b"), ("birth", "/c")]


def test_children_stop_in_reverse_order_each_after_the_one_before_is_gone() -> None:
    world = World(supervisor("root", worker("a"), worker("b"), worker("c"))).boot()
    mark = world.mark
    world.halt()
    asked_and_ended = [entry for entry in world.since(mark) if entry[0] in ("ask", "ended")]
    assert asked_and_ended == [(what, path) for path in ("/c", "/b", "/a") for what in ("ask", "ended")]
    assert world.ended == Reason("shutdown", text="stopped by a test")


def test_if_one_fails_to_start_the_started_ones_are_stopped_in_reverse_and_the_error_names_it() -> None:
    world = World(
        supervisor("root", worker("a"), worker("b"), worker("c"), worker("d")), behave={"/c": [fails_to_start]}
    ).boot()
    assert world.births("/d") == 0
    assert [path for what, path in world.log if what == "ask"] == ["/b", "/a"]
    assert world.ended is not None
    assert world.ended.kind == "start_failed"
    assert "/c" in world.ended.words()


def test_an_exit_before_ready_is_a_failed_start_even_with_status_zero() -> None:
    world = World(supervisor("root", worker("a", restart="transient")), behave={"/a": [never_ready]}).boot()
    world.crash("/a", NORMAL)
    assert world.ended is not None
    assert world.ended.kind == "start_failed"


def test_a_child_that_is_not_ready_in_time_is_killed_and_failed_to_start() -> None:
    world = World(supervisor("root", worker("a", start_timeout_s=7.0)), behave={"/a": [never_ready]}).boot()
    world.pass_time(6.9)
    assert world.running() == ["/a"]
    world.pass_time(0.2)
    assert world.ended is not None
    assert "not ready within 7 s" in world.ended.words()


def test_a_child_that_ignores_keeps_its_spec_and_has_no_process() -> None:
    world = World(supervisor("root", worker("a"), worker("b")), behave={"/a": [ignores]}).boot()
    assert world.running() == ["/b"]
    assert world.state.nodes["/a"].alive is False
    assert world.births("/a") == 1


def test_a_temporary_child_that_ignores_leaves_nothing() -> None:
    world = World(supervisor("root", worker("a", restart="temporary"), worker("b")), behave={"/a": [ignores]}).boot()
    assert "/a" not in world.state.nodes
    assert world.running() == ["/b"]


def test_a_module_that_cannot_be_loaded_is_that_child_s_trouble_alone() -> None:
    """Deviation D12."""
    world = World(supervisor("root", worker("a"), worker("b")), behave={"/a": [cannot_be_loaded]}).boot()
    assert world.running() == ["/b"]
    assert world.state.nodes["/a"].life == "gave_up"  # type: ignore[union-attr]
    assert world.command("start", "/a").error is None  # type: ignore[union-attr]
    assert world.running() == ["/a", "/b"]


def test_under_otp_strict_a_module_that_cannot_be_loaded_fails_the_supervisor() -> None:
    world = World(supervisor("root", worker("a"), otp_strict=True), behave={"/a": [cannot_be_loaded]}).boot()
    assert world.ended is not None


def test_the_ladder_asks_then_terms_after_two_fifths_then_kills_at_the_grace() -> None:
    world = World(supervisor("root", worker("a", shutdown=Shutdown(10.0))), stubborn={"/a"}).boot()
    mark = world.mark
    world.halt()
    world.pass_time(3.9)
    assert world.since(mark) == [("ask", "/a")]
    world.pass_time(0.2)
    assert world.since(mark)[-1] == ("term", "/a")
    world.pass_time(5.8)
    assert ("kill", "/a") not in world.since(mark)
    world.pass_time(0.2)
    assert ("kill", "/a") in world.since(mark)
    assert world.state.nodes["/a"].reason is not None
    assert world.state.nodes["/a"].reason.kind == "killed"
    assert world.ended is not None
    assert world.ended.kind == "shutdown"


def test_grace_zero_asks_and_kills_in_the_same_instant_but_a_fast_child_still_stops() -> None:
    world = World(
        supervisor("root", worker("fast", shutdown=Shutdown(0.0)), worker("slow", shutdown=Shutdown(0.0))),
        stubborn={"/slow"},
    ).boot()
    world.halt()
    world.pass_time(0.0)
    assert world.state.nodes["/fast"].reason == Reason("shutdown", text="stopped by its supervisor")
    assert world.state.nodes["/slow"].reason.kind == "killed"  # type: ignore[union-attr]


def test_brutal_kill_does_not_ask() -> None:
    world = World(supervisor("root", worker("a", shutdown=Shutdown(brutal=True)), worker("b"))).boot()
    world.halt()
    assert ("ask", "/a") not in world.log
    assert world.state.nodes["/a"].reason.kind == "killed"  # type: ignore[union-attr]
    assert world.state.nodes["/b"].reason.kind == "shutdown"  # type: ignore[union-attr]


def test_infinity_never_kills() -> None:
    world = World(supervisor("root", worker("a", shutdown=Shutdown(None))), stubborn={"/a"}).boot()
    world.halt()
    world.pass_time(1e9)
    assert world.running() == ["/a"]
    world.end(world.process("/a"), NORMAL)
    assert world.ended is not None


@pytest.mark.parametrize("reason", [NORMAL, CRASH, Reason("signal", 11), Reason("out_of_memory")])
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_child_that_ends_by_itself_during_shutdown_does_not_disturb_it(reason: Reason, restart: str) -> None:
    world = World(supervisor("root", worker("a", restart=restart), worker("b")), stubborn={"/b"}).boot()
    world.halt()
    world.crash("/a", reason)
    assert world.births("/a") == 1
    world.pass_time(5)
    assert world.ended is not None
    assert world.ended.kind == "shutdown"


def test_nothing_restarts_while_a_supervisor_stops() -> None:
    world = World(supervisor("root", worker("a"), worker("b")), stubborn={"/b"}).boot()
    world.halt()
    mark = world.mark
    world.crash("/a")
    world.pass_time(60)
    assert not [entry for entry in world.since(mark) if entry[0] == "birth"]


def test_a_stop_interrupts_a_start() -> None:
    world = World(supervisor("root", worker("a"), worker("b"), worker("c")), behave={"/b": [never_ready]}).boot()
    world.halt()
    assert world.ended is not None
    assert world.births("/c") == 0
    assert not world.running()


def test_hurry_sends_term_to_all_at_once_and_kill_soon() -> None:
    names = ["a", "b", "c"]
    world = World(supervisor("root", *map(worker, names)), stubborn={f"/{name}" for name in names}).boot()
    world.halt()
    mark = world.mark
    world.halt("hurry")
    assert sorted(world.since(mark)) == [("term", f"/{name}") for name in names]
    world.pass_time(2.0)
    assert world.ended is not None


def test_halt_by_kill_kills_all_at_once() -> None:
    world = World(supervisor("root", worker("a"), supervisor("s", worker("b"))), stubborn={"/a", "/s/b"}).boot()
    world.halt("kill")
    assert world.ended is not None
    assert world.ended.kind == "killed"


def test_a_cell_that_does_not_empty_is_stuck_and_its_agent_is_never_started_twice() -> None:
    world = World(supervisor("root", worker("a"), worker("b")), undead={"/a"}).boot()
    world.crash("/a")
    world.pass_time(3600)
    assert world.births("/a") == 1
    assert world.state.nodes["/a"].life == "stuck"  # type: ignore[union-attr]
    assert any(record.name == "agent.stuck" for record in world.records)
    from agenthost.core import events as on

    world.tell(on.Emptied("/a", world.process("/a").n))
    assert world.births("/a") == 2
