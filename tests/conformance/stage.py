"""The world of the core's tests as a scenario wants it: starts do what the scenario says, and lines are written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from agenthost.core import effects as do
from agenthost.core.life import WITH_PROCESS, Life
from agenthost.core.spec import AutoShutdown, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec, WorkerSpec
from agenthost.core.tree import AnyNode, Supervisor
from tests.conformance.scenario import Behaviour, Leaf, Scenario, Shape, shapes_of
from tests.core import world as worlds
from tests.core.world import CRASH, Process, World

ENDS = {"exit": "crash", "signal": "killed"}
"""Our kinds of reasons to the words of the lines, where they differ."""


@dataclass(slots=True)
class Run:
    lines: list[str]
    escalations: int = 0
    """Supervisors that gave up, or could not start and let their own supervisor decide."""
    group_restarts: int = 0
    """Restarts that concerned siblings as well."""
    deviations: dict[str, int] = field(default_factory=dict)
    """Without ``otp_strict``: the deviations that showed, by name, and the step in which each did first."""


class Stage(World):
    """The world of the core's tests, writing lines."""

    def __init__(self, scenario: Scenario, *, otp_strict: bool) -> None:
        self.run = Run([])
        self.numbers: Counter[str] = Counter()
        self.number_of: dict[tuple[str, int], int] = {}
        self.step, self.verb = 0, ""
        self.otp_strict = otp_strict
        shapes = shapes_of(scenario)
        self.when_asked = {path: shape.when_asked for path, shape in shapes.items() if isinstance(shape, Leaf)}
        spec = spec_of(scenario.tree, otp_strict=otp_strict)
        assert isinstance(spec, SupervisorSpec)
        super().__init__(
            spec,
            behave={path: [behaviour(one) for one in todo] for path, todo in scenario.starts.items()},
            stubborn={path for path, what in self.when_asked.items() if what == "stubborn"},
        )

    def together(self, *processes: Process) -> None:
        """All have crashed before the core hears of the first."""
        self._busy = True
        for process in processes:
            self.end(process, CRASH)
        self._busy = False
        self.tell(self._inbox.pop())

    def settle(self) -> None:
        """Let the time pass that stopping takes."""
        for _ in range(1000):
            lives = [getattr(node, "life", None) for node in self.state.nodes.values()]
            if not any(life in WITH_PROCESS and life is not Life.READY for life in lives):
                return
            self.pass_time(0.01)
        raise AssertionError("the core does not come to rest")

    def say(self, line: str) -> None:
        self.run.lines.append(line)

    def _carry_out(self, effect: do.Effect) -> None:
        match effect:
            case do.Birth(path=path, n=n):
                self._say_birth(path, n)
            case do.Record(name="supervisor.starting", path=path):
                self._say_birth(path, 0)
                self._mind_held(path)
            case do.Record(name="agent.exited", path=path, fields=fields):
                self._say_end(path, fields["incarnation"], fields["kind"])
            case do.Record(name="supervisor.ended", path=path, fields=fields):
                self._say_end(path, 0, fields["kind"])
                self.run.escalations += fields["kind"] in ("start_failed", "gave_up")
            case do.Record(name="supervisor.gave_up"):
                self.run.escalations += self.otp_strict  # else its end says so
                self._deviates("D3")
            case do.Record(name="supervisor.regrouping", fields=fields):
                self.run.group_restarts += len(fields["group"]) > 1
                self._mind_held(effect.path)
            case do.Answer(error="start_failed") if self.verb in ("start", "cycle"):
                self._deviates("D13")
            case _:
                pass
        if isinstance(effect, do.Ask) and self.when_asked.get(effect.path) == "crashes":
            self.end(self.processes[effect.n], CRASH)
        else:
            super()._carry_out(effect)

    def _mind_held(self, path: str) -> None:
        """A supervisor starts children, and one of them was stopped by an operator."""
        node = self.state.nodes.get(path)
        if isinstance(node, Supervisor) and any(child.held for child in node.children.values()):
            self._deviates("D4")

    def _deviates(self, name: str) -> None:
        if not self.otp_strict:
            self.run.deviations.setdefault(name, self.step)

    def _say_birth(self, path: str, n: int) -> None:
        self.numbers[path] += 1
        self.number_of[path, n] = self.numbers[path]
        self.say(f"birth {path}#{self.numbers[path]}")

    def _say_end(self, path: str, n: int, kind: str) -> None:
        self.say(f"end {path}#{self.number_of[path, n]} {ENDS.get(kind, kind)}")


def running_node(world: World, path: str) -> AnyNode | None:
    node = world.state.nodes.get(path)
    return node if node is not None and node.alive else None


def running(world: World, path: str) -> Process | None:
    found = [process for process in world.processes.values() if process.path == path and not process.dying]
    return found[0] if found else None


# ---- what is wanted


def spec_of(shape: Shape, *, otp_strict: bool) -> ChildSpec:
    if isinstance(shape, Leaf):
        return WorkerSpec(
            shape.name, Restart(shape.restart), _shutdown(shape), start_timeout_s=None, backoff=None,
            significant=shape.significant,
        )  # fmt: skip
    return SupervisorSpec(
        shape.name, tuple(spec_of(child, otp_strict=otp_strict) for child in shape.children),
        Strategy(shape.strategy), shape.intensity, float(shape.period_s), Restart(shape.restart),
        otp_strict=otp_strict, backoff=None, significant=shape.significant,
        auto_shutdown=AutoShutdown(shape.auto_shutdown),
        template=None if shape.template is None else spec_of(shape.template, otp_strict=otp_strict),
    )  # fmt: skip


def _shutdown(shape: Leaf) -> Shutdown:
    match shape.shutdown:
        case "infinity":
            return Shutdown(None)
        case "brutal_kill":
            return Shutdown(brutal=True)
        case milliseconds:
            return Shutdown(milliseconds / 1000)


def behaviour(one: Behaviour) -> worlds.Behaviour:
    word, _, path = one.partition(" ")
    match word:
        case "ready":
            return worlds.ready_at_once
        case "fail":
            return worlds.fails_to_start
        case "ignore":
            return worlds.ignores
        case "crash":
            return lambda world, process: _sibling_crashes(world, process, path)
    raise AssertionError(one)


def _sibling_crashes(world: World, process: Process, path: str) -> None:
    sibling = running(world, path)
    if sibling is not None:
        world.end(sibling, CRASH)
    worlds.ready_at_once(world, process)
