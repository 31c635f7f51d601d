"""What pidns and walk have in common: a cell whose nesting and emptiness are this process's own book-keeping.

Leaves to each tier: who its own members are, and how they are killed. The rule: a cell is empty when its own last
process has gone and all cells nested in it are empty; children cells are killed before the cell itself.
"""

from __future__ import annotations

import asyncio
import os
import select
from abc import ABC, abstractmethod
from typing import Callable, Generic, Self, TypeVar

from agenthost.containment import descent, measure, procfs, signals
from agenthost.containment.aside import Aside, CpuGround
from agenthost.containment.cell import CellOrder, Usage
from agenthost.containment.means import means
from agenthost.containment.nest import Nest
from agenthost.containment.procfs import Stat
from agenthost.containment.readiness import Readiness
from agenthost.errors import ContainmentError


class BookedCell(ABC):
    tier: str
    folder = ""

    def __init__(
        self, nest: Nest[Self], readiness: Readiness, path: str, incarnation: str, parent: Self | None
    ) -> None:
        self.path, self.incarnation, self.parent = path, incarnation, parent
        self.nested: dict[str, Self] = {}
        self.killed = False
        self._leave_nest: Callable[[], None] = lambda: nest.leave(self)
        self._readiness = readiness
        self._main: Stat | None = None
        self._stopped: descent.Known = {}
        self._on_empty: Callable[[], None] | None = None
        self._watched_fd = -1
        self.cpu_ground: CpuGround | None = None
        """Where crowds can be set aside, if anywhere."""
        self._aside: Aside | None = None
        nest.enter(self)

    @abstractmethod
    def order(self) -> CellOrder: ...

    @abstractmethod
    def own(self) -> list[Stat]:
        """Living members of this cell alone, parents before children."""

    @abstractmethod
    def own_pulse(self) -> Stat | None:
        """A living process without whose end this cell, those in it aside, is not empty."""

    @abstractmethod
    def kill_own(self) -> None: ...

    def attach(self, pid: int, pidfd: int) -> None:
        one = procfs.stat(pid)
        if one is None:
            raise ContainmentError(
                f"cannot attach {pid} to {self.path}: there is no such process", hint="attach before it is reaped"
            )
        self.check(one)
        self._main = one
        if self.killed:  # the kill came between order and birth
            self.kill()

    def check(self, one: Stat) -> None:
        """``ContainmentError`` if the process was not born as ordered."""

    def signal(self, signum: int) -> int:
        mine = [one for one in self.own() if self._sent(one, signum)]
        return len(mine) + sum(cell.signal(signum) for cell in list(self.nested.values()))

    def kill(self) -> None:
        self.killed = True
        for cell in list(self.nested.values()):
            cell.kill()
        self.kill_own()

    def kill_beside(self, pid: int) -> None:
        descent.kill({one.pid: one.start_time for one in self.own() if one.pid != pid}, spare={pid})

    def freeze(self) -> None:
        for cell in list(self.nested.values()):
            cell.freeze()
        self._stopped |= descent.stop({one.pid: one.start_time for one in self.own()})

    def thaw(self) -> None:
        """Resumes what ``freeze`` stopped; what had stopped itself stays so."""
        descent.resume(self._stopped)
        self._stopped = {}
        for cell in list(self.nested.values()):
            cell.thaw()

    def members(self) -> list[int]:
        inner = [pid for cell in list(self.nested.values()) for pid in cell.members()]
        return [one.pid for one in self.own()] + inner

    def own_members(self) -> list[int]:
        return [one.pid for one in self.own()]

    def has_nested(self) -> bool:
        return bool(self.nested)

    def is_empty(self) -> bool:
        return self._pulse() is None

    def watch_empty(self, callback: Callable[[], None]) -> None:
        """Costs one descriptor until it is called back; so ask when the main process has ended, not before."""
        self._on_empty = callback
        if self._watched_fd < 0:
            self._watch_next()

    def usage(self) -> Usage:
        return measure.usage(self.members())

    def cpu_s(self) -> float:
        return measure.cpu_s(self.members())

    def own_cpu_s(self) -> float:
        return measure.cpu_s(self.own_members())

    def let_others_first(self, on: bool) -> None:
        """It is no group."""

    def set_aside(self, pid: int) -> bool:
        ground = self.cpu_ground
        if ground is None:
            return False
        if self._aside is None:
            self._aside = Aside(ground.base, ground.home, f"{self.path}@{self.incarnation}")
        self._aside.put(pid)
        return True

    def take_back(self, most: int) -> int:
        return self._aside.take_back(most) if self._aside is not None else 0

    def out_of_memory_kills(self) -> int:
        """Always 0: only a cgroup counts them."""
        return 0

    def forget_memory_kills(self) -> None:
        """There are none."""

    def close(self) -> None:
        if pulse := self._pulse():
            raise ContainmentError(f"cannot close the cell of {self.path}: {pulse.pid} lives in it", hint="kill it")
        for cell in list(self.nested.values()):
            cell.close()
        self._unwatch()
        self._on_empty = None
        if self._aside is not None:
            self._aside.close()
        self._leave_nest()

    def _pulse(self) -> Stat | None:
        return self.own_pulse() or next((one for cell in self.nested.values() if (one := cell._pulse())), None)

    def _watch_next(self) -> None:
        """Wait for one living member at a time: one descriptor, however many there are."""
        while pulse := self._pulse():
            pidfd = signals.open_pidfd(pulse.pid)
            if pidfd is None:
                continue
            if procfs.living(pulse.pid, pulse.start_time):
                self._watched_fd = pidfd
                self._readiness.add(pidfd, select.EPOLLIN, self._pulse_gone)
                return
            os.close(pidfd)
        asyncio.get_running_loop().call_soon(self._tell)

    def _pulse_gone(self) -> None:
        self._unwatch()
        self._watch_next()

    def _unwatch(self) -> None:
        if self._watched_fd >= 0:
            self._readiness.remove(self._watched_fd)
            os.close(self._watched_fd)
            self._watched_fd = -1

    def _tell(self) -> None:
        callback, self._on_empty = self._on_empty, None
        if callback:
            callback()

    def _sent(self, one: Stat, signum: int) -> bool:
        try:
            return signals.send(one.pid, one.start_time, signum)
        except PermissionError:  # a set-user-ID program of another user: not counted
            return False


WITHOUT_CGROUPS = ("freezing stops each process by SIGSTOP, which its parent can see",)
"""What ``explain`` says of every tier whose cells are booked here."""

C = TypeVar("C", bound=BookedCell)


class BookedContainment(Generic[C]):
    """What pidns and walk share: the nest of their cells."""

    has_cpu_groups = False

    def __init__(self, without: str = "", cpu_ground: CpuGround | None = None) -> None:
        """``without``: why there are no cgroups. ``cpu_ground``: where crowds can be set aside, if anywhere."""
        self._cpu_ground = cpu_ground
        self.means = means((), (), {}, without)
        self._nest: Nest[C] = Nest()
        self._readiness = Readiness()

    def roots(self) -> list[str]:
        return [self._cpu_ground.base] if self._cpu_ground is not None else []

    def watch_memory(self, callback: Callable[[], None]) -> None:
        """An rlimit kills nobody."""

    def close(self) -> None:
        for cell in self._nest.cells():
            cell.close()
        self._readiness.close()
        if self._cpu_ground is not None:
            self._cpu_ground.close()
