"""Starts that fail at an awkward moment: what comparing with Erlang found (``tests/conformance``)."""

from __future__ import annotations

import pytest

from agenthost.core import events as on
from agenthost.core.spec import WorkerSpec
from agenthost.core.view import shown
from tests.core.trees import supervisor, worker
from tests.core.world import NORMAL, Process, World, fails_to_start, ignores, ready_at_once


def three(strategy: str, **options: object) -> World:
    return World(supervisor("root", *(worker(name) for name in "abc"), strategy=strategy, **options)).boot()


def while_a_sibling_crashes(path: str) -> object:
    def behave(world: World, process: Process) -> None:
        world.crash(path)
        ready_at_once(world, process)

    return behave


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_under_otp_strict_a_start_by_hand_that_fails_is_neither_counted_nor_tried_again(verb: str) -> None:
    """Section 8: an error, and the spec stays without a process."""
    world = three("one_for_all", intensity=0, otp_strict=True)
    world.behave["/a"] = [fails_to_start]
    if verb == "start":
        world.command("stop", "/a")
    answer = world.command(verb, "/a")
    assert answer is not None
    assert answer.error == "start_failed"
    assert world.running() == ["/b", "/c"]
    assert shown(world.state.nodes["/a"]) == "down"


def test_a_start_by_hand_that_fails_is_tried_again_unless_otp_strict() -> None:
    """Deviation D13."""
    world = three("one_for_one")
    world.command("stop", "/a")
    world.behave["/a"] = [fails_to_start]
    answer = world.command("start", "/a")
    assert answer is not None
    assert answer.error == "start_failed"
    assert world.running() == ["/a", "/b", "/c"]


def test_what_was_started_by_hand_and_came_up_is_restarted_like_any_other() -> None:
    world = three("one_for_one", otp_strict=True)
    world.command("restart", "/a")
    world.behave["/a"] = [fails_to_start]
    world.crash("/a")
    assert world.births("/a") == 4
    assert world.running() == ["/a", "/b", "/c"]


def test_a_start_by_hand_is_over_when_it_is_stopped() -> None:
    world = three("one_for_one", otp_strict=True)
    world.behave["/a"] = [lambda world, process: None]
    world.command("restart", "/a")
    world.command("stop", "/a")
    world.command("start", "/a")
    world.behave["/a"] = [fails_to_start]
    world.crash("/a")
    assert world.running() == ["/a", "/b", "/c"]


@pytest.mark.parametrize("otp_strict", [True, False])
def test_a_death_during_a_group_restart_is_looked_at_before_that_is_tried_again(otp_strict: bool) -> None:
    """R10: one restart for the first death, one for the second; the failed start is part of that."""
    world = three("rest_for_one", intensity=2, otp_strict=otp_strict)
    world.behave["/b"] = [while_a_sibling_crashes("/a")]  # type: ignore[list-item]
    world.behave["/c"] = [fails_to_start]
    mark = world.mark
    world.crash("/b")
    births = [path for what, path in world.since(mark) if what == "birth"]
    assert births == ["/b", "/c", "/a", "/b", "/c"]
    assert world.state.root.window.count == 2


def test_a_temporary_sibling_that_dies_meanwhile_does_not_keep_the_group_from_being_tried_again() -> None:
    world = World(
        supervisor("root", worker("t", restart="temporary"), worker("b"), worker("c"), strategy="rest_for_one")
    ).boot()
    world.behave["/b"] = [while_a_sibling_crashes("/t")]  # type: ignore[list-item]
    world.behave["/c"] = [fails_to_start]
    world.crash("/b")
    assert world.running() == ["/b", "/c"]
    assert list(world.state.nodes) == ["/", "/b", "/c"]


def test_an_added_child_that_ignored_is_no_longer_new() -> None:
    """Its next start may be one of a group, and fail; the group must not wait for it then."""
    world = World(supervisor("root", worker("a"), strategy="one_for_all")).boot()
    world.behave["/x"] = [ignores, fails_to_start]
    world.tell(on.Add(1, "/", "x", WorkerSpec("x", backoff=None)))
    assert world.answers[1].error is None
    world.crash("/a")
    assert world.running() == ["/a", "/x"]
    world.crash("/x", NORMAL)
    assert world.running() == ["/a", "/x"]
