"""The composed core under random histories: whatever happens, in whatever order, the invariants of ``World`` hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.core.spec import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Restart,
    Shutdown,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)
from agenthost.core.tree import Supervisor
from tests.core.world import CRASH, NORMAL, World, cannot_be_loaded, fails_to_start, ignores, never_ready, ready_at_once

BEHAVIOURS = [ready_at_once, ready_at_once, ready_at_once, never_ready, fails_to_start, ignores, cannot_be_loaded]
REASONS = [NORMAL, CRASH, Reason("signal", 11), Reason("out_of_memory")]

backoffs = some.sampled_from([None, Backoff(initial_s=1.0, jitter=0.5), Backoff(initial_s=0.1, max_s=1.0)])
shutdowns = some.sampled_from([Shutdown(), Shutdown(0.0), Shutdown(None), Shutdown(brutal=True), Shutdown(60.0)])


@some.composite
def workers(draw: Any, name: str, mode: AutoShutdown) -> WorkerSpec:
    restart = draw(some.sampled_from(Restart))
    may_matter = mode is not AutoShutdown.NEVER and restart is not Restart.PERMANENT
    return WorkerSpec(
        name, restart, draw(shutdowns), draw(some.sampled_from([None, 5.0])), draw(backoffs),
        significant=may_matter and draw(some.booleans()),
        intensity=draw(some.sampled_from([None, None, 0, 2])),
        hibernate_s=draw(some.sampled_from([None, 1.0, 10.0])),
    )  # fmt: skip


@some.composite
def trees(draw: Any, name: str = "root", depth: int = 0) -> SupervisorSpec:
    options: dict[str, Any] = {
        "intensity": draw(some.integers(0, 4)),
        "period_s": draw(some.floats(0.5, 30)),
        "restart": draw(some.sampled_from(Restart)),
        "otp_strict": draw(some.booleans()),
        "backoff": draw(backoffs),
    }
    if depth and draw(some.integers(0, 3)) == 0:
        live = draw(some.sampled_from([None, 1, 2]))
        return SupervisorSpec(name, template=draw(workers("any", AutoShutdown.NEVER)), live=live, **options)
    mode = draw(some.sampled_from(AutoShutdown))
    children: list[ChildSpec] = []
    for number in range(draw(some.integers(0, 4 if depth else 5))):
        if depth < 2 and draw(some.integers(0, 2)) == 0:
            children.append(draw(trees(f"s{number}", depth + 1)))
        else:
            children.append(draw(workers(f"w{number}", mode)))
    return SupervisorSpec(name, tuple(children), draw(some.sampled_from(Strategy)), auto_shutdown=mode, **options)


class Core(RuleBasedStateMachine):
    """Runs one tree through crashes, hangs, commands and time; ``World.check`` judges after every event."""

    @initialize(tree=trees(), stubborn=some.floats(0, 1), data=some.data(), seed=some.integers(0, 2**32))
    def boot(self, tree: SupervisorSpec, stubborn: float, data: some.DataObject, seed: int) -> None:
        self.prepare(tree, stubborn, data, seed)

    def new_world(self, tree: SupervisorSpec, seed: int) -> World:
        return World(tree, seed=seed)

    def prepare(self, tree: SupervisorSpec, stubborn: float, data: some.DataObject, seed: int) -> None:
        self.world = self.new_world(tree, seed)
        self.paths = list(self.world.state.nodes)
        for path in self.paths:
            self.world.behave[path] = data.draw(some.lists(some.sampled_from(BEHAVIOURS), max_size=6))
            if data.draw(some.floats(0, 1)) < stubborn / 2:
                self.world.stubborn.add(path)
            if data.draw(some.booleans()):
                self.world.lost.add(path)
            self.sleeps_as(path, data)
        self.commands = 0
        self.world.boot()

    def some_process(self, data: some.DataObject) -> Any:
        return self.world.processes[data.draw(some.sampled_from(sorted(self.world.processes)))]

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data(), reason=some.sampled_from(REASONS))
    def a_process_ends(self, data: some.DataObject, reason: Reason) -> None:
        self.world.end(self.some_process(data), reason)

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data())
    def a_process_gets_ready_late_or_twice(self, data: some.DataObject) -> None:
        ready_at_once(self.world, self.some_process(data))

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data())
    def the_host_finds_a_fault(self, data: some.DataObject) -> None:
        process = self.some_process(data)
        self.world.tell(on.Fault(process.path, process.n, Reason("silent", text="no beat for 60 s")))

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data(), turn=some.integers(1, 3))
    def a_turn_takes_too_long(self, data: some.DataObject, turn: int) -> None:
        process = self.some_process(data)
        self.world.tell(on.Overrun(process.path, process.n, turn, "its turn took longer than 60 s"))

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data(), in_turn=some.booleans())
    def an_agent_comes_back_from_a_turn(self, data: some.DataObject, in_turn: bool) -> None:
        process = self.some_process(data)
        self.world.tell(on.TurnEnded(process.path, process.n, in_turn, "its turn of 3 s" if in_turn else ""))

    def sleeps_as(self, path: str, data: some.DataObject) -> None:
        """What it answers when it is asked to sleep: that it does, that it has got something, or nothing for now."""
        kind = data.draw(some.sampled_from([None, None, self.world.awake, self.world.mute]))
        if kind is not None:
            kind.add(path)

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data(), for_s=some.sampled_from([0.0, 0.25, 1.0, 10.0, 100.0]))
    def an_agent_has_nothing_to_do(self, data: some.DataObject, for_s: float) -> None:
        process = self.some_process(data)
        self.world.tell(on.Idle(process.path, process.n, for_s))

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data())
    def an_agent_has_something_to_do_again(self, data: some.DataObject) -> None:
        process = self.some_process(data)
        self.world.tell(on.Stirred(process.path, process.n))

    @precondition(lambda self: self.world.processes)
    @rule(data=some.data())
    def an_agent_says_that_it_falls_asleep(self, data: some.DataObject) -> None:
        process = self.some_process(data)
        self.world.tell(on.FallsAsleep(process.path, process.n))

    @precondition(lambda self: self.world.ended is None)
    @rule(data=some.data(), name=some.sampled_from(["", "", "/x", "/y", "/z"]))
    def somebody_wants_something(self, data: some.DataObject, name: str) -> None:
        self.commands += 1
        path = data.draw(some.sampled_from(self.paths)).rstrip("/") + name
        self.world.behave.setdefault(path, data.draw(some.lists(some.sampled_from(BEHAVIOURS), max_size=3)))
        self.sleeps_as(path, data)
        self.world.wake(path or "/")
        if path and path not in self.paths:
            self.paths.append(path)

    @rule(data=some.data(), n=some.integers(0, 50), reason=some.sampled_from(REASONS))
    def news_of_an_old_incarnation_arrives(self, data: some.DataObject, n: int, reason: Reason) -> None:
        if n not in self.world.processes:
            path = data.draw(some.sampled_from(self.paths))
            event: on.Event = on.Ready(path, n) if data.draw(some.booleans()) else on.Exited(path, n, reason)
            self.world.tell(event)

    @precondition(lambda self: self.world.ended is None)
    @rule(data=some.data(), verb=some.sampled_from(["start", "stop", "restart", "kill", "interrupt", "freeze", "thaw"]))
    def an_operator_commands(self, data: some.DataObject, verb: str) -> None:
        self.commands += 1
        self.world.command(verb, data.draw(some.sampled_from(self.paths)))

    @precondition(lambda self: self.world.ended is None)
    @rule(data=some.data(), name=some.sampled_from("xyz"))
    def a_child_is_added(self, data: some.DataObject, name: str) -> None:
        parent = data.draw(some.sampled_from(self.paths))
        node = self.world.state.nodes.get(parent)
        is_pool = isinstance(node, Supervisor) and node.is_pool
        self.commands += 1
        path = parent.rstrip("/") + "/" + name
        self.world.behave.setdefault(path, data.draw(some.lists(some.sampled_from(BEHAVIOURS), max_size=3)))
        self.world.add(parent, name, None if is_pool else data.draw(workers("any", AutoShutdown.NEVER)))
        if path not in self.paths:
            self.paths.append(path)

    @precondition(lambda self: self.world.ended is None)
    @rule(data=some.data())
    def a_child_is_deleted(self, data: some.DataObject) -> None:
        self.commands += 1
        self.world.delete(data.draw(some.sampled_from(self.paths)))

    @precondition(lambda self: self.world.ended is None)
    @rule(tree=trees())
    def the_config_is_reloaded(self, tree: SupervisorSpec) -> None:
        self.commands += 1
        self.world.reload(tree)
        self.paths = sorted({*self.paths, *self.world.state.nodes})

    @rule(seconds=some.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.ended is None)
    @rule(how=some.sampled_from(["ask", "hurry", "kill"]))
    def the_host_is_halted(self, how: str) -> None:
        self.world.halt(how)

    @invariant()
    def what_has_ended_stays_ended(self) -> None:
        if hasattr(self, "world") and self.world.ended is not None:
            assert not self.world.processes
            assert not [timer for timer in self.world.timers if timer.startswith("wait")]

    def teardown(self) -> None:
        """However it stands, KILL ends everything and every command has its answer."""
        if not hasattr(self, "world"):
            return
        if self.world.ended is None:
            self.world.halt("kill")
        self.world.pass_time(1)
        assert self.world.ended is not None
        assert len(self.world.answers) == self.commands


TestCore = Core.TestCase
TestCore.settings = settings(
    max_examples=300, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_core_for_long() -> None:
    run_state_machine_as_test(
        Core,
        settings=settings(
            max_examples=1500, stateful_step_count=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
