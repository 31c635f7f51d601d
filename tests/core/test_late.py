"""The composed core in a host that is late: exits, and cells that are empty, are told in any order and at any time
after what caused them. Beside what ``World`` asserts, the tree and the timers must be whole after every event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.core.spec import AutoShutdown, ChildSpec, SupervisorSpec
from agenthost.core.tree import AnyNode, Supervisor, Worker
from tests.core.test_machine import BEHAVIOURS, Core, trees, workers
from tests.core.world import NORMAL, Process, World


class LateWorld(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.dying: dict[int, Reason] = {}
        """Got a signal, or heard that it is to end; not told yet."""

    def tell_exit(self, n: int) -> None:
        self.end(self.processes[n], self.dying.pop(n))

    def end(self, process: Process, reason: Reason) -> None:
        self.dying.pop(process.n, None)
        super().end(process, reason)

    def empty(self) -> list[Process]:
        """Those whose cells are empty, nested ones included, and which have not been told so."""
        living = [process.path for process in self.processes.values() if not process.dying]
        return [
            process
            for process in sorted(self.processes.values(), key=lambda process: process.n)
            if process.dying and process.killed and not any(path.startswith(process.path + "/") for path in living)
        ]

    def check(self) -> None:
        super().check()
        seen: dict[str, AnyNode] = {}
        self._walk(self.state.root, seen)
        assert seen == self.state.nodes
        for timer in self.timers:
            kind, n, path = timer.split("|", 2)
            node = self.state.nodes.get(path)
            assert node is not None, f"{timer} is of nobody"
            if kind == "wait":
                assert node.due_at is not None, timer
            else:
                assert isinstance(node, Worker) and node.alive and str(node.n) == n, timer

    def _walk(self, node: AnyNode, seen: dict[str, AnyNode]) -> None:
        seen[node.path] = node
        above = node
        if isinstance(node, Worker):
            if node.brood is None:
                return
            assert node.alive and node.brood.owner is node, f"{node.path} has children and does not run"
            above = node.brood
        assert isinstance(above, Supervisor)
        for child in above.children.values():
            assert child.parent is above and child.path not in seen
            self._walk(child, seen)

    def _carry_out(self, effect: do.Effect) -> None:
        match effect:
            case do.Kill(path=path, n=n):
                self.log.append(("kill", path))
                process = self.processes[n]
                process.killed = True
                for one in self.processes.values():
                    if one is process or one.path.startswith(path + "/"):
                        self._die(one, Reason("signal", 9))
            case do.Ask(path=path, n=n) if self.processes[n].obeys:
                assert not self.processes[n].frozen
                self._die(self.processes[n], NORMAL)
            case do.Terminate(path=path, n=n) if self.processes[n].obeys_term:
                assert not self.processes[n].frozen
                self._die(self.processes[n], Reason("signal", 15))
            case _:
                super()._carry_out(effect)

    def _die(self, process: Process, reason: Reason) -> None:
        if not process.dying:
            self.dying.setdefault(process.n, reason)


class LateCore(Core):
    world: LateWorld

    def new_world(self, tree: SupervisorSpec, seed: int) -> World:
        return LateWorld(tree, seed=seed)

    @initialize(tree=trees(), stubborn=some.floats(0, 1), data=some.data(), seed=some.integers(0, 2**32))
    def boot(self, tree: SupervisorSpec, stubborn: float, data: some.DataObject, seed: int) -> None:
        self.prepare(tree, stubborn, data, seed)

    @precondition(lambda self: self.world.ended is None and self.world.processes)
    @rule(data=some.data(), name=some.sampled_from("abc"), is_tree=some.booleans())
    def an_agent_starts_a_child(self, data: some.DataObject, name: str, is_tree: bool) -> None:
        owner = data.draw(some.sampled_from(sorted(process.path for process in self.world.processes.values())))
        if owner.count("/") > 6:
            return
        path = f"{owner}/{name}"
        self.world.behave.setdefault(path, data.draw(some.lists(some.sampled_from(BEHAVIOURS), max_size=3)))
        kinds: some.SearchStrategy[Any] = trees("any", 1) if is_tree else workers("any", AutoShutdown.NEVER)
        spec: ChildSpec = data.draw(kinds)
        self.commands += 1
        self.world.add(owner, name, replace(spec, name=name))
        self.paths = sorted({*self.paths, *self.world.state.nodes})

    @precondition(lambda self: self.world.dying)
    @rule(data=some.data())
    def an_exit_is_told(self, data: some.DataObject) -> None:
        self.world.tell_exit(data.draw(some.sampled_from(sorted(self.world.dying))))

    @precondition(lambda self: self.world.empty())
    @rule(data=some.data())
    def an_empty_cell_is_told(self, data: some.DataObject) -> None:
        process: Any = data.draw(some.sampled_from(self.world.empty()))
        self.world.tell(on.Emptied(process.path, process.n))

    @precondition(lambda self: self.world.dying or self.world.empty())
    @rule()
    def the_host_catches_up(self) -> None:
        while self.world.dying or self.world.empty():
            if self.world.dying:
                self.world.tell_exit(next(iter(self.world.dying)))
            else:
                process = self.world.empty()[0]
                self.world.tell(on.Emptied(process.path, process.n))

    def teardown(self) -> None:
        """However it stands, KILL ends everything once the host has caught up, and every command has its answer."""
        if not hasattr(self, "world"):
            return
        if self.world.ended is None:
            self.world.halt("kill")
        for _ in range(20):
            self.the_host_catches_up()
            self.world.pass_time(20)
        assert self.world.ended is not None
        assert len(self.world.answers) == self.commands
        assert self.world.timers == {}


LENIENT = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

TestLateCore = LateCore.TestCase
TestLateCore.settings = settings(max_examples=100, stateful_step_count=60, deadline=None, suppress_health_check=LENIENT)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_core_in_a_late_host_for_long() -> None:
    run_state_machine_as_test(
        LateCore,
        settings=settings(max_examples=1000, stateful_step_count=100, deadline=None, suppress_health_check=LENIENT),
    )
