"""Children of run time that persist come back with their supervisor, and with the next host (deviation D6)."""

from __future__ import annotations

from typing import Any

import pytest

from agenthost.core import events as on
from agenthost.core.spec import Restart
from agenthost.core.tree import Supervisor
from tests.core.trees import pool, supervisor, worker
from tests.core.world import CRASH, NORMAL, World, fails_to_start, never_ready


def lasting(name: str, **keys: Any) -> Any:
    return worker(name, persist=True, **{"restart": "temporary", **keys})


def in_pool(**keys: Any) -> World:
    crew = pool("crew", lasting("member", restart="permanent"), intensity=0, **keys)
    world = World(supervisor("root", worker("a"), crew)).boot()
    world.add("/crew", "x")
    world.add("/crew", "y")
    return world


def family() -> World:
    world = World(supervisor("root", worker("boss"), worker("other"))).boot()
    world.add("/boss", "keeps", lasting("keeps"))
    world.add("/boss", "leaves", worker("leaves", restart="temporary"))
    world.add("/boss/keeps", "deep", lasting("deep"))
    return world


def below_boss(world: World) -> list[str]:
    return [path for path in world.running() if path.startswith("/boss/")]


@pytest.mark.parametrize("how", ["gave up", "restart", "stop and start"])
def test_members_of_a_pool_come_back_with_it(how: str) -> None:
    world = in_pool()
    mark = world.mark
    match how:
        case "gave up":
            world.crash("/crew/x")
        case "restart":
            world.command("restart", "/crew")
        case _:
            world.command("stop", "/crew")
            assert world.running() == ["/a"]
            world.command("start", "/crew")
    world.pass_time(60)
    assert world.running() == ["/a", "/crew/x", "/crew/y"]
    births = [path for what, path in world.since(mark) if what == "birth"]
    assert births[-2:] == ["/crew/x", "/crew/y"]
    assert world.kept == {"/crew/x", "/crew/y"}


def test_without_it_they_are_gone() -> None:
    """T8."""
    world = World(supervisor("root", pool("crew", worker("member"), intensity=0))).boot()
    world.add("/crew", "x")
    world.command("restart", "/crew")
    assert world.running() == [] and world.kept == set()


def test_a_child_added_to_a_supervisor_comes_back_after_those_of_its_spec() -> None:
    world = World(supervisor("root", supervisor("s", worker("b")))).boot()
    world.add("/s", "new", lasting("new", restart="permanent"))
    world.command("restart", "/s")
    assert world.running() == ["/s/b", "/s/new"]
    births = [path for what, path in world.log if what == "birth"]
    assert births[-2:] == ["/s/b", "/s/new"]


@pytest.mark.parametrize("how", ["crash", "normal end", "kill", "restart", "stop and start"])
def test_what_an_agent_has_started_comes_back_with_it(how: str) -> None:
    world = family()
    match how:
        case "crash":
            world.crash("/boss")
        case "normal end":
            world.crash("/boss", NORMAL)
        case "kill" | "restart":
            world.command(how, "/boss")
        case _:
            world.command("stop", "/boss")
            assert below_boss(world) == []
            world.command("start", "/boss")
    world.pass_time(60)
    assert below_boss(world) == ["/boss/keeps", "/boss/keeps/deep"]
    assert world.births("/boss/keeps") == 2 and world.births("/boss/leaves") == 1
    assert world.kept == {"/boss/keeps", "/boss/keeps/deep"}


def test_it_comes_back_once_its_owner_is_up() -> None:
    world = family()
    world.behave["/boss"] = [never_ready]
    world.crash("/boss")
    assert below_boss(world) == []
    world.tell(on.Ready("/boss", world.process("/boss").n))
    assert below_boss(world) == ["/boss/keeps", "/boss/keeps/deep"]


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_one_that_has_ended_for_good_does_not_come_back(how: str) -> None:
    """R3: it was stopped, or it is temporary; only the end of its supervisor does not count."""
    world = family()
    if how == "stop":
        world.command("stop", "/boss/keeps/deep")
    else:
        world.crash("/boss/keeps/deep")
    assert world.kept == {"/boss/keeps"}
    world.crash("/boss")
    assert below_boss(world) == ["/boss/keeps"]
    world.crash("/boss/keeps", CRASH)
    world.crash("/boss")
    assert below_boss(world) == [] and world.kept == set()


def test_one_that_does_not_come_up_is_not_kept() -> None:
    world = family()
    world.behave["/boss/new"] = [fails_to_start]
    answer = world.add("/boss", "new", lasting("new"))
    assert answer is not None and answer.error == "start_failed"
    assert "/boss/new" not in world.kept


@pytest.mark.parametrize("how", ["ask", "hurry", "kill"])
def test_the_end_of_the_host_is_no_end_of_what_persists(how: str) -> None:
    world = family()
    world.halt(how)
    assert world.running() == []
    assert world.kept == {"/boss/keeps", "/boss/keeps/deep"}


def restored(world: World, *children: tuple[str, str, bool]) -> None:
    for parent, name, has_spec in children:
        world.tell(on.Restore(parent, name, lasting(name) if has_spec else None))


def test_the_next_host_starts_what_the_one_before_has_kept() -> None:
    crew = pool("crew", lasting("member"), intensity=0)
    world = World(supervisor("root", worker("boss"), crew)).boot()
    restored(world, ("/boss", "keeps", True), ("/boss/keeps", "deep", True), ("/crew", "x", False))
    assert world.running() == ["/boss", "/boss/keeps", "/boss/keeps/deep", "/crew/x"]
    restored(world, ("/boss", "keeps", True), ("/crew", "x", False))
    assert world.births("/boss/keeps") == 1 and world.births("/crew/x") == 1


def test_what_was_kept_waits_for_its_supervisor() -> None:
    crew = pool("crew", lasting("member"))
    world = World(supervisor("root", worker("boss"), crew))
    world.behave["/boss"] = [never_ready]
    world.boot()
    restored(world, ("/boss", "keeps", True), ("/boss/keeps", "deep", True), ("/crew", "x", False))
    assert world.running() == ["/boss"]
    world.tell(on.Ready("/boss", world.process("/boss").n))
    assert world.running() == ["/boss", "/boss/keeps", "/boss/keeps/deep", "/crew/x"]


def test_what_has_nobody_any_more_is_let_go() -> None:
    world = World(supervisor("root", worker("a"), pool("crew", worker("member")))).boot()
    world.kept = {"/gone/x", "/crew/x", "/gone/x/deep"}
    restored(world, ("/gone", "x", True), ("/gone/x", "deep", True), ("/crew", "x", False))
    assert world.running() == ["/a"] and world.kept == set()


def test_a_permanent_child_that_was_restored_is_restarted_as_others_are() -> None:
    world = World(supervisor("root", worker("boss"))).boot()
    world.tell(on.Restore("/boss", "keeps", lasting("keeps", restart=Restart.PERMANENT)))
    world.crash("/boss/keeps")
    assert world.births("/boss/keeps") == 2
    root = world.state.root
    assert isinstance(root, Supervisor) and root.window.count == 0
