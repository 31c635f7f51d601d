"""The interface of containment: a ``Cell`` holds everything one incarnation has ever started.

Implementations: ``cgroup``, ``pidns``, ``walk``; ``tiers`` chooses. They pass the same contract tests. A cell is made
before its process, is nested as the tree is, and is closed when it is empty. Signals go by pidfd, never by bare pid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Protocol

from agenthost.containment.means import Means
from agenthost.core.birth import Limits


@dataclass(frozen=True, slots=True)
class Usage:
    """What a cell uses now. ``cpu_s`` counts since its first process; None where the tier cannot know."""

    processes: int
    memory_bytes: int | None
    cpu_s: float | None


@dataclass(frozen=True, slots=True)
class CellOrder:
    """How the process of a cell must be born so that there is no gap. The launcher obeys, the cell checks."""

    cgroup_fd: int | None = None
    """Born into this cgroup v2 folder by CLONE_INTO_CGROUP."""
    new_pid_namespace: bool = False
    """Born below a tiny init of its own PID namespace, whose end is the end of the cell."""
    new_user_namespace: bool = False
    """With ``new_pid_namespace``, where only the root of a user namespace may make one: the user keeps his numbers."""
    subreaper: bool = False
    """Sets PR_SET_CHILD_SUBREAPER on itself before foreign code runs."""
    join: tuple[str, ...] = ()
    """``cgroup.procs`` or ``tasks`` files (cgroup v1) that it writes "0" to before foreign code runs."""


class Cell(Protocol):
    """One incarnation's container. No method blocks for longer than a system call."""

    tier: str
    folder: str
    """The cgroup v2 folder, "" in other tiers; for the births file."""

    def order(self) -> CellOrder: ...

    def attach(self, pid: int, pidfd: int) -> None:
        """Called once with the process that was born by ``order()``; makes sure it is inside. ``ContainmentError``."""

    def signal(self, signum: int) -> int:
        """Send to every member; returns how many got it."""

    def kill(self) -> None:
        """KILL every member, including what is stopped, frozen or in another session. Call again until empty."""

    def kill_beside(self, pid: int) -> None:
        """KILL every member of this cell alone but ``pid``; not those of cells nested in it. Call again until
        ``own_members`` has none but that. The cell takes births as before."""

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def members(self) -> list[int]:
        """Pids as the host sees them, zombies not counted."""

    def own_members(self) -> list[int]:
        """Those without the members of cells nested in it."""

    def has_nested(self) -> bool: ...

    def is_empty(self) -> bool: ...

    def watch_empty(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from the event loop, when the last member has gone."""

    def usage(self) -> Usage: ...

    def cpu_s(self) -> float | None:
        """That of ``usage``, at less cost: it is asked of a hundred cells a second."""

    def own_cpu_s(self) -> float | None:
        """Without that of cells nested in it. What counts ended processes too changes when the first of those comes."""

    def let_others_first(self, on: bool) -> None:
        """Where the cell is scheduled as a group of its own, what its threads do counts inside of it alone: then the
        group must give way as well. ``OSError``."""

    def set_aside(self, pid: int) -> bool:
        """Put one of ``own_members`` into a cpu group that weighs next to nothing, whatever it holds. False where there
        is none, or the cell gives way as a group. ``OSError``."""

    def take_back(self, most: int) -> int:
        """End that for so many of those that are there, at most; returns for how many. ``OSError``."""

    def out_of_memory_kills(self) -> int:
        """How often the kernel killed a member for memory since the cell was made, or they were forgotten."""

    def forget_memory_kills(self) -> None:
        """They were dealt with: what dies from now on did not die of those."""

    def close(self) -> None:
        """Remove what the cell needed from the kernel. Only when empty; safe to call twice."""


class Containment(Protocol):
    """Makes cells of one tier for one host."""

    tier: str
    means: Means
    """What holds each limit."""
    has_cpu_groups: bool
    """Agents are kept apart from others by cpu groups."""

    def cell(self, path: str, incarnation: str, limits: Limits) -> Cell: ...

    def explain(self) -> list[str]:
        """Sentences for ``doctor``: what is enforced by what, and what is not and why."""

    def roots(self) -> list[str]:
        """cgroup folders that the guardian empties and removes if the host dies."""

    def watch_memory(self, callback: Callable[[], None]) -> None:
        """From within the loop: call ``callback`` each time when the kernel may have killed a member of some cell for
        memory, or is about to."""

    def close(self) -> None: ...
