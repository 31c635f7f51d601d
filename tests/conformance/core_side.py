"""A scenario through ``agenthost.core``: the same lines as ``supervisors.escript`` writes of Erlang's supervisors.

Lines: "step N"; "birth PATH#K" and "end PATH#K REASON", K counting the incarnations of a path; "answer WORD"; for each
supervisor that is up "list PATH child=state ..." (newest first) and "count PATH specs active supervisors workers"; and
at last "over REASON", what the root ended with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.life import WITH_PROCESS, Life
from agenthost.core.reason import Reason
from agenthost.core.spec import AutoShutdown, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec, WorkerSpec
from agenthost.core.tree import AnyNode, Doing, State, Supervisor
from tests.conformance.scenario import Action, Behaviour, Branch, Leaf, Scenario, Shape, parent_of, shapes_of
from tests.core import world as worlds
from tests.core.world import CRASH, NORMAL, Process, World

QUIT = Reason("shutdown")

ENDS = {
    "ended normally": "normal",
    "stopped": "shutdown",
    "killed": "killed",
    "exit status": "crash",
    "failed to start": "start_failed",
    "had nothing to do": "ignore",
    "gave up": "gave_up",
}
"""Our words for a reason to the ones of the lines."""

ANSWERS = {
    ("start", None, "it is running already"): "running",
    ("start", None, "ready"): "ok",
    ("start", None, "nothing to do"): "ignored",
    ("start", "start_failed", ""): "failed",
    ("start", "unknown_name", ""): "not_found",
    ("stop", None, ""): "ok",
    ("stop", "unknown_name", ""): "not_found",
    ("restart", None, "ready"): "ok",
    ("restart", None, "nothing to do"): "ignored",
    ("restart", "start_failed", ""): "failed",
    ("restart", "unknown_name", ""): "not_found",
    ("add", None, "ready"): "ok",
    ("add", None, "nothing to do"): "ignored",
    ("add", "busy", "running"): "running",
    ("add", "busy", "there already"): "already_present",
    ("add", "start_failed", ""): "failed",
    ("add", "bad_config", ""): "refused",
    ("delete", None, ""): "ok",
    ("delete", "busy", "running"): "running",
    ("delete", "unknown_name", ""): "not_found",
    ("kill", None, ""): "done",
    ("kill", "not_running", ""): "nobody",
    ("kill", "unknown_name", ""): "nobody",
}
"""(command, error, part of the text if it matters; the first that fits): the answer of the calls in Erlang's ``supervisor``."""


@dataclass(slots=True)
class Run:
    lines: list[str]
    escalations: int = 0
    """Supervisors that gave up, or could not start and let their own supervisor decide."""
    group_restarts: int = 0
    """Restarts that concerned siblings as well."""
    deviations: dict[str, int] | None = None
    """Without ``otp_strict``: the deviations that showed, and the step in which each did first."""


class Stage(World):
    """The world of the core's tests, writing lines."""

    def __init__(self, scenario: Scenario, *, otp_strict: bool) -> None:
        self.run = Run([], deviations=None if otp_strict else {})
        self.numbers: Counter[str] = Counter()
        self.number_of: dict[tuple[str, int], int] = {}
        self.step = 0
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
            case do.Record(name="agent.exited", path=path, fields=fields):
                self._say_end(path, fields["incarnation"], fields["reason"])
            case do.Record(name="supervisor.ended", path=path, fields=fields):
                self._say_end(path, 0, fields["reason"])
                self.run.escalations += fields["reason"].startswith(("failed to start", "gave up"))
            case do.Record(name="supervisor.gave_up"):
                self.run.escalations += self.spec.otp_strict  # else its end says so
                self._deviates("D3")
            case do.Record(name="supervisor.regrouping", fields=fields):
                self.run.group_restarts += len(fields["group"]) > 1
                if any(self.state.nodes[path].held for path in fields["group"] if path in self.state.nodes):
                    self._deviates("D4")
            case _:
                pass
        if isinstance(effect, do.Ask) and self.when_asked.get(effect.path) == "crashes":
            self.end(self.processes[effect.n], CRASH)
        else:
            super()._carry_out(effect)

    def _deviates(self, name: str) -> None:
        if self.run.deviations is not None:
            self.run.deviations.setdefault(name, self.step)

    def _say_birth(self, path: str, n: int) -> None:
        self.numbers[path] += 1
        self.number_of[path, n] = self.numbers[path]
        self.say(f"birth {path}#{self.numbers[path]}")

    def _say_end(self, path: str, n: int, words: str) -> None:
        self.say(f"end {path}#{self.number_of[path, n]} {kind(words)}")


def run(scenario: Scenario, *, otp_strict: bool = True) -> Run:
    stage = Stage(scenario, otp_strict=otp_strict)
    stage.say("step 0")
    stage.boot()
    stage.settle()
    for stage.step, action in enumerate(scenario.actions, 1):
        if stage.ended is not None:
            break
        stage.say(f"step {stage.step}")
        answer = ACTIONS[action.verb](stage, action)
        stage.settle()
        if stage.ended is None:
            stage.say(f"answer {answer()}")
            show(stage, stage.state.root)
    if stage.ended is None:
        stage.say(f"step {len(scenario.actions) + 1}")
        stage.halt()
        stage.settle()
    assert stage.ended is not None
    stage.say(f"over {kind(stage.ended.words())}")
    return stage.run


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


# ---- what happens. An action returns how to read its answer once all is settled.

Answered = Callable[[], str]


def _leave(reason: Reason) -> Callable[[Stage, Action], Answered]:
    def act(stage: Stage, action: Action) -> Answered:
        process = running(stage, action.path)
        if process is None:
            return lambda: "nobody"
        stage.end(process, reason)
        return lambda: "done"

    return act


def _both(stage: Stage, action: Action) -> Answered:
    first, second = running(stage, action.path), running(stage, str(action.other))
    if first is None or second is None or first is second:
        return lambda: "nobody"
    stage.together(first, second)
    return lambda: "done"


def _command(verb: str, *, unknown: str = "") -> Callable[[Stage, Action], Answered]:
    """``unknown`` is what Erlang's side says of a path that is not there, if that is not its supervisor's answer."""

    def act(stage: Stage, action: Action) -> Answered:
        parent = stage.state.nodes.get(parent_of(action.path))
        answered = len(stage.answers)
        if unknown and running_node(stage, action.path) is None:
            return lambda: unknown
        ask(stage, verb, action)
        if verb != "kill" and (parent is None or not parent.alive):
            # Erlang's call finds no process to ask; ours is answered, but nothing is up that could act on it.
            return lambda: "noproc"
        return lambda: _mapped(verb, [*stage.answers.values()][answered:])

    return act


def ask(stage: Stage, verb: str, action: Action) -> None:
    path, other = action.path, action.other
    match verb:
        case "add":
            spec = spec_of(other, otp_strict=stage.otp_strict) if isinstance(other, Leaf | Branch) else None
            stage.tell(on.Add(next(stage._ops), parent_of(path), path.rpartition("/")[2], spec, "a test"))
        case "delete":
            stage.tell(on.Delete(next(stage._ops), path, "a test"))
        case _:
            stage.command(verb, path)


def _mapped(verb: str, answers: list[do.Answer]) -> str:
    [answer] = answers
    for (of, error, text), word in ANSWERS.items():
        if of == verb and error == answer.error and text in answer.text:
            return word
    return f"unmapped {answer}"


def _next(stage: Stage, action: Action) -> Answered:
    assert isinstance(action.other, tuple)
    stage.behave[action.path] = [behaviour(one) for one in action.other]
    return lambda: "done"


def _wait(stage: Stage, action: Action) -> Answered:
    assert isinstance(action.other, int)
    stage.pass_time(action.other / 1000)
    return lambda: "done"


ACTIONS: dict[str, Callable[[Stage, Action], Answered]] = {
    "crash": _leave(CRASH),
    "end": _leave(NORMAL),
    "quit": _leave(QUIT),
    "quit_with_term": _leave(QUIT),
    "both": _both,
    "kill": _command("kill"),
    "stop": _command("stop"),
    "start": _command("start"),
    "cycle": _command("restart"),
    "add": _command("add"),
    "add_member": _command("add"),
    "stop_member": _command("stop", unknown="nobody"),
    "delete": _command("delete"),
    "next": _next,
    "wait": _wait,
}


# ---- what there is to see


def show(stage: Stage, node: AnyNode) -> None:
    if not isinstance(node, Supervisor) or not node.alive:
        return
    assert node.doing is Doing.SERVING, f"{node.path} is {node.doing} and nothing is going on"
    children = list(node.children.values())
    supervisors = sum(isinstance(child, Supervisor) for child in children)
    if node.is_pool:
        children.sort(key=lambda child: child.path)
    shown = [f" {child.path}={'up' if child.alive else 'down'}" for child in children]
    stage.say(f"list {node.path}{''.join(shown if node.is_pool else reversed(shown))}")
    specs, active = 1 if node.is_pool else len(children), sum(child.alive for child in children)
    stage.say(f"count {node.path} {specs} {active} {supervisors} {len(children) - supervisors}")
    for child in children:
        show(stage, child)


def kind(words: str) -> str:
    for start, line in ENDS.items():
        if words.startswith(start):
            return line
    raise AssertionError(f"no word for {words!r}")


def running_node(world: World, path: str) -> AnyNode | None:
    node = world.state.nodes.get(path)
    return node if node is not None and node.alive else None


def running(world: World, path: str) -> Process | None:
    found = [process for process in world.processes.values() if process.path == path and not process.dying]
    return found[0] if found else None


__all__ = ["ACTIONS", "Run", "Stage", "State", "run"]
