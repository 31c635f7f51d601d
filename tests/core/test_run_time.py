"""Children added, deleted and lost at run time: section 8, T8, S3."""

from __future__ import annotations

import pytest

from tests.core.trees import supervisor, worker
from tests.core.world import NORMAL, World, fails_to_start, ignores, never_ready


def tree() -> World:
    return World(supervisor("root", worker("a"), supervisor("s", worker("b"), intensity=0))).boot()


def test_a_child_is_added_started_and_supervised_like_any_other() -> None:
    world = tree()
    answer = world.add("/s", "new", worker("x"))
    assert answer is not None
    assert answer.error is None
    assert world.running() == ["/a", "/s/b", "/s/new"]
    world.command("restart", "/s/new")
    assert world.births("/s/new") == 2


def test_a_child_that_does_not_come_up_is_answered_with_the_reason_and_not_kept() -> None:
    world = tree()
    world.behave["/new"] = [fails_to_start]
    answer = world.add("/", "new", worker("x"))
    assert answer is not None
    assert answer.error == "start_failed"
    assert "/new" not in world.state.nodes
    assert world.state.root.window.count == 0


def test_a_child_that_ignores_keeps_its_spec_unless_it_is_temporary() -> None:
    world = tree()
    world.behave |= {"/keeps": [ignores], "/leaves": [ignores]}
    world.add("/", "keeps", worker("x"))
    world.add("/", "leaves", worker("x", restart="temporary"))
    assert "/keeps" in world.state.nodes
    assert "/leaves" not in world.state.nodes


@pytest.mark.parametrize(("first", "word"), [("stop", "there already"), (None, "running already")])
def test_a_known_name_is_refused(first: str | None, word: str) -> None:
    world = tree()
    if first:
        world.command(first, "/a")
    answer = world.add("/", "a", worker("x"))
    assert answer is not None
    assert answer.error == "busy"
    assert word in answer.text


def test_a_child_below_nobody_or_below_a_stopped_supervisor_is_refused() -> None:
    world = tree()
    assert world.add("/nobody", "x", worker("x")).error == "unknown_name"  # type: ignore[union-attr]
    world.command("stop", "/s")
    assert world.add("/s", "x", worker("x")).error == "not_running"  # type: ignore[union-attr]


def test_only_what_has_no_process_can_be_deleted() -> None:
    world = tree()
    assert world.delete("/a").error == "busy"  # type: ignore[union-attr]
    world.command("stop", "/a")
    assert world.delete("/a").error is None  # type: ignore[union-attr]
    assert "/a" not in world.state.nodes
    assert world.delete("/a").error == "unknown_name"  # type: ignore[union-attr]


def test_a_supervisor_comes_back_with_its_initial_children_only() -> None:
    """T8, and case 56: one deleted by hand returns as well."""
    world = World(
        supervisor("root", supervisor("s", worker("b"), worker("t", restart="temporary"), worker("d"), intensity=0))
    ).boot()
    world.add("/s", "new", worker("x"))
    world.command("stop", "/s/d")
    world.delete("/s/d")
    world.crash("/s/t", NORMAL)
    assert world.running() == ["/s/b", "/s/new"]
    world.crash("/s/b")
    assert world.running() == ["/s/b", "/s/d", "/s/t"]
    assert [child.path for child in world.state.nodes["/s"].children.values()] == [  # type: ignore[union-attr]
        "/s/b",
        "/s/t",
        "/s/d",
    ]


def test_a_stop_of_the_host_ends_a_child_that_is_being_added() -> None:
    world = tree()
    world.behave["/new"] = [never_ready]
    assert world.add("/", "new", worker("x")) is None
    world.halt()
    assert world.ended is not None
    assert len(world.answers) == 1


def test_an_added_child_takes_part_in_group_restarts_behind_the_others() -> None:
    world = World(supervisor("root", worker("a"), worker("b"), strategy="rest_for_one")).boot()
    world.add("/", "c", worker("x"))
    mark = world.mark
    world.crash("/b")
    steps = [entry for entry in world.since(mark) if entry[0] in ("ask", "birth")]
    assert steps == [("ask", "/c"), ("birth", "/b"), ("birth", "/c")]
