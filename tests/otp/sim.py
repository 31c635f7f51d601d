"""The vocabulary of ``stage`` over the core in simulation: processes are values, and the clock is virtual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core import view
from agenthost.core.reason import Reason
from agenthost.core.spec import SupervisorSpec
from agenthost.core.tree import Supervisor
from tests.core import world
from tests.core.world import NORMAL, Process, World
from tests.otp.shape import Shape, Sup, above, spec_of
from tests.otp.stage import WITHOUT_PROCESS, Answer, Note, Row, Stage, relative

PATIENCE_S = 3600.0
"""Of a simulated wait, on the virtual clock."""

BEHAVIOURS = {
    "ready": world.ready_at_once,
    "fail": world.fails_to_start,
    "hang": world.never_ready,
    "ignore": world.ignores,
    "gone": lambda of, process: of.end(process, NORMAL),
}


class _World(World):
    """With processes that are slow, deaf or rude when they are asked to end."""

    def __init__(self, spec: SupervisorSpec, seed: int) -> None:
        super().__init__(spec, seed)
        self.asked: dict[str, str] = {}

    def tell(self, event: on.Event) -> None:
        match event:
            case on.Due(timer=timer) if timer.startswith("slow|"):
                process = self.processes.get(int(timer.split("|")[1]))
                if process is not None:
                    self.end(process, NORMAL)
            case _:
                super().tell(event)

    def _carry_out(self, effect: do.Effect) -> None:
        if not isinstance(effect, do.Ask | do.Terminate) or effect.path not in self.asked:
            super()._carry_out(effect)
            return
        self.log.append(("ask" if isinstance(effect, do.Ask) else "term", effect.path))
        process = self.processes[effect.n]
        word, *rest = self.asked[effect.path].split()
        if word == "obeys" or (word == "crash" and isinstance(effect, do.Ask)):
            self.end(process, NORMAL if word == "obeys" else Reason("exit", 3))
        elif word == "slow" and isinstance(effect, do.Ask):
            self.timers[f"slow|{effect.n}|"] = self.now + float(rest[0])


class Sim(Stage):
    """The core on a virtual clock. ``world`` is open to tests that need more than the vocabulary."""

    form = "sim"

    def __init__(self, shape: Sup, *, strict: bool = True, static: bool = False, seed: int = 0) -> None:
        self._strict = strict
        if static:
            self.top, spec = f"/{shape.name}", self._root(shape)
        else:
            self.top, spec = f"/t/{shape.name}", above(shape, strict=strict)
        self.world = _World(spec, seed)

    def begin(self) -> Answer:
        self.world.boot()
        answer = self.world.add("/t", self.top.rpartition("/")[2]) if self.top.startswith("/t/") else do.Answer(0)
        return self._read(answer)

    def plan(self, path: str, *words: str) -> None:
        self.world.behave[self._full(path)] = [BEHAVIOURS[word] for word in words]

    def asked(self, path: str, word: str) -> None:
        self.world.asked[self._full(path)] = word

    def go(self, path: str) -> None:
        self.world.end(self._process(path), NORMAL)

    def leave(self, path: str, status: int) -> None:
        self.world.end(self._process(path), Reason("exit", status) if status else NORMAL)

    def shoot(self, path: str) -> None:
        self.world.end(self._process(path), Reason("signal", 9))

    def quit(self, path: str) -> None:
        """It ends by itself with OTP's ``shutdown``."""
        self.world.end(self._process(path), Reason("shutdown"))

    def ask(self, verb: str, path: str = "", *, wait: bool = True) -> Answer:
        full = self._full(path)
        parent = self.world.state.nodes.get(full.rpartition("/")[0] or "/")
        if verb == "start" and full not in self.world.state.nodes and isinstance(parent, Supervisor) and parent.is_pool:
            answer = self.world.add(parent.path, full.rpartition("/")[2])
        else:
            before = len(self.world.answers)
            answer = self.world.command(verb, full)
            if answer is None and wait:
                self.wait(lambda: len(self.world.answers) > before, f"{verb} {path} is answered")
                answer = list(self.world.answers.values())[before]
        return self._read(answer)

    def add(self, path: str, shape: Shape) -> Answer:
        """A child of a supervisor that is no pool, at run time."""
        parent, _, name = self._full(path).rpartition("/")
        return self._read(self.world.add(parent, name, self._spec(shape)))

    def delete(self, path: str) -> Answer:
        return self._read(self.world.delete(self._full(path)))

    def reload(self, shape: Sup) -> Answer:
        return self._read(self.world.reload(self._root(shape)))

    def notes(self, name: str = "", path: str | None = None) -> list[Note]:
        records = [one for one in self.world.records if self._ours(one) and one.name.startswith(name)]
        found = [Note(one.name, relative(one.path, self.top), one.fields) for one in records]
        return [note for note in found if path in (None, note.path)]

    def rows(self) -> dict[str, Row]:
        return {
            relative(row.path, self.top): Row(
                row.kind,
                row.state,
                0 if row.state in WITHOUT_PROCESS else row.n,
                row.restarts,
                row.reason or "",
                row.held,
                row.pool,
                row.restart,
                row.strategy or "",
            )
            for row in view.rows(self.world.state)
            if row.path == self.top or row.path.startswith(self.top + "/")
        }

    def handle(self, path: str) -> int:
        return self._process(path).n

    def is_gone(self, handle: int) -> bool:
        return handle not in self.world.processes

    def left(self) -> list[str]:
        return [path for path in self.world.running() if path.startswith(self.top + "/")]

    def wait(self, true: Callable[[], Any], what: str) -> Any:
        until = self.now + PATIENCE_S
        while not (value := true()):
            assert self.world.timers and self.now < until, f"nothing makes it true: {what}"
            self.world.pass_time(max(0.0, min(self.world.timers.values()) - self.world.now))
        return value

    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @property
    def now(self) -> float:
        return self.world.now

    def _root(self, shape: Sup) -> SupervisorSpec:
        return SupervisorSpec("/", (self._spec(shape),), otp_strict=self._strict, backoff=None)

    def _spec(self, shape: Shape) -> Any:
        return spec_of(shape, strict=self._strict)

    def _full(self, path: str) -> str:
        return f"{self.top}/{path}" if path else self.top

    def _process(self, path: str) -> Process:
        return self.world.process(self._full(path))

    def _ours(self, record: do.Record) -> bool:
        return record.path == self.top or record.path.startswith(self.top + "/")

    @staticmethod
    def _read(answer: do.Answer | None) -> Answer:
        return Answer("pending", "") if answer is None else Answer(answer.error, answer.text)
