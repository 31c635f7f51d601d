"""Frozen agents: no time passes for them, and they can be thawed, stopped and killed."""

from __future__ import annotations

import pytest

from agenthost.core import events as on
from agenthost.core import view
from agenthost.core.reason import Reason
from agenthost.core.spec import Backoff, Shutdown
from tests.core.trees import supervisor, worker
from tests.core.world import World, never_ready


def error(world: World, verb: str, path: str) -> str | None:
    answer = world.command(verb, path)
    assert answer is not None
    return answer.error


def frozen(world: World) -> list[str]:
    return [row.path for row in view.rows(world.state) if row.frozen]


def test_a_whole_subtree_freezes_at_once_with_what_its_agents_have_started() -> None:
    world = World(supervisor("root", supervisor("crew", worker("a"), worker("b")), worker("other"))).boot()
    world.add("/crew/a", "sub", worker("sub", restart="temporary"))
    answer = world.command("freeze", "/crew")
    assert answer is not None and answer.text == "frozen: 3 of 3"
    assert frozen(world) == ["/crew/a", "/crew/a/sub", "/crew/b"]
    answer = world.command("thaw", "/")
    assert answer is not None and answer.text == "thawed: 3 of 4"
    assert frozen(world) == []


def test_to_say_it_twice_does_no_harm() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    assert error(world, "freeze", "/a") is None and error(world, "freeze", "/a") is None
    assert world.log.count(("freeze", "/a")) == 1
    assert error(world, "thaw", "/a") is None
    assert error(world, "thaw", "/a") == "not_running"


def test_what_has_no_process_cannot_be_frozen() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    world.command("stop", "/a")
    assert error(world, "freeze", "/a") == "not_running"
    assert error(world, "freeze", "/") == "not_running"


def test_no_time_passes_for_one_that_is_frozen_while_it_starts() -> None:
    world = World(supervisor("root", worker("a", start_timeout_s=30.0)), behave={"/a": [never_ready]}).boot()
    world.pass_time(20)
    world.command("freeze", "/a")
    world.pass_time(1000)
    assert world.births("/a") == 1
    world.command("thaw", "/a")
    world.pass_time(9)
    assert world.births("/a") == 1
    world.pass_time(2)
    assert ("kill", "/a") in world.log


def test_who_is_frozen_is_thawed_to_be_stopped() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    world.command("freeze", "/a")
    assert error(world, "stop", "/a") is None
    assert world.log.index(("thaw", "/a")) < world.log.index(("ask", "/a"))
    assert world.running() == []


@pytest.mark.parametrize("how", ["ask", "hurry", "kill"])
def test_a_frozen_tree_can_be_halted(how: str) -> None:
    spec = supervisor("root", worker("a"), worker("b", shutdown=Shutdown(None)))
    world = World(spec, stubborn={"/a"}).boot()
    world.command("freeze", "/")
    world.halt(how)
    world.pass_time(60)
    assert world.ended is not None


def test_kill_needs_no_thaw_and_the_next_incarnation_is_not_frozen() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    world.command("freeze", "/a")
    assert error(world, "kill", "/a") is None
    assert ("thaw", "/a") not in world.log
    assert world.running() == ["/a"] and frozen(world) == [] and world.births("/a") == 2


def test_one_that_is_killed_by_somebody_while_it_is_frozen_comes_back_by_its_restart_type() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    world.command("freeze", "/a")
    world.crash("/a", Reason("signal", 9))
    assert world.running() == ["/a"] and frozen(world) == []


def test_one_that_is_ending_cannot_be_frozen() -> None:
    world = World(supervisor("root", worker("a", shutdown=Shutdown(None))), stubborn={"/a"}).boot()
    world.command("stop", "/a")
    assert error(world, "freeze", "/a") == "not_running"


def test_one_that_waits_in_back_off_is_not_frozen_and_starts_unfrozen() -> None:
    world = World(supervisor("root", worker("a", backoff=Backoff(initial_s=5.0)), worker("b"))).boot()
    world.crash("/a")
    world.crash("/a")
    answer = world.command("freeze", "/")
    assert answer is not None and answer.text == "frozen" and frozen(world) == ["/b"]
    world.pass_time(10)
    assert world.running() == ["/a", "/b"] and frozen(world) == ["/b"]


def test_ready_while_frozen_is_believed() -> None:
    """It was said before, and read after."""
    world = World(supervisor("root", worker("a")), behave={"/a": [never_ready]}).boot()
    world.command("freeze", "/a")
    world.tell(on.Ready("/a", world.process("/a").n))
    assert frozen(world) == ["/a"]
    world.command("thaw", "/a")
    world.pass_time(100)
    assert world.births("/a") == 1


# ---- what a frozen agent has started


def owner_and_child(restart: str = "permanent") -> World:
    world = World(supervisor("root", worker("boss"), worker("other"))).boot()
    world.add("/boss", "sub", worker("sub", restart=restart))
    world.command("freeze", "/boss")
    return world


def test_a_child_is_thawed_with_its_owner_and_not_alone() -> None:
    world = owner_and_child()
    assert error(world, "thaw", "/boss/sub") == "busy"
    assert frozen(world) == ["/boss", "/boss/sub"]
    assert error(world, "thaw", "/boss") is None
    assert frozen(world) == []


def test_a_child_of_a_frozen_owner_cannot_hear_a_stop_and_is_killed_at_once() -> None:
    world = owner_and_child("temporary")
    assert error(world, "stop", "/boss/sub") is None
    assert ("ask", "/boss/sub") not in world.log and ("thaw", "/boss/sub") not in world.log
    assert world.running() == ["/boss", "/other"] and frozen(world) == ["/boss"]


def test_a_child_that_ends_below_a_frozen_owner_is_started_again_when_that_is_thawed() -> None:
    world = owner_and_child()
    world.command("kill", "/boss/sub")
    world.pass_time(1000)
    assert world.running() == ["/boss", "/other"] and world.births("/boss/sub") == 1
    assert error(world, "start", "/boss/sub") == "busy"
    world.command("thaw", "/boss")
    world.pass_time(2)
    assert world.running() == ["/boss", "/boss/sub", "/other"] and frozen(world) == []
    assert world.births("/boss/sub") == 2


def test_a_group_below_a_frozen_owner_is_started_again_when_that_is_thawed() -> None:
    world = World(supervisor("root", worker("boss"))).boot()
    world.add("/boss", "crew", supervisor("crew", worker("x"), worker("y"), strategy="one_for_all"))
    world.command("freeze", "/boss")
    world.crash("/boss/crew/x", Reason("signal", 9))
    world.pass_time(100)
    assert world.running() == ["/boss"]
    world.command("thaw", "/boss")
    world.pass_time(2)
    assert world.running() == ["/boss", "/boss/crew/x", "/boss/crew/y"]


def test_a_frozen_owner_starts_nothing() -> None:
    world = owner_and_child()
    for path in ("/boss", "/boss/sub"):
        answer = world.add(path, "more", worker("more"))
        assert answer is not None and answer.error == "not_running", path


@pytest.mark.parametrize("how", ["stop", "kill", "restart"])
def test_a_frozen_owner_is_ended_with_its_children(how: str) -> None:
    world = owner_and_child()
    assert error(world, how, "/boss") is None
    assert "/boss/sub" not in world.state.nodes
    assert ("/boss" in world.running()) is (how != "stop")
