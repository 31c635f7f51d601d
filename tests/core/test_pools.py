"""Pools (OTP simple_one_for_one): rules S5, T7, F10, A10, and section 8 for them."""

from __future__ import annotations

import pytest

from agenthost.core.reason import Reason
from agenthost.core.spec import AutoShutdown, Shutdown, Strategy, SupervisorSpec
from agenthost.errors import ConfigError
from tests.core.trees import pool, supervisor, worker
from tests.core.world import CRASH, NORMAL, World, fails_to_start, ignores


def chats(restart: str = "permanent", members: int = 3, **options: object) -> World:
    world = World(supervisor("root", pool("chats", worker("any", restart=restart), **options))).boot()
    for number in range(members):
        answer = world.add("/chats", f"m{number}")
        assert answer is not None
        assert answer.error is None
    return world


def test_a_pool_begins_empty_and_grows_by_members_of_its_template() -> None:
    world = chats(members=0)
    assert world.running() == []
    world.add("/chats", "ana")
    assert world.running() == ["/chats/ana"]
    assert world.state.nodes["/chats/ana"].spec.restart == "permanent"


def test_a_member_that_is_there_already_is_refused() -> None:
    world = chats()
    answer = world.add("/chats", "m1")
    assert answer is not None
    assert answer.error == "busy"
    assert "running already" in answer.text


def test_a_pool_takes_no_spec_and_a_supervisor_needs_one() -> None:
    world = chats()
    assert world.add("/chats", "x", worker("x")).error == "usage"  # type: ignore[union-attr]
    assert world.add("/", "x").error == "usage"  # type: ignore[union-attr]


def test_one_member_is_replaced_and_the_others_are_kept() -> None:
    world = chats()
    world.crash("/chats/m1")
    assert [world.births(f"/chats/m{number}") for number in range(3)] == [1, 2, 1]


def test_the_intensity_is_shared_by_all_members() -> None:
    world = chats(intensity=1)
    world.crash("/chats/m0")
    world.crash("/chats/m1")
    assert world.births("/chats/m2") == 1
    assert world.running() == []
    assert world.state.nodes["/chats"].restarts == 1


def test_members_are_stopped_all_at_once_under_one_deadline() -> None:
    world = World(supervisor("root", pool("p", worker("any", shutdown=Shutdown(10.0))))).boot()
    world.stubborn |= {"/p/slow"}
    for name in ("a", "slow", "b"):
        world.add("/p", name)
    mark = world.mark
    world.halt()
    assert sorted(path for what, path in world.since(mark) if what == "ask") == ["/p/a", "/p/b", "/p/slow"]
    assert world.running() == ["/p/slow"]
    world.pass_time(9.9)
    assert world.ended is None
    world.pass_time(0.2)
    assert world.ended is not None


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_member_that_is_not_restarted_leaves_nothing(restart: str) -> None:
    world = chats(restart)
    world.crash("/chats/m0", NORMAL)
    assert ("/chats/m0" in world.state.nodes) == (restart == "permanent")


def test_a_stopped_member_leaves_nothing() -> None:
    world = chats()
    assert world.command("stop", "/chats/m0").error is None  # type: ignore[union-attr]
    assert "/chats/m0" not in world.state.nodes
    assert world.running() == ["/chats/m1", "/chats/m2"]


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_a_member_that_ignores_leaves_nothing_at_first_and_on_restart(restart: str) -> None:
    world = chats(restart)
    world.behave["/chats/x"] = [ignores]
    assert world.add("/chats", "x").error is None  # type: ignore[union-attr]
    assert "/chats/x" not in world.state.nodes
    world.behave["/chats/m0"] = [ignores]
    world.crash("/chats/m0")
    assert "/chats/m0" not in world.state.nodes


def test_a_member_that_fails_to_start_is_answered_with_the_reason_and_not_kept() -> None:
    world = chats()
    world.behave["/chats/x"] = [fails_to_start]
    answer = world.add("/chats", "x")
    assert answer is not None
    assert answer.error == "start_failed"
    assert "/chats/x" not in world.state.nodes
    assert world.state.root.children["chats"].window.count == 0  # type: ignore[union-attr]


def test_an_unrestartable_member_ends_all() -> None:
    world = chats(intensity=3)
    world.behave["/chats/m0"] = [fails_to_start] * 9
    world.crash("/chats/m0")
    assert world.running() == []
    assert world.state.nodes["/chats"].restarts == 1


def test_a_pool_that_comes_back_is_empty() -> None:
    world = chats(intensity=0)
    world.crash("/chats/m0")
    assert world.running() == []
    assert world.state.nodes["/chats"].doing == "ready"  # type: ignore[union-attr]


def test_members_that_end_by_themselves_while_the_pool_stops_do_not_disturb_it() -> None:
    world = World(supervisor("root", pool("p", worker("any")))).boot()
    world.stubborn |= {"/p/a", "/p/b", "/p/c"}
    for name in "abc":
        world.add("/p", name)
    world.halt()
    world.crash("/p/b", CRASH)
    world.crash("/p/a", Reason("signal", 11))
    world.pass_time(5)
    assert world.ended is not None
    assert world.ended.kind == "shutdown"


def test_a_pool_of_supervisors_restarts_them_with_their_children() -> None:
    crew = supervisor("crew", worker("a"), worker("b"), intensity=0)
    world = World(supervisor("root", pool("p", crew))).boot()
    world.add("/p", "one")
    world.add("/p", "two")
    world.crash("/p/one/a")
    assert world.births("/p/one/b") == 2
    assert world.births("/p/two/b") == 1


@pytest.mark.parametrize(
    "options",
    [
        {"children": (worker("a"),)},
        {"strategy": Strategy.ONE_FOR_ALL},
        {"auto_shutdown": AutoShutdown.ANY_SIGNIFICANT},
    ],
)
def test_what_a_pool_cannot_have_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SupervisorSpec("p", template=worker("any"), **options)  # type: ignore[arg-type]
