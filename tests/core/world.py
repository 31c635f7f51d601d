"""A world around the core in which processes are values: the honest minimum a host does, on a virtual clock.

``World`` births at once and lets a test decide what each incarnation does next. It is the judge as well: it asserts
after every event that the core asked for nothing that cannot be.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.core.spec import ChildSpec, SupervisorSpec
from agenthost.core.step import step
from agenthost.core.tree import State, Supervisor, Worker

CRASH = Reason("exit", 1)
NORMAL = Reason("normal")

Behaviour = Callable[["World", "Process"], None]


def ready_at_once(world: World, process: Process) -> None:
    world.tell(on.Ready(process.path, process.n))


def never_ready(world: World, process: Process) -> None:
    """Hangs while starting."""


def fails_to_start(world: World, process: Process) -> None:
    world.end(process, Reason("start_failed", text="no"))


def cannot_be_loaded(world: World, process: Process) -> None:
    world.end(process, Reason("bad_code", text="SyntaxError"))


def ignores(world: World, process: Process) -> None:
    world.tell(on.Ignored(process.path, process.n))
    if process.n in world.processes:
        world.end(process, NORMAL)


@dataclass(slots=True)
class Process:
    path: str
    n: int
    obeys: bool = True
    """Ends at once when asked; else only TERM or KILL ends it."""
    obeys_term: bool = True
    frozen: bool = False
    dying: bool = False
    killed: bool = False


@dataclass
class World:
    spec: SupervisorSpec
    seed: int = 0
    behave: dict[str, list[Behaviour]] = field(default_factory=dict)
    """What the next incarnations of a path do at birth; then ready at once."""
    stubborn: set[str] = field(default_factory=set)
    """Paths that only KILL ends."""
    lost: set[str] = field(default_factory=set)
    """Paths whose turn goes on when it is interrupted, until the test ends it; others have none in hand."""
    undead: set[str] = field(default_factory=set)
    """Paths whose cell does not empty."""
    awake: set[str] = field(default_factory=set)
    """Paths that have got something to do when they are asked to sleep."""
    mute: set[str] = field(default_factory=set)
    """Paths that do not answer that; the test does. Others fall asleep at once."""

    def __post_init__(self) -> None:
        self.state = State(self.spec, seed=self.seed)
        self.now = 1000.0
        self.processes: dict[int, Process] = {}
        self.timers: dict[str, float] = {}
        self.log: list[tuple[str, str]] = []
        """("birth", path), ("ended", path), ... in order."""
        self.answers: dict[int, do.Answer] = {}
        self.records: list[do.Record] = []
        self.adopted: list[str] = []
        self.kept: set[str] = set()
        """What the host is to start again after its own restart."""
        self.ended: Reason | None = None
        self._inbox: list[on.Event] = []
        self._busy = False
        self._ops = itertools.count(1)

    # -- what a test does

    def boot(self) -> World:
        self.tell(on.Boot())
        return self

    def crash(self, path: str, reason: Reason = CRASH) -> None:
        self.end(self.process(path), reason)

    def command(self, verb: str, path: str) -> do.Answer | None:
        op = next(self._ops)
        self.tell(on.Command(op, verb, path, "a test"))  # type: ignore[arg-type]
        return self.answers.get(op)

    def add(self, parent: str, name: str, spec: ChildSpec | None = None) -> do.Answer | None:
        op = next(self._ops)
        self.tell(on.Add(op, parent, name, spec, "a test"))
        return self.answers.get(op)

    def idle(self, path: str, for_s: float = 0.0) -> None:
        self.tell(on.Idle(path, self.process(path).n, for_s))

    def stirs(self, path: str) -> None:
        self.tell(on.Stirred(path, self.process(path).n))

    def falls_asleep(self, path: str) -> None:
        """It has said that it will; it ends when ``end`` is called."""
        self.tell(on.FallsAsleep(path, self.process(path).n))

    def wake(self, path: str) -> do.Answer | None:
        op = next(self._ops)
        self.tell(on.Wake(op, path, "a test"))
        return self.answers.get(op)

    def delete(self, path: str) -> do.Answer | None:
        op = next(self._ops)
        self.tell(on.Delete(op, path, "a test"))
        return self.answers.get(op)

    def reload(self, spec: SupervisorSpec) -> do.Answer | None:
        op = next(self._ops)
        self.tell(on.Reload(op, spec, "a test"))
        return self.answers.get(op)

    def halt(self, how: str = "ask") -> None:
        self.tell(on.Halt(how, "a test"))  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers:
            name, at = min(self.timers.items(), key=lambda item: (item[1], item[0]))
            if at > until:
                break
            self.now = max(self.now, at)
            del self.timers[name]
            self.tell(on.Due(name))
        self.now = until

    def turn_ends(self, path: str, text: str = "its turn of 3 s") -> None:
        """One that was interrupted has come back."""
        self.tell(on.TurnEnded(path, self.process(path).n, in_turn=True, text=text))

    # -- what a test sees

    def process(self, path: str) -> Process:
        [process] = [process for process in self.processes.values() if process.path == path]
        return process

    def running(self) -> list[str]:
        return sorted(process.path for process in self.processes.values())

    def births(self, path: str) -> int:
        return self.log.count(("birth", path))

    def since(self, mark: int) -> list[tuple[str, str]]:
        return self.log[mark:]

    @property
    def mark(self) -> int:
        return len(self.log)

    # -- what a host does

    def tell(self, event: on.Event) -> None:
        """Events are taken one after another, as the host's loop does, also those that effects cause."""
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox:
                event = self._inbox.pop(0)
                if isinstance(event, on.Emptied):
                    self.log.append(("ended", event.path))
                    del self.processes[event.n]
                for effect in step(self.state, event, self.now):
                    self._carry_out(effect)
                self.check()
        finally:
            self._busy = False

    def end(self, process: Process, reason: Reason) -> None:
        """The main process ends; its cell is empty once the core said KILL."""
        if process.dying:
            return
        process.dying = True
        self.log.append(("exit", process.path))
        self.tell(on.Exited(process.path, process.n, reason))

    def check(self) -> None:
        """Invariants that hold after every event."""
        paths = self.running()
        assert len(paths) == len(set(paths)), f"two processes of one agent: {paths}"
        for process in self.processes.values():
            node = self.state.nodes.get(process.path)
            assert isinstance(node, Worker), f"{process.path} runs and is not in the tree"
            assert node.alive and node.n == process.n, f"{process.path} runs as {process.n}, the core has {node.n}"
        for node in self.state.nodes.values():
            if isinstance(node, Worker) and node.frozen_at is not None:
                assert self.processes[node.n].frozen and node.life in ("starting", "ready")
                assert not [name for name in self.timers if name.endswith(f"|{node.n}|{node.path}")]
            if isinstance(node, Worker) and node.life == "asleep":
                assert not [name for name in self.timers if name.endswith(f"|{node.path}")]
                assert not node.ops, f"{node.path} sleeps and {node.ops} wait for it"
            if isinstance(node, Worker) and not node.alive:
                assert not node.dozing and not node.sleeping
            if isinstance(node, Supervisor):
                alive = {name for name, child in node.children.items() if child.alive}
                assert node.leaving <= alive and set(node.idle) <= alive
                assert not node.waking or node.path in self.state.crowded
            if isinstance(node, Worker) and node.alive and not node.is_emptied:
                assert node.n in self.processes, f"{node.path} is {node.life} and has no process"

    def _kill_nested(self, path: str) -> None:
        """KILL of a cell goes to all that lie in it; each is told of by itself."""
        for process in list(self.processes.values()):
            if process.path.startswith(path + "/"):
                self.end(process, Reason("signal", 9))

    def _carry_out(self, effect: do.Effect) -> None:
        match effect:
            case do.Birth(path=path, n=n):
                assert n not in self.processes
                process = Process(path, n, obeys=path not in self.stubborn, obeys_term=path not in self.stubborn)
                self.processes[n] = process
                self.log.append(("birth", path))
                todo = self.behave.get(path)
                (todo.pop(0) if todo else ready_at_once)(self, process)
            case do.Ask(path=path, n=n):
                self.log.append(("ask", path))
                assert not self.processes[n].frozen, f"{path} is frozen and was asked to end"
                if self.processes[n].obeys:
                    self.end(self.processes[n], NORMAL)
            case do.Terminate(path=path, n=n):
                self.log.append(("term", path))
                assert not self.processes[n].frozen, f"{path} is frozen and got TERM"
                if self.processes[n].obeys_term:
                    self.end(self.processes[n], Reason("signal", 15))
            case do.Kill(path=path, n=n):
                self.log.append(("kill", path))
                node = self.state.nodes[path]
                if isinstance(node, Worker) and node.brood is not None:
                    self._kill_nested(path)
                process = self.processes[n]
                if path not in self.undead and not process.killed:
                    process.killed = True
                    self.end(process, Reason("signal", 9))
                    self.tell(on.Emptied(path, n))
            case do.Interrupt(path=path, n=n):
                self.log.append(("interrupt", path))
                assert not self.processes[n].frozen, f"{path} is frozen and was interrupted"
                if path not in self.lost:
                    self.tell(on.TurnEnded(path, n, in_turn=False))
            case do.Sleep(path=path, n=n):
                self.log.append(("sleep", path))
                assert not self.processes[n].frozen, f"{path} is frozen and was asked to sleep"
                if path in self.awake:
                    self.tell(on.Stirred(path, n))
                elif path not in self.mute:
                    self.tell(on.FallsAsleep(path, n))
                    self.end(self.processes[n], NORMAL)
            case do.Freeze(path=path, n=n) | do.Thaw(path=path, n=n):
                self.log.append((type(effect).__name__.lower(), path))
                self.processes[n].frozen = isinstance(effect, do.Freeze)
            case do.Adopt(path=path, n=n):
                assert n in self.processes
                self.adopted.append(path)
            case do.SetTimer(timer=timer, at=at):
                self.timers[timer] = at
            case do.CancelTimer(timer=timer):
                self.timers.pop(timer, None)
            case do.Answer(op=op):
                assert op not in self.answers, f"command {op} was answered twice"
                self.answers[op] = effect
            case do.Keep(path=path, kept=kept):
                (self.kept.add if kept else self.kept.discard)(path)
            case do.Record():
                self.records.append(effect)
            case do.Ended(reason=reason):
                assert self.ended is None, "the root ended twice"
                assert not self.processes, f"the root ended and {self.running()} still run"
                self.ended = reason


__all__ = ["CRASH", "NORMAL", "Process", "World"]
