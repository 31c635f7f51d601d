"""Plan and reload: rules U1, U4 to U6, deviation D11, and "never is a child restarted whose spec did not change"."""

from __future__ import annotations

import dataclasses

from hypothesis import given

from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.plan import plan
from agenthost.core.spec import Strategy, SupervisorSpec
from tests.core.test_machine import trees
from tests.core.trees import pool, supervisor, worker
from tests.core.world import World, fails_to_start, never_ready

BEFORE = supervisor("root", worker("a"), worker("b"), supervisor("s", worker("c"), worker("d")))


def reload(world: World, spec: SupervisorSpec) -> str | None:
    """The answer's error, "" for none; None while it is under way."""
    answer = world.reload(spec)
    return None if answer is None else answer.error or ""


def changes(old: SupervisorSpec, new: SupervisorSpec) -> dict[str, str]:
    return {one.path: one.what for one in plan(old, new) if one.what != "nothing"}


def test_the_same_config_changes_nothing() -> None:
    assert changes(BEFORE, BEFORE) == {}
    world = World(BEFORE).boot()
    mark = world.mark
    assert reload(world, BEFORE) == ""
    assert world.since(mark) == []


def test_the_plan_says_per_child_what_and_why() -> None:
    after = supervisor(
        "root",
        worker("b", birth="other"),
        supervisor("s", worker("d", start_timeout_s=3.0), worker("new"), intensity=9),
        worker("c"),
    )
    found = {one.path: one for one in plan(BEFORE, after)}
    assert {path: one.what for path, one in found.items()} == {
        "/": "nothing",
        "/b": "restart",
        "/s": "live",
        "/s/d": "live",
        "/s/new": "add",
        "/s/c": "remove",
        "/c": "add",
        "/a": "remove",
    }
    assert found["/s"].why == "intensity 5 -> 9"
    assert "30.0 -> 3.0" in found["/s/d"].why


def test_what_is_new_starts_what_is_missing_goes_and_the_rest_is_untouched() -> None:
    world = World(BEFORE).boot()
    assert reload(world, supervisor("root", worker("a"), supervisor("s", worker("c"), worker("e")))) == ""
    assert world.running() == ["/a", "/s/c", "/s/e"]
    assert [world.births(path) for path in ("/a", "/s/c", "/s/e")] == [1, 1, 1]
    assert "/b" not in world.state.nodes


def test_a_changed_birth_restarts_that_child_alone_and_does_not_count() -> None:
    world = World(BEFORE).boot()
    after = supervisor("root", worker("a"), worker("b", birth="new"), supervisor("s", worker("c"), worker("d")))
    assert reload(world, after) == ""
    assert [world.births(path) for path in ("/a", "/b", "/s/c")] == [1, 2, 1]
    assert world.state.nodes["/b"].spec.birth == "new"  # type: ignore[union-attr]
    assert world.state.root.window.count == 0


def test_what_only_the_host_looks_at_is_adopted_by_the_process_that_runs() -> None:
    before, after = AgentBirth("m:A"), AgentBirth("m:A", silence_s=5.0, group="crew")
    world = World(supervisor("root", worker("a", birth=before), worker("down", birth=before))).boot()
    world.command("stop", "/down")
    [changed, _] = [
        one
        for one in plan(
            world.state.root.spec, supervisor("root", worker("a", birth=after), worker("down", birth=after))
        )
        if one.what != "nothing"
    ]
    assert (changed.path, changed.what) == ("/a", "live")
    assert changed.why == "turn.silence 60.0 -> 5.0, group  -> crew"
    assert reload(world, supervisor("root", worker("a", birth=after), worker("down", birth=after))) == ""
    assert world.births("/a") == 1 and world.adopted == ["/a"]


def test_a_birth_that_changed_in_more_than_that_needs_a_new_process() -> None:
    world = World(supervisor("root", worker("a", birth=AgentBirth("m:A")))).boot()
    assert reload(world, supervisor("root", worker("a", birth=AgentBirth("m:B", silence_s=5.0)))) == ""
    assert world.births("/a") == 2 and world.adopted == []


def test_a_changed_strategy_and_patience_apply_in_place() -> None:
    """U1."""
    world = World(BEFORE).boot()
    mark = world.mark
    after = dataclasses.replace(BEFORE, strategy=Strategy.ONE_FOR_ALL, intensity=0)
    assert reload(world, after) == ""
    assert world.since(mark) == []
    world.crash("/a")
    assert world.ended is not None


def test_a_changed_restart_type_applies_from_the_next_end() -> None:
    """U4."""
    world = World(BEFORE).boot()
    after = supervisor("root", worker("a", restart="temporary"), worker("b"), supervisor("s", worker("c"), worker("d")))
    assert reload(world, after) == ""
    assert world.births("/a") == 1
    world.crash("/a")
    assert "/a" not in world.state.nodes


def test_reordering_restarts_nobody_and_counts_from_the_next_group_restart() -> None:
    world = World(supervisor("root", worker("a"), worker("b"), worker("c"), strategy="rest_for_one")).boot()
    mark = world.mark
    assert reload(world, supervisor("root", worker("c"), worker("a"), worker("b"), strategy="rest_for_one")) == ""
    assert world.since(mark) == []
    world.crash("/a")
    assert [world.births(f"/{name}") for name in "abc"] == [2, 2, 1]


def test_a_new_child_that_does_not_come_up_leaves_the_old_state_standing() -> None:
    world = World(BEFORE).boot()
    world.behave["/bad"] = [fails_to_start]
    after = supervisor("root", worker("good"), worker("bad"), worker("a", birth="changed"))
    assert reload(world, after) == "start_failed"
    assert world.running() == ["/a", "/b", "/s/c", "/s/d"]
    assert world.births("/a") == 1
    assert "/good" not in world.state.nodes
    [text] = [answer.text for answer in world.answers.values()]
    assert "/bad does not come up: failed to start: no" in text
    assert world.state.root.spec == BEFORE


def test_a_new_supervisor_whose_child_fails_leaves_the_old_state_standing() -> None:
    world = World(BEFORE).boot()
    world.behave["/t/y"] = [fails_to_start]
    crew = supervisor("t", worker("x"), worker("y"))
    assert reload(world, dataclasses.replace(BEFORE, children=(*BEFORE.children, crew))) == "start_failed"
    assert world.running() == ["/a", "/b", "/s/c", "/s/d"]


def test_nothing_old_goes_before_everything_new_is_up() -> None:
    world = World(BEFORE).boot()
    world.behave["/slow"] = [never_ready]
    assert reload(world, supervisor("root", worker("slow"))) is None
    assert world.running() == ["/a", "/b", "/s/c", "/s/d", "/slow"]
    assert reload(world, BEFORE) == "busy"
    world.tell(on.Ready("/slow", world.process("/slow").n))
    assert world.running() == ["/slow"]


def test_a_worker_that_becomes_a_supervisor_is_replaced_in_its_place() -> None:
    world = World(BEFORE).boot()
    after = supervisor("root", worker("a"), supervisor("b", worker("x")), supervisor("s", worker("c"), worker("d")))
    assert reload(world, after) == ""
    assert world.running() == ["/a", "/b/x", "/s/c", "/s/d"]
    assert list(world.state.root.children) == ["a", "b", "s"]


def test_what_an_operator_stopped_stays_down_over_a_reload() -> None:
    world = World(BEFORE).boot()
    world.command("stop", "/b")
    after = supervisor("root", worker("a"), worker("b", birth="new"), supervisor("s", worker("c"), worker("d")))
    assert reload(world, after) == ""
    assert "/b" not in world.running()
    world.command("start", "/b")
    assert world.state.nodes["/b"].spec.birth == "new"  # type: ignore[union-attr]


def test_a_removed_child_that_waits_in_back_off_does_not_come_back() -> None:
    from agenthost.core.spec import Backoff

    slow = Backoff(initial_s=5.0, jitter=0.0)
    world = World(supervisor("root", worker("a", backoff=slow), worker("b"), strategy="one_for_all")).boot()
    world.crash("/a")
    world.crash("/a")
    assert world.state.nodes["/a"].life == "waiting"  # type: ignore[union-attr]
    assert reload(world, supervisor("root", worker("b"), strategy="one_for_all")) == ""
    world.pass_time(60)
    assert world.running() == ["/b"]
    assert not world.timers


def test_the_template_of_a_pool_may_change_and_holds_from_each_members_next_start() -> None:
    """U4, U6."""
    world = World(supervisor("root", pool("p", worker("any", birth="old")))).boot()
    world.add("/p", "one")
    assert reload(world, supervisor("root", pool("p", worker("any", birth="new")))) == ""
    world.add("/p", "two")
    assert world.births("/p/one") == 1
    assert [world.state.nodes[f"/p/{name}"].spec.birth for name in ("one", "two")] == ["new", "new"]  # type: ignore[union-attr]


def test_a_new_child_below_a_stopped_supervisor_is_refused() -> None:
    world = World(BEFORE).boot()
    world.command("stop", "/s")
    after = supervisor("root", worker("a"), worker("b"), supervisor("s", worker("c"), worker("d"), worker("e")))
    assert reload(world, after) == "busy"


def test_a_halt_ends_a_reload_that_is_under_way() -> None:
    world = World(BEFORE).boot()
    world.behave["/slow"] = [never_ready]
    reload(world, dataclasses.replace(BEFORE, children=(*BEFORE.children, worker("slow"))))
    world.halt()
    assert world.ended is not None
    assert len(world.answers) == 1


@given(old=trees(), new=trees())
def test_any_tree_becomes_any_other(old: SupervisorSpec, new: SupervisorSpec) -> None:
    world = World(old).boot()
    error = reload(world, new)
    world.pass_time(300)
    assert error == ""
    assert world.state.root.spec == new
    assert set(world.state.nodes) == {one.path for one in plan(new, new)}


def test_an_added_subtree_comes_up_whole() -> None:
    world = World(BEFORE).boot()
    crew = supervisor("t", worker("x"), supervisor("u", worker("y")))
    assert reload(world, dataclasses.replace(BEFORE, children=(*BEFORE.children, crew))) == ""
    assert world.running() == ["/a", "/b", "/s/c", "/s/d", "/t/u/y", "/t/x"]


def test_a_plan_says_what_changes_in_the_template_of_a_pool() -> None:
    before = supervisor("root", pool("p", worker("any", birth=AgentBirth("m:A"))))
    after = supervisor("root", pool("p", worker("any", birth=AgentBirth("m:B"), restart="temporary")))
    [change] = [one for one in plan(before, after) if one.what != "nothing"]
    assert (change.path, change.what) == ("/p", "live")
    assert change.why == "members, from the next start of each: restart permanent -> temporary, agent m:A -> m:B"


def test_a_plan_says_that_the_order_has_changed_and_only_then() -> None:
    a, b, c = (worker(name) for name in "abc")
    [change] = [one for one in plan(supervisor("root", a, b, c), supervisor("root", c, a, b)) if one.what != "nothing"]
    assert (change.path, change.what, change.why) == ("/", "live", "the order of its children: c, a, b")
    words = [one.why for one in plan(supervisor("root", a, b, c), supervisor("root", worker("d"), a, c))]
    assert not [word for word in words if "order" in word]


def test_what_becomes_of_another_kind_is_replaced() -> None:
    kinds = {"worker": worker("x"), "pool": pool("x", worker("any")), "supervisor": supervisor("x", worker("a"))}
    for one, old in kinds.items():
        for other, new in kinds.items():
            [change] = [c for c in plan(supervisor("root", old), supervisor("root", new)) if c.path == "/x"]
            assert (change.what == "replace") is (one != other), (one, other)
            world = World(supervisor("root", old)).boot()
            assert reload(world, supervisor("root", new)) == ""
            assert {"worker": ["/x"], "pool": [], "supervisor": ["/x/a"]}[other] == world.running()
