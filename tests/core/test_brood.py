"""Children that an agent has started: none outlives it, and it has not ended before them."""

from __future__ import annotations

import itertools
import time

import pytest

from agenthost.core import events as on
from agenthost.core import view
from agenthost.core.commands import MAX_DEPTH
from agenthost.core.reason import Reason
from agenthost.core.spec import Backoff, ChildSpec, Restart, Shutdown, SupervisorSpec, WorkerSpec
from agenthost.core.tree import Worker
from tests.core.trees import supervisor, worker
from tests.core.world import CRASH, NORMAL, World, fails_to_start, ignores, never_ready
from tests.measuring import without_collector

TEMPORARY, PERMANENT = Restart.TEMPORARY, Restart.PERMANENT


def family(*names: str, restart: Restart = TEMPORARY, **keys: object) -> World:
    """/boss with its children, beside /other."""
    world = World(supervisor("root", worker("boss", **keys), worker("other"))).boot()
    for name in names:
        answer = world.add("/boss", name, worker(name, restart=restart, backoff=None))
        assert answer is not None and answer.error is None
    return world


def test_a_child_stands_below_its_owner_and_is_shown_there() -> None:
    world = family("a", "b")
    world.add("/boss/a", "deep", worker("deep", restart=TEMPORARY))
    assert world.running() == ["/boss", "/boss/a", "/boss/a/deep", "/boss/b", "/other"]
    assert [(row.path, row.depth) for row in view.rows(world.state)] == [
        ("/", 0), ("/boss", 1), ("/boss/a", 2), ("/boss/a/deep", 3), ("/boss/b", 2), ("/other", 1),
    ]  # fmt: skip


def test_a_subtree_can_be_a_child() -> None:
    world = family()
    crew = supervisor("crew", worker("x"), worker("y"))
    answer = world.add("/boss", "crew", crew)
    assert answer is not None and answer.error is None
    assert world.running() == ["/boss", "/boss/crew/x", "/boss/crew/y", "/other"]
    world.crash("/boss/crew/x")
    assert world.births("/boss/crew/x") == 2 and world.births("/boss/crew/y") == 1


@pytest.mark.parametrize(
    "how", ["crash", "normal end", "kill", "fault", "restart", "stop", "halt", "hurry", "kill all"]
)
@pytest.mark.parametrize("restart", list(Restart))
def test_however_the_owner_ends_it_has_not_ended_before_its_children(how: str, restart: Restart) -> None:
    world = family("a", "b", restart=restart)
    world.add("/boss/a", "deep", worker("deep", restart=restart))
    process = world.process("/boss")
    match how:
        case "crash":
            world.crash("/boss")
        case "normal end":
            world.end(process, NORMAL)
        case "kill" | "restart" | "stop":
            world.command(how, "/boss")
        case "fault":
            world.tell(on.Fault("/boss", process.n, Reason("silent")))
        case _:
            world.halt({"halt": "ask", "hurry": "hurry", "kill all": "kill"}[how])
    world.pass_time(60)
    births = [path for what, path in world.log if what == "birth" and path.startswith("/boss/")]
    assert births == ["/boss/a", "/boss/b", "/boss/a/deep"], "none was started again"
    assert not [path for path in world.running() if path.startswith("/boss/")]
    assert [path for path in world.state.nodes if path.startswith("/boss/")] == []
    ended = [record.path for record in world.records if record.name == "agent.ended" and "/boss" in record.path]
    assert sorted(ended[:4]) == ["/boss", "/boss/a", "/boss/a/deep", "/boss/b"]
    assert ended.index("/boss/a/deep") < ended.index("/boss/a") < ended.index("/boss")
    assert ended.index("/boss/b") < ended.index("/boss")


def test_the_next_incarnation_begins_without_children_and_may_have_the_same_names() -> None:
    world = family("a", restart=PERMANENT)
    world.crash("/boss")
    assert world.running() == ["/boss", "/other"]
    answer = world.add("/boss", "a", worker("a"))
    assert answer is not None and answer.error is None and world.births("/boss/a") == 2


def test_after_a_polite_stop_the_children_are_asked_in_reverse_order() -> None:
    world = family("a", "b", "c")
    mark = world.mark
    world.command("stop", "/boss")
    assert [path for what, path in world.since(mark) if what == "ask"] == ["/boss", "/boss/c", "/boss/b", "/boss/a"]
    assert world.since(mark).index(("exit", "/boss")) < world.since(mark).index(("ask", "/boss/c"))
    assert "/boss" not in world.running()
    reasons = {record.path: record.fields["kind"] for record in world.records if record.name == "agent.ended"}
    assert set(reasons.values()) == {"shutdown"}


def test_a_crash_of_the_owner_asks_nobody() -> None:
    world = family("a", "b")
    mark = world.mark
    world.crash("/boss")
    assert not [path for what, path in world.since(mark) if what == "ask"]
    reasons = {r.path: r.fields["reason"] for r in world.records if r.name == "agent.ended"}
    assert reasons["/boss/a"] == "killed: with /boss, which had started it"


def test_children_that_do_not_stop_are_killed_when_the_owners_grace_is_over() -> None:
    world = World(supervisor("root", worker("boss", shutdown=Shutdown(5.0))), stubborn={"/boss/a"}).boot()
    world.add("/boss", "a", worker("a", restart=TEMPORARY, shutdown=Shutdown(None)))
    op_answer = world.command("stop", "/boss")
    assert op_answer is None
    world.pass_time(4.9)
    assert world.running() == ["/boss", "/boss/a"]
    world.pass_time(0.2)
    assert world.running() == []
    assert ("term", "/boss") not in world.log, "the owner's main process had ended: TERM would hit the children only"
    [ended] = [record for record in world.records if record.name == "agent.ended" and record.path == "/boss"]
    assert ended.fields["kind"] == "shutdown"


def test_a_child_that_fails_to_start_is_told_and_leaves_nothing() -> None:
    world = family()
    world.behave["/boss/a"] = [fails_to_start]
    answer = world.add("/boss", "a", worker("a", restart=PERMANENT))
    assert answer is not None and answer.error == "start_failed"
    assert world.running() == ["/boss", "/other"] and "/boss/a" not in world.state.nodes


def test_an_owner_that_is_killed_while_a_child_starts_answers_and_leaves_nothing() -> None:
    world = family()
    world.behave["/boss/a"] = [never_ready]
    assert world.add("/boss", "a", worker("a")) is None
    world.crash("/boss")
    [answer] = world.answers.values()
    assert answer.error is not None
    assert world.running() == ["/boss", "/other"]


def test_a_child_that_ignores_leaves_nothing_if_temporary() -> None:
    world = family()
    world.behave["/boss/a"] = [ignores]
    answer = world.add("/boss", "a", worker("a", restart=TEMPORARY))
    assert answer is not None and answer.error is None
    assert "/boss/a" not in world.state.nodes


@pytest.mark.parametrize("life", ["starting", "asked", "waiting", "down"])
def test_only_an_owner_that_is_ready_starts_children(life: str) -> None:
    world = World(supervisor("root", worker("boss", backoff=Backoff(initial_s=9.0))))
    if life == "starting":
        world.behave["/boss"] = [never_ready]
    if life == "asked":
        world.stubborn.add("/boss")
    world.boot()
    if life == "waiting":
        world.crash("/boss")
        world.crash("/boss")
    if life in ("asked", "down"):
        world.command("stop", "/boss")
    node = world.state.nodes["/boss"]
    assert isinstance(node, Worker) and node.life == life
    answer = world.add("/boss", "a", worker("a"))
    assert answer is not None and answer.error == "not_running"


def test_permanent_children_are_restarted_and_too_many_restarts_end_the_owner() -> None:
    world = family("a", restart=PERMANENT)
    for _ in range(5):
        world.crash("/boss/a")
    assert world.births("/boss/a") == 6 and world.births("/boss") == 1
    world.crash("/boss/a")
    assert world.births("/boss") == 2 and "/boss/a" not in world.state.nodes
    [ended] = [record for record in world.records if record.name == "agent.ended" and record.path == "/boss"]
    assert ended.fields["kind"] == "gave_up" and "/boss/a" in str(ended.fields["reason"])


def test_a_temporary_child_that_crashes_is_forgotten_and_nobody_else_notices() -> None:
    world = family("a", "b")
    world.crash("/boss/a")
    assert world.running() == ["/boss", "/boss/b", "/other"] and "/boss/a" not in world.state.nodes


def test_an_operator_can_stop_one_child() -> None:
    world = family("a", "b")
    answer = world.command("stop", "/boss/a")
    assert answer is not None and answer.error is None
    assert world.running() == ["/boss", "/boss/b", "/other"]


def test_a_cell_that_tells_of_its_end_before_its_children_do_is_believed_later() -> None:
    """The host learns of one empty cell at a time, in any order."""
    orders = list(itertools.permutations(["/boss", "/boss/a", "/boss/a/deep"]))
    for order in orders:
        world = family("a")
        world.add("/boss/a", "deep", worker("deep", restart=TEMPORARY))
        numbers = {path: world.process(path).n for path in order}
        world.undead.update(order)  # the test tells by itself
        for path in order:
            world.tell(on.Exited(path, numbers[path], CRASH))
        for path in order:
            assert world.births("/boss") == 1
            if world.state.nodes.get(path) is not None:
                world.tell(on.Emptied(path, numbers[path]))
            else:
                del world.processes[numbers[path]]
        assert world.births("/boss") == 2, order
        world.undead.clear()


def test_many_generations_end_together() -> None:
    world = family()
    path = "/boss"
    for number in range(30):
        world.add(path, f"c{number}", worker(f"c{number}", restart=TEMPORARY))
        path += f"/c{number}"
    assert len(world.running()) == 32
    world.crash("/boss")
    assert world.running() == ["/boss", "/other"]


def _seconds(count: int) -> float:
    world = family()
    world.check = lambda: None  # type: ignore[method-assign]  # the judge is quadratic, the core must not be
    began = time.process_time()
    for number in range(count):
        world.add("/boss", f"c{number}", worker(f"c{number}", restart=TEMPORARY))
    world.command("stop", "/boss")
    took_s = time.process_time() - began
    assert world.running() == ["/other"]
    return took_s


def test_ten_times_the_children_cost_about_ten_times_the_work() -> None:
    with without_collector():
        few = min(_seconds(300) for _ in range(3))
        many = min(_seconds(3000) for _ in range(2))
    assert many / few < 40, f"300 children took {few:.3f} s, 3,000 took {many:.3f} s"


def test_an_owner_whose_child_is_late_to_tell_of_its_end_is_not_called_stuck() -> None:
    world = family("a")
    numbers = {path: world.process(path).n for path in ("/boss", "/boss/a")}
    world.undead.update(numbers)  # the test tells by itself
    world.tell(on.Exited("/boss", numbers["/boss"], CRASH))
    world.tell(on.Emptied("/boss", numbers["/boss"]))
    world.pass_time(100)
    assert [record.path for record in world.records if record.name == "agent.stuck"] == ["/boss/a"]


def test_a_cell_that_was_stuck_and_is_empty_is_not_killed_again() -> None:
    """Its child's still is; the core must not ask for what cannot be."""
    world = family("a")
    numbers = {path: world.process(path).n for path in ("/boss", "/boss/a")}
    world.undead.update(numbers)  # the test tells by itself
    world.tell(on.Exited("/boss", numbers["/boss"], CRASH))
    world.pass_time(100)
    world.tell(on.Emptied("/boss", numbers["/boss"]))
    mark = world.mark
    world.halt("kill")
    assert ("kill", "/boss/a") in world.since(mark) and ("kill", "/boss") not in world.since(mark)


def test_nothing_is_started_more_than_64_levels_deep() -> None:
    world = family()
    path = "/boss"
    for number in range(100):
        answer = world.add(path, f"c{number}", worker(f"c{number}", restart=TEMPORARY))
        assert answer is not None
        if answer.error is not None:
            break
        path += f"/c{number}"
    assert path.count("/") == MAX_DEPTH and answer.error == "usage"
    tall: ChildSpec = worker("leaf")
    for number in range(MAX_DEPTH):
        tall = supervisor(f"s{number}", tall)
    answer = world.add("/boss", "tall", tall)
    assert answer is not None and answer.error == "usage"
    world.crash("/boss")
    assert world.running() == ["/boss", "/other"]


def test_a_supervisor_below_an_agent_ends_with_it() -> None:
    world = family()
    spec = SupervisorSpec("crew", (WorkerSpec("x"), WorkerSpec("y")), restart=TEMPORARY)
    world.add("/boss", "crew", spec)
    world.crash("/boss")
    assert world.running() == ["/boss", "/other"]
    assert [path for path in world.state.nodes if "crew" in path] == []
