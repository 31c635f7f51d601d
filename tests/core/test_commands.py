"""Section 8 and rule R7: what operators may ask, and that it never counts as a failure."""

from __future__ import annotations

import pytest

from tests.core.trees import supervisor, worker
from tests.core.world import CRASH, World, never_ready


def tree(**options: object) -> World:
    return World(
        supervisor("root", worker("a"), supervisor("s", worker("b"), worker("c"), intensity=0), intensity=0, **options)
    ).boot()


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "kill"])
def test_an_unknown_path_is_answered_with_the_nearest(verb: str) -> None:
    answer = tree().command(verb, "/s/bb")
    assert answer is not None
    assert answer.error == "unknown_name"
    assert "/s/b" in answer.text


def test_a_stop_never_counts_and_never_touches_siblings() -> None:
    world = tree(strategy="one_for_all")
    answer = world.command("stop", "/a")
    assert answer is not None
    assert answer.error is None
    assert answer.text.startswith("asked 0 s")
    assert world.running() == ["/s/b", "/s/c"]
    assert world.births("/s/b") == 1


def test_a_stopped_agent_stays_down_until_it_is_started() -> None:
    world = tree()
    world.command("stop", "/a")
    world.pass_time(1e6)
    assert world.births("/a") == 1
    assert world.command("start", "/a").error is None  # type: ignore[union-attr]
    assert world.births("/a") == 2


def test_a_restart_is_answered_when_the_next_incarnation_is_ready() -> None:
    world = tree()
    world.behave["/a"] = [never_ready]
    assert world.command("restart", "/a") is None
    from agenthost.core import events as on

    world.tell(on.Ready("/a", world.process("/a").n))
    assert [answer.error for answer in world.answers.values()] == [None]


def test_a_restart_never_counts() -> None:
    world = tree()
    for _ in range(20):
        world.command("restart", "/s/b")
    assert world.ended is None
    assert world.births("/s/b") == 21
    assert world.births("/s/c") == 1


def test_starting_what_runs_says_so() -> None:
    answer = tree().command("start", "/a")
    assert answer is not None
    assert answer.error is None
    assert "running already" in answer.text


def test_starting_below_a_stopped_supervisor_is_refused() -> None:
    world = tree()
    world.command("stop", "/s")
    answer = world.command("start", "/s/b")
    assert answer is not None
    assert answer.error == "not_running"
    assert "/s" in answer.text


def test_stopping_and_starting_a_supervisor_takes_its_children_along() -> None:
    world = tree()
    world.command("stop", "/s")
    assert world.running() == ["/a"]
    world.command("start", "/s")
    assert world.running() == ["/a", "/s/b", "/s/c"]


def test_killing_is_a_crash_and_its_supervisor_judges() -> None:
    world = World(supervisor("root", worker("a"), intensity=1)).boot()
    answer = world.command("kill", "/a")
    assert answer is not None
    assert answer.error is None
    assert world.births("/a") == 2
    assert world.state.nodes["/a"].restarts == 1
    assert any(record.fields.get("reason") == "killed: by a test" for record in world.records)


def test_killing_a_supervisor_kills_all_below_at_once_and_its_own_supervisor_restarts_it() -> None:
    world = World(
        supervisor("root", supervisor("s", worker("b"), worker("c")), intensity=1), stubborn={"/s/b", "/s/c"}
    ).boot()
    world.command("kill", "/s")
    assert [world.births(path) for path in ("/s/b", "/s/c")] == [2, 2]
    assert ("ask", "/s/b") not in world.log
    assert world.state.nodes["/s"].restarts == 1


def test_killing_what_has_no_process_says_so() -> None:
    world = tree()
    world.command("stop", "/a")
    answer = world.command("kill", "/a")
    assert answer is not None
    assert answer.error == "not_running"


def test_a_start_that_fails_is_answered_with_the_reason() -> None:
    world = World(supervisor("root", worker("a"), worker("b"))).boot()
    world.command("stop", "/a")
    world.behave["/a"] = [never_ready]
    assert world.command("start", "/a") is None
    world.crash("/a", CRASH)
    [answer] = [answer for answer in world.answers.values() if answer.error]
    assert answer.error == "start_failed"
    assert "exit status 1" in answer.text


def test_stopping_the_root_ends_the_host() -> None:
    world = tree()
    world.command("stop", "/")
    assert world.ended is not None


def test_every_command_on_every_kind_of_node_in_every_state_is_answered_in_the_end() -> None:
    for first in ("none", "stop", "kill", "restart"):
        for verb in ("start", "stop", "restart", "kill"):
            for path in ("/a", "/s", "/s/c"):
                world = World(
                    supervisor("root", worker("a"), supervisor("s", worker("b"), worker("c")), intensity=9),
                    stubborn={"/s/c"},
                ).boot()
                if first != "none":
                    world.command(first, path)
                world.command(verb, path)
                world.pass_time(120)
                expected = 1 if first == "none" else 2
                assert len(world.answers) == expected, (first, verb, path, world.answers)
