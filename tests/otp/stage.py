"""One vocabulary over both worlds: a supervisor under test, what its children do, and what is seen of them.

Paths are relative to that supervisor: "a", "in/b", and "" for itself. What a test sees is the same in both worlds:
records of what happened, rows of what is, and answers to commands. ``Sim`` is the core with processes that are values,
``Real`` is a host.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.otp.shape import Sup

AT_REST = ("ready", "down", "done", "gave_up")
WITHOUT_PROCESS = ("down", "done", "gave_up", "waiting")
ENDED = ("agent.ended", "supervisor.ended")


class Answer(NamedTuple):
    """``error`` is a code of ``agenthost.errors``, None for "ok", "pending" while there is no answer yet."""

    error: str | None
    text: str


class Note(NamedTuple):
    """A record. ``path`` is relative."""

    name: str
    path: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """``n`` is the incarnation, 0 without a process."""

    kind: str
    state: str
    n: int
    restarts: int
    reason: str
    held: bool
    pool: bool
    restart: str
    strategy: str


class Stage(ABC):
    form: str
    top: str
    """The absolute path of the supervisor under test."""
    answer: Answer
    """To its start."""

    # ---- what children do

    @abstractmethod
    def plan(self, path: str, *words: str) -> None:
        """What the next starts of ``path`` do; after them they are good."""

    @abstractmethod
    def asked(self, path: str, word: str) -> None:
        """What ``path`` does when it is asked to end."""

    @abstractmethod
    def go(self, path: str) -> None:
        """Lets one end that was to do so when asked, but not "until" now."""

    @abstractmethod
    def leave(self, path: str, status: int) -> None:
        """It ends by itself with ``status``; returns at once."""

    @abstractmethod
    def shoot(self, path: str) -> None:
        """KILL from outside, by nobody of ours; returns at once."""

    def crash(self, path: str, status: int = 1) -> None:
        """It ends with ``status``, and everything that follows from it is over."""
        self._gone_by(path, lambda: self.leave(path, status))

    def end(self, path: str) -> None:
        """It ends normally, and everything that follows from it is over."""
        self.crash(path, 0)

    def kill(self, path: str) -> None:
        """As ``crash``, by KILL from outside."""
        self._gone_by(path, lambda: self.shoot(path))

    def _gone_by(self, path: str, act: Callable[[], None]) -> None:
        before = len(self.ends(path))
        act()
        self.wait(lambda: len(self.ends(path)) > before, f"{path} has ended")
        self.settle()

    # ---- what operators ask

    @abstractmethod
    def ask(self, verb: str, path: str = "", *, wait: bool = True) -> Answer:
        """start, stop, restart, kill. ``start`` of a new path below a pool adds a member."""

    def start(self, path: str) -> Answer:
        return self.ask("start", path)

    def stop(self, path: str = "") -> Answer:
        """Without ``path``, of the whole supervisor."""
        return self.ask("stop", path)

    def restart(self, path: str) -> Answer:
        return self.ask("restart", path)

    @abstractmethod
    def reload(self, shape: Sup) -> Answer:
        """Of a supervisor that was played with ``static``."""

    # ---- what is seen

    @abstractmethod
    def notes(self, name: str = "", path: str | None = None) -> list[Note]:
        """Records so far whose name begins with ``name``, of one path or all."""

    @abstractmethod
    def rows(self) -> dict[str, Row]:
        """In start order, depth first; the supervisor itself is "". Empty when it is gone."""

    @abstractmethod
    def handle(self, path: str) -> int:
        """Of the process that is there now, for ``is_gone``."""

    @abstractmethod
    def is_gone(self, handle: int) -> bool: ...

    @abstractmethod
    def left(self) -> list[str]:
        """Processes of the supervisor under test, of whatever depth, also such as have left their group."""

    @abstractmethod
    def wait(self, true: Callable[[], Any], what: str) -> Any:
        """Until it is true; in simulation time goes on meanwhile."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """On the clock that periods are measured by."""

    def who(self, *paths: str) -> list[int]:
        """The incarnations of these, or of all that run; 0 without a process."""
        rows = self.rows()
        return [rows[path].n for path in paths] if paths else [row.n for row in rows.values() if row.n]

    def state(self, path: str = "") -> str:
        """ "gone" for what is not in the tree."""
        row = self.rows().get(path)
        return row.state if row is not None else "gone"

    def kids(self, path: str = "") -> list[str]:
        """Names of the children that have a spec, in start order."""
        prefix = f"{path}/" if path else ""
        below = [one.removeprefix(prefix) for one in self.rows() if one and one.startswith(prefix)]
        return [name for name in below if "/" not in name]

    def count(self, path: str = "") -> dict[str, int]:
        """As count_children of OTP."""
        rows = self.rows()
        prefix = f"{path}/" if path else ""
        kids = [rows[prefix + name] for name in self.kids(path)]
        supervisors = sum(row.kind == "supervisor" for row in kids)
        return {
            "specs": 1 if rows[path].pool else len(kids),
            "active": sum(row.state not in WITHOUT_PROCESS for row in kids),
            "supervisors": supervisors,
            "workers": len(kids) - supervisors,
        }

    def births(self, path: str) -> int:
        return len(self.notes("agent.starting", path))

    def ends(self, path: str = "") -> list[str]:
        """The kinds of reasons with which ``path`` has ended so far: normal, shutdown, killed, exit, signal, ..."""
        kinds = [note.fields["kind"] for note in self.notes(path=path) if note.name in ENDED]
        return [str(kind) for kind in kinds]

    def order(self, *names: str) -> list[tuple[str, str]]:
        """(last word of the record's name, path) of workers' records of these names, in order."""
        wanted = [f"agent.{name}" for name in names]
        return [(note.name.removeprefix("agent."), note.path) for note in self.notes("agent.") if note.name in wanted]

    def settle(self) -> None:
        """Wait until nothing is under way."""
        self.wait(lambda: all(row.state in AT_REST for row in self.rows().values()), "nothing is under way")

    def wait_gone(self) -> None:
        self.wait(lambda: not self.left(), f"nothing is left: {self.left()}")

    @property
    def over(self) -> bool:
        """The supervisor under test has ended and is gone."""
        return not self.rows()


def relative(path: str, top: str) -> str:
    return path[len(top) :].lstrip("/")
