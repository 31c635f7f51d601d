"""Sleep and waking in the core: who is asked, who declines, what follows, and that nothing of it counts as an end."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agenthost.core import events as on
from agenthost.core.life import WITH_PROCESS
from agenthost.core.reason import Reason
from agenthost.core.reload import plan
from agenthost.core.sleeping import is_away, tells_after_s
from agenthost.core.spec import Backoff, Shutdown, SupervisorSpec
from agenthost.core.tree import Worker
from agenthost.errors import ConfigError
from tests.core.trees import pool, supervisor, worker
from tests.core.world import CRASH, NORMAL, World, fails_to_start, ignores, never_ready


def sleeper(name: str = "a", hibernate_s: float | None = 60.0, **options: Any) -> Any:
    return worker(name, hibernate_s=hibernate_s, **options)


def one(**options: Any) -> World:
    return World(supervisor("root", sleeper(**options))).boot()


def asleep(**options: Any) -> World:
    world = one(**options)
    world.idle("/a", 60.0)
    assert node(world).life == "asleep"
    return world


def node(world: World, path: str = "/a") -> Worker:
    found = world.state.nodes[path]
    assert isinstance(found, Worker)
    return found


def chats(live: int | None = None, hibernate_s: float | None = None, **options: Any) -> World:
    return World(supervisor("root", pool("chats", sleeper("any", hibernate_s, **options), live=live))).boot()


def records(world: World, path: str = "/a") -> list[str]:
    return [record.name for record in world.records if record.path == path]


# ---- falling asleep


def test_who_has_been_idle_for_long_enough_is_asked_and_sleeps() -> None:
    world = asleep()
    assert world.log[-3:] == [("exit", "/a"), ("kill", "/a"), ("ended", "/a")]
    assert ("ask", "/a") not in world.log
    assert world.running() == []
    assert node(world).reason == Reason("asleep")


def test_who_says_it_earlier_is_asked_when_the_rest_has_passed() -> None:
    world = one()
    world.idle("/a", 20.0)
    world.pass_time(39)
    assert node(world).life == "ready"
    world.pass_time(1.1)
    assert node(world).life == "asleep"


def test_who_stirs_before_is_not_asked() -> None:
    world = one()
    world.idle("/a", 20.0)
    world.stirs("/a")
    world.pass_time(100)
    assert ("sleep", "/a") not in world.log
    assert world.timers == {}


def test_who_has_got_something_meanwhile_goes_on_and_can_be_asked_again() -> None:
    world = one()
    world.awake.add("/a")
    world.idle("/a", 60.0)
    assert node(world).life == "ready"
    world.awake.clear()
    world.idle("/a", 60.0)
    assert node(world).life == "asleep"


def test_to_sleep_is_counted_nowhere() -> None:
    world = one(restart="permanent")
    for _ in range(50):
        world.idle("/a", 60.0)
        assert world.wake("/a").error is None  # type: ignore[union-attr]
    assert node(world).restarts == 0
    assert node(world).attempt == 0
    assert world.state.root.window.count == 0
    assert world.births("/a") == 51


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_whatever_its_restart_type_it_sleeps_and_comes_back(restart: str) -> None:
    world = asleep(restart=restart)
    assert world.wake("/a").error is None  # type: ignore[union-attr]
    assert world.running() == ["/a"]


def test_who_may_not_sleep_is_not_asked() -> None:
    world = one(hibernate_s=None)
    world.idle("/a", 1e9)
    assert ("sleep", "/a") not in world.log


def test_with_a_child_of_its_own_it_does_not_sleep() -> None:
    world = one()
    assert world.add("/a", "sub", worker("sub", restart="temporary")).error is None  # type: ignore[union-attr]
    world.idle("/a", 60.0)
    assert ("sleep", "/a") not in world.log
    world.crash("/a/sub", NORMAL)
    world.idle("/a", 120.0)
    assert node(world).life == "asleep"


def test_what_an_agent_has_started_does_not_sleep() -> None:
    world = one()
    world.add("/a", "sub", sleeper("sub"))
    world.idle("/a/sub", 60.0)
    assert ("sleep", "/a/sub") not in world.log
    assert tells_after_s(node(world, "/a/sub")) == 0.0


def test_who_is_frozen_is_not_asked_and_who_was_asked_can_be_frozen() -> None:
    world = one()
    world.command("freeze", "/a")
    world.idle("/a", 60.0)
    world.command("thaw", "/a")
    assert ("sleep", "/a") not in world.log
    world.mute.add("/a")
    world.idle("/a", 60.0)
    world.command("freeze", "/a")
    assert world.wake("/a") is None
    world.command("thaw", "/a")
    world.falls_asleep("/a")
    world.end(world.process("/a"), NORMAL)
    assert list(world.answers.values())[-1].error is None
    assert world.births("/a") == 2


def test_who_has_said_that_it_sleeps_when_the_freeze_comes_is_thawed_and_sleeps() -> None:
    world = one()
    world.mute.add("/a")
    world.idle("/a", 60.0)
    world.command("freeze", "/a")
    world.falls_asleep("/a")
    assert not world.process("/a").frozen
    world.end(world.process("/a"), NORMAL)
    assert node(world, "/a").life == "asleep"
    world.wake("/a")
    assert world.births("/a") == 2 and not world.process("/a").frozen


def test_the_clock_of_sleep_stands_still_while_it_is_frozen() -> None:
    world = one()
    world.idle("/a", 20.0)
    world.command("freeze", "/a")
    world.pass_time(1000)
    world.command("thaw", "/a")
    world.pass_time(39)
    assert node(world).life == "ready"
    world.pass_time(2)
    assert node(world).life == "asleep"


def test_who_says_that_it_sleeps_and_was_not_asked_is_not_believed() -> None:
    world = one()
    world.falls_asleep("/a")
    assert node(world).life == "ready"
    world.crash("/a", NORMAL)
    assert node(world).restarts == 1


# ---- what ends it while it falls asleep


def falling(**options: Any) -> World:
    """It has said that it falls asleep, and is still there."""
    world = one(**options)
    world.mute.add("/a")
    world.idle("/a", 60.0)
    world.falls_asleep("/a")
    assert node(world).life == "asked"
    return world


def test_whose_last_steps_hang_climbs_the_ladder_and_comes_back_as_after_a_crash() -> None:
    world = falling(shutdown=Shutdown(5.0))
    world.stubborn.add("/a")
    world.process("/a").obeys_term = False
    world.pass_time(5.1)
    assert world.births("/a") == 2
    assert node(world).restarts == 1


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_who_needs_term_to_fall_asleep_has_fallen_asleep(restart: str) -> None:
    world = falling(restart=restart, shutdown=Shutdown(5.0))
    world.pass_time(2.1)
    assert ("term", "/a") in world.log
    assert node(world).life == "asleep"


def test_brutal_or_patient_it_may_fall_asleep_in_its_own_time() -> None:
    for shutdown in (Shutdown(brutal=True), Shutdown(None)):
        world = falling(shutdown=shutdown)
        world.end(world.process("/a"), NORMAL)
        assert node(world).life == "asleep"


@pytest.mark.parametrize("how", [CRASH, Reason("signal", 9), Reason("out_of_memory")])
def test_a_crash_on_the_way_is_a_crash(how: Reason) -> None:
    world = falling()
    world.end(world.process("/a"), how)
    assert world.births("/a") == 2
    assert node(world).restarts == 1


def test_an_operator_who_stops_it_on_the_way_has_stopped_it() -> None:
    world = falling()
    assert world.command("stop", "/a") is None
    assert world.wake("/a").error == "not_running"  # type: ignore[union-attr]
    world.end(world.process("/a"), NORMAL)
    assert node(world).life == "down"
    assert node(world).held
    assert node(world).reason is not None
    assert node(world).reason.kind == "shutdown"  # type: ignore[union-attr]


def test_an_operator_who_starts_or_restarts_it_on_the_way_has_it_back() -> None:
    for verb in ("start", "restart"):
        world = falling()
        assert world.command(verb, "/a") is None
        world.end(world.process("/a"), NORMAL)
        assert world.births("/a") == 2
        assert all(answer.error is None for answer in world.answers.values())
        assert node(world).restarts == 0


def test_a_kill_on_the_way_is_a_kill() -> None:
    world = falling()
    world.command("kill", "/a")
    assert node(world).restarts == 1
    assert world.births("/a") == 2


# ---- being wanted


def test_who_is_wanted_while_it_falls_asleep_comes_back_at_once() -> None:
    world = falling()
    assert world.wake("/a") is None
    world.end(world.process("/a"), NORMAL)
    assert world.births("/a") == 2
    assert [answer.error for answer in world.answers.values()] == [None]
    assert node(world).restarts == 0


def test_who_is_wanted_before_it_has_answered_is_told_of_when_it_declines() -> None:
    world = one()
    world.mute.add("/a")
    world.idle("/a", 60.0)
    assert is_away(node(world))
    assert world.wake("/a") is None
    world.stirs("/a")
    assert [answer.error for answer in world.answers.values()] == [None]
    assert world.births("/a") == 1
    assert not is_away(node(world))


def test_many_want_it_and_it_begins_once() -> None:
    world = asleep()
    world.behave["/a"] = [never_ready]
    assert [world.wake("/a") for _ in range(5)] == [None] * 5
    world.tell(on.Ready("/a", node(world).n))
    assert len(world.answers) == 5
    assert world.births("/a") == 2


def test_who_runs_is_told_to_run_and_who_was_stopped_stays_down() -> None:
    world = one()
    assert world.wake("/a").error is None  # type: ignore[union-attr]
    world.command("stop", "/a")
    assert world.wake("/a").error == "not_running"  # type: ignore[union-attr]
    assert world.wake("/nobody").error == "unknown_name"  # type: ignore[union-attr]
    assert world.wake("/").error == "usage"  # type: ignore[union-attr]


def test_a_wake_that_fails_is_answered_and_goes_on_as_any_failed_restart() -> None:
    world = asleep(backoff=Backoff(jitter=0.0, initial_s=1.0))
    world.behave["/a"] = [fails_to_start, fails_to_start]  # the first restart is at once
    assert world.wake("/a").error == "start_failed"  # type: ignore[union-attr]
    assert node(world).life == "waiting"
    assert world.wake("/a") is None
    world.pass_time(3)
    assert world.running() == ["/a"]
    assert list(world.answers.values())[-1].error is None


def test_one_that_has_nothing_to_do_when_it_is_woken_is_told_of_so() -> None:
    world = asleep()
    world.behave["/a"] = [ignores]
    assert world.wake("/a").error is None  # type: ignore[union-attr]
    assert world.running() == []


# ---- operators, while it sleeps


def test_stop_of_one_that_sleeps_lets_nobody_wake_it() -> None:
    world = asleep()
    assert "asleep" in world.command("stop", "/a").text  # type: ignore[union-attr]
    assert node(world).life == "down"
    assert "agent.not_woken" in records(world)
    assert world.wake("/a").error == "not_running"  # type: ignore[union-attr]
    assert world.command("start", "/a").error is None  # type: ignore[union-attr]


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_start_and_restart_wake_it(verb: str) -> None:
    world = asleep()
    assert world.command(verb, "/a").error is None  # type: ignore[union-attr]
    assert world.running() == ["/a"]


@pytest.mark.parametrize("verb", ["kill", "freeze", "thaw", "interrupt"])
def test_what_needs_a_process_says_that_there_is_none(verb: str) -> None:
    assert asleep().command(verb, "/a").error == "not_running"  # type: ignore[union-attr]


def test_one_that_sleeps_can_be_deleted() -> None:
    world = asleep()
    assert world.delete("/a").error is None  # type: ignore[union-attr]
    assert "agent.not_woken" in records(world)


def test_the_end_of_everything_finds_it_asleep_and_a_supervisor_that_starts_again_starts_it() -> None:
    world = World(supervisor("root", supervisor("s", sleeper()))).boot()
    world.idle("/s/a", 60.0)
    world.command("stop", "/s")
    assert node(world, "/s/a").life == "down"
    assert world.wake("/s/a").error == "not_running"  # type: ignore[union-attr]
    world.command("start", "/s")
    assert world.running() == ["/s/a"]
    world.idle("/s/a", 60.0)
    world.halt()
    assert world.ended is not None


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_group_restart_lets_it_sleep(strategy: str) -> None:
    world = World(supervisor("root", worker("first"), sleeper(), worker("last"), strategy=strategy)).boot()
    world.idle("/a", 60.0)
    world.crash("/first")
    assert world.running() == ["/first", "/last"]
    assert node(world).life == "asleep"
    assert world.wake("/a").error is None  # type: ignore[union-attr]


def test_a_significant_sibling_that_sleeps_is_not_gone() -> None:
    options = {"restart": "transient", "significant": True}
    tree = supervisor("root", sleeper("a", **options), worker("b", **options), auto_shutdown="all_significant")
    world = World(tree).boot()
    world.idle("/a", 60.0)
    world.crash("/b", NORMAL)
    assert world.ended is None
    assert world.wake("/a").error is None  # type: ignore[union-attr]


# ---- reload


def test_a_reload_lets_it_sleep_and_it_wakes_as_the_new_one() -> None:
    world = asleep()
    assert world.reload(supervisor("root", sleeper(birth="new"))).error is None  # type: ignore[union-attr]
    assert node(world).life == "asleep"
    world.wake("/a")
    assert node(world).spec.birth == "new"


def test_a_reload_that_takes_its_sleep_away_wakes_it() -> None:
    for birth in (None, "new"):
        world = asleep()
        world.reload(supervisor("root", worker("a", birth=birth)))
        assert world.running() == ["/a"]


def test_a_reload_that_removes_it_removes_it() -> None:
    world = asleep()
    world.reload(supervisor("root"))
    assert "/a" not in world.state.nodes
    assert "agent.not_woken" in records(world)


def test_a_reload_that_restarts_it_while_it_falls_asleep_has_it_back() -> None:
    world = falling()
    world.reload(supervisor("root", sleeper(birth="new")))
    assert world.wake("/a") is None
    world.end(world.process("/a"), NORMAL)
    assert world.births("/a") == 2
    assert node(world).spec.birth == "new"
    assert all(answer.error is None for answer in world.answers.values())


def test_how_long_it_may_idle_changes_in_place() -> None:
    world = one()
    changes = plan(world.state.root.spec, after := supervisor("root", sleeper(hibernate_s=5.0)))
    assert [(change.what, change.why) for change in changes] == [
        ("nothing", ""),
        ("live", "hibernate_after 60.0 -> 5.0"),
    ]
    world.reload(after)
    assert world.adopted == ["/a"]
    world.idle("/a", 5.0)
    assert node(world).life == "asleep"


# ---- pools


def test_a_member_is_made_when_it_is_wanted_and_nothing_of_it_is_kept_while_it_sleeps() -> None:
    world = chats(hibernate_s=60.0)
    assert world.wake("/chats/ana").error is None  # type: ignore[union-attr]
    assert world.running() == ["/chats/ana"]
    world.idle("/chats/ana", 60.0)
    assert list(world.state.nodes) == ["/", "/chats"]
    assert world.timers == {}
    assert world.wake("/chats/ana").error is None  # type: ignore[union-attr]


def test_a_thousand_members_come_and_go_and_leave_nothing() -> None:
    world = chats(hibernate_s=60.0, live=10)
    for number in range(1000):
        world.wake(f"/chats/m{number}")
        world.idle(f"/chats/m{number}", 0.25)
    assert len(world.running()) == 10
    world.pass_time(60)
    above = world.state.nodes["/chats"]
    assert list(world.state.nodes) == ["/", "/chats"]
    assert not above.children and not above.idle and not above.leaving and not world.state.crowded  # type: ignore[union-attr]


def test_a_member_that_cannot_start_is_told_of_and_not_kept_and_counts_nothing() -> None:
    world = chats()
    world.behave["/chats/x"] = [fails_to_start]
    assert world.wake("/chats/x").error == "start_failed"  # type: ignore[union-attr]
    assert "/chats/x" not in world.state.nodes
    assert world.state.root.children["chats"].window.count == 0  # type: ignore[union-attr]


def test_members_that_are_supervisors_are_not_made_by_wanting_them() -> None:
    world = World(supervisor("root", pool("p", supervisor("crew", worker("w"))))).boot()
    assert world.wake("/p/one").error == "unknown_name"  # type: ignore[union-attr]


def test_a_pool_that_is_down_wakes_nobody() -> None:
    world = chats()
    world.command("stop", "/chats")
    assert world.wake("/chats/ana").error == "not_running"  # type: ignore[union-attr]


def test_the_one_used_longest_ago_sleeps_for_the_next() -> None:
    world = chats(live=3)
    for name in "abc":
        world.wake(f"/chats/{name}")
    for name in "bca":
        world.idle(f"/chats/{name}", 0.25)
    world.stirs("/chats/b")
    world.idle("/chats/b", 0.25)
    for name, slept in (("d", "c"), ("e", "a"), ("f", "b")):
        assert world.wake(f"/chats/{name}").error is None  # type: ignore[union-attr]
        assert f"/chats/{slept}" not in world.running()


def test_a_large_pool_keeps_some_room_ahead_while_somebody_is_idle() -> None:
    world = chats(live=32)
    for number in range(32):
        assert world.wake(f"/chats/m{number}").error is None  # type: ignore[union-attr]
    assert len(world.running()) == 32, "all have something to do"
    for number in (5, 7, 9):
        world.idle(f"/chats/m{number}", 0.25)
    assert len(world.running()) == 30 and "/chats/m9" in world.running()
    assert not world.state.crowded, "nothing is looked at any more"
    assert world.wake("/chats/x").error is None  # type: ignore[union-attr]
    assert len(world.running()) == 30 and "/chats/m9" not in world.running(), "another goes, and nobody has waited"
    for number in range(2):
        assert world.wake(f"/chats/y{number}").error is None  # type: ignore[union-attr]
    assert len(world.running()) == 32 and world.wake("/chats/z") is None


def test_while_all_have_something_to_do_the_next_one_waits_and_then_goes_in_order() -> None:
    world = chats(live=2)
    for name in "ab":
        world.wake(f"/chats/{name}")
    assert [world.wake(f"/chats/{name}") for name in "cde"] == [None] * 3
    assert world.wake("/chats/c") is None
    assert world.running() == ["/chats/a", "/chats/b"]
    world.idle("/chats/b", 0.25)
    assert world.running() == ["/chats/a", "/chats/c"]
    world.crash("/chats/a")  # it is restarted, and keeps its place
    assert world.running() == ["/chats/a", "/chats/c"]
    world.command("stop", "/chats/a")
    assert world.running() == ["/chats/c", "/chats/d"]
    assert len([answer for answer in world.answers.values() if answer.error is None]) == 6


def test_one_that_declines_is_passed_over() -> None:
    world = chats(live=2)
    for name in "ab":
        world.wake(f"/chats/{name}")
        world.idle(f"/chats/{name}", 0.25)
    world.awake.add("/chats/a")
    assert world.wake("/chats/c").error is None  # type: ignore[union-attr]
    assert world.running() == ["/chats/a", "/chats/c"]


def test_no_more_are_asked_than_there_is_room_wanted_for() -> None:
    world = chats(live=4)
    for name in "abcd":
        world.wake(f"/chats/{name}")
        world.mute.add(f"/chats/{name}")
        world.idle(f"/chats/{name}", 0.25)
    world.wake("/chats/e")
    world.wake("/chats/f")
    assert [path for what, path in world.log if what == "sleep"] == ["/chats/a", "/chats/b"]


def test_the_one_that_is_wanted_while_it_makes_room_comes_back_and_another_goes() -> None:
    world = chats(live=2)
    for name in "ab":
        world.wake(f"/chats/{name}")
        world.idle(f"/chats/{name}", 0.25)
    world.mute.add("/chats/a")
    assert world.wake("/chats/c") is None
    assert world.wake("/chats/a") is None
    world.falls_asleep("/chats/a")
    world.end(world.process("/chats/a"), NORMAL)
    assert world.running() == ["/chats/a", "/chats/c"]
    assert {answer.error for answer in world.answers.values()} == {None}


def test_an_operator_waits_for_room_as_everybody_does() -> None:
    world = chats(live=1)
    world.add("/chats", "a")
    assert world.add("/chats", "b") is None
    world.idle("/chats/a", 0.25)
    assert world.running() == ["/chats/b"]
    assert {answer.error for answer in world.answers.values()} == {None}


def test_who_waits_for_room_in_a_pool_that_stops_is_told() -> None:
    world = chats(live=1)
    world.wake("/chats/a")
    world.wake("/chats/b")
    world.command("stop", "/chats")
    assert sorted(str(answer.error) for answer in world.answers.values()) == ["None", "None", "not_running"]
    assert not world.state.crowded


def test_a_reload_gives_more_room_or_less() -> None:
    world = chats(live=1)
    for name in "abc":
        world.wake(f"/chats/{name}")
    world.reload(supervisor("root", pool("chats", sleeper("any", None), live=3)))
    assert len(world.running()) == 3
    world.reload(supervisor("root", pool("chats", sleeper("any", None), live=1)))
    assert len(world.running()) == 3
    for name in "abc":
        world.idle(f"/chats/{name}", 0.25)
    assert world.running() == ["/chats/c"]


def test_who_is_to_say_when_that_it_is_idle() -> None:
    world = chats(live=2, hibernate_s=60.0)
    world.wake("/chats/a")
    assert tells_after_s(node(world, "/chats/a")) == 0.25
    for hibernate_s, live, after_s in ((60.0, None, 60.0), (None, None, 0.0), (0.1, 2, 0.1), (None, 2, 0.25)):
        world = chats(live=live, hibernate_s=hibernate_s)
        world.wake("/chats/a")
        assert tells_after_s(node(world, "/chats/a")) == after_s


@pytest.mark.parametrize(
    "spec",
    [
        lambda: SupervisorSpec("s", live=2),
        lambda: pool("p", worker("w"), live=0),
        lambda: pool("p", supervisor("crew"), live=2),
        lambda: worker("w", hibernate_s=0.0),
        lambda: worker("w", hibernate_s=float("inf")),
    ],
)
def test_what_makes_no_sense_is_refused(spec: Any) -> None:
    with pytest.raises(ConfigError):
        spec()


# ---- all moments


MOMENTS = ("idle", "asked", "leaving", "gone", "asleep", "starting", "up")
HAPPENINGS = (
    "wake",
    "stop",
    "start",
    "restart",
    "kill",
    "freeze",
    "reload",
    "replace",
    "remove",
    "crash",
    "halt",
    "stir",
)


def at(moment: str, *, in_pool: bool) -> tuple[World, str]:
    """A world in which ``path`` has come as far as ``moment`` on its way to sleep and back."""
    parent = pool("p", sleeper("any"), live=1) if in_pool else supervisor("p", sleeper())
    world = World(supervisor("root", parent)).boot()
    path = "/p/a"
    if in_pool:
        world.wake(path)
    world.mute.add(path)
    if moment == "idle":
        world.idle(path, 1.0)
        return world, path
    world.idle(path, 60.0)
    if moment == "asked":
        return world, path
    world.falls_asleep(path)
    if moment == "leaving":
        return world, path
    process = world.process(path)
    if moment == "gone":  # its main process has ended, its cell is not empty
        world.undead.add(path)
    world.end(process, NORMAL)
    if moment in ("starting", "up"):
        world.behave[path] = [never_ready]
        world.wake(path)
    if moment == "up":
        world.tell(on.Ready(path, node(world, path).n))
    return world, path


def happen(world: World, what: str, path: str, *, in_pool: bool) -> None:
    match what:
        case "wake":
            world.wake(path)
        case "stir":
            if [one for one in world.processes.values() if one.path == path]:
                world.stirs(path)
        case "crash":
            if path in world.running():
                world.crash(path, Reason("signal", 9))
        case "halt":
            world.halt("ask")
        case "reload" | "replace" | "remove":
            new: Any = supervisor("root")
            if what == "reload":
                birth = "new"
                new = supervisor(
                    "root",
                    pool("p", sleeper("any", birth=birth), live=1)
                    if in_pool
                    else supervisor("p", sleeper(birth=birth)),
                )
            elif what == "replace":
                new = supervisor("root", worker("p"))
            world.reload(new)
        case _:
            world.command(what, path)


def settle(world: World, path: str) -> None:
    """All that was held up comes to its end."""
    world.undead.clear()
    for process in list(world.processes.values()):
        if process.frozen:
            world.command("thaw", process.path)
    for process in [one for one in world.processes.values() if one.dying]:
        world.tell(on.Emptied(process.path, process.n))
    for process in list(world.processes.values()):
        found = world.state.nodes.get(process.path)
        if isinstance(found, Worker) and found.dozing:
            world.falls_asleep(process.path)
        if isinstance(found, Worker) and found.sleeping:
            world.end(process, NORMAL)
        elif isinstance(found, Worker) and found.life == "starting":
            world.tell(on.Ready(process.path, process.n))
    for process in [one for one in world.processes.values() if one.dying]:
        world.tell(on.Emptied(process.path, process.n))
    world.mute.clear()
    world.pass_time(30)


@pytest.mark.parametrize("in_pool", [False, True], ids=["worker", "member"])
@pytest.mark.parametrize(("moment", "first"), list(itertools.product(MOMENTS, HAPPENINGS)))
def test_whatever_happens_at_whatever_moment_everybody_is_answered_and_who_is_wanted_runs(
    moment: str, first: str, in_pool: bool
) -> None:
    """Two things happen at each moment, in every order; ``World`` judges after each move."""
    for second in HAPPENINGS:
        world, path = at(moment, in_pool=in_pool)
        asked = len(world.answers)
        happen(world, first, path, in_pool=in_pool)
        if world.ended is None:
            happen(world, second, path, in_pool=in_pool)
        if world.ended is None:
            settle(world, path)
        found = world.state.nodes.get(path)
        wanted_last = second == "wake" and first in ("wake", "stir", "reload", "crash", "start")
        if world.ended is None and wanted_last:
            assert path in world.running(), f"{first}, {second}: {found}"
        if isinstance(found, Worker):
            assert found.alive == (path in world.running())
            assert found.life not in WITH_PROCESS - {"ready"}, f"{first}, {second}: {found.life}"
            assert not found.ops, f"{first}, {second}: {found.ops}"
        if world.ended is None:
            world.halt("kill")
            world.pass_time(1)
        assert world.ended is not None
        assert len(world.answers) >= asked
        assert sorted(world.answers) == list(range(1, max(world.answers, default=0) + 1)), "every command was answered"


# ---- who does not answer, or dies of it


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("end", [CRASH, NORMAL])
@pytest.mark.parametrize("intensity", [None, 0])
@pytest.mark.parametrize("has_answered", [True, False])
def test_whoever_wants_one_that_dies_as_it_falls_asleep_is_answered(
    restart: str, end: Reason, intensity: int | None, has_answered: bool
) -> None:
    own = {} if intensity is None else {"intensity": intensity, "period_s": 5.0}
    world = World(supervisor("root", sleeper(restart=restart, **own), intensity=100)).boot()
    world.mute.add("/a")
    world.idle("/a", 60.0)
    if has_answered:
        world.falls_asleep("/a")
    assert world.wake("/a") is None
    world.crash("/a", end)
    world.pass_time(100)
    assert 1 in world.answers


@pytest.mark.parametrize("is_frozen", [True, False])
def test_who_does_not_say_whether_it_sleeps_does_not_hold_up_who_waits_for_room(is_frozen: bool) -> None:
    world = chats(live=2)
    world.wake("/chats/a")
    world.wake("/chats/b")
    world.mute.add("/chats/a")
    world.idle("/chats/a", 10)
    world.idle("/chats/b", 5)
    world.wake("/chats/c")
    assert world.running() == ["/chats/a", "/chats/b"]
    if is_frozen:
        world.command("freeze", "/chats/a")
    else:
        world.pass_time(6)
    assert world.running() == ["/chats/a", "/chats/c"]
