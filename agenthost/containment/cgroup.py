"""Cells that are cgroups (v2): the strongest tier. Born inside by CLONE_INTO_CGROUP, nested as the tree is, so that one
write ends, freezes or finds everything below an agent, whatever it did to its session, parent or signals.

Leaves the place of the tree to ``ground``, limits to ``allotment``, and the news of its end to ``emptiness``. Between
calls a cell holds no descriptor: the folder's is open from ``order`` to ``attach``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Callable

from agenthost.containment import hierarchy, measure, procfs, signals
from agenthost.containment.allotment import Allotment
from agenthost.containment.aside import Aside
from agenthost.containment.cell import CellOrder, Usage
from agenthost.containment.emptiness import Emptiness
from agenthost.containment.ground import Ground
from agenthost.containment.hierarchy import folder_name
from agenthost.containment.means import means
from agenthost.containment.memory_events import MemoryEvents
from agenthost.containment.nest import Nest
from agenthost.containment.readiness import Readiness
from agenthost.core.birth import Limits
from agenthost.errors import ContainmentError

HERE = "here"

KILL_EACH_BUDGET_S = 0.1
ROUNDS = 3
"""Of looking for what one process has started; after them it is a fork bomb."""


class CgroupCell:
    tier = "cgroup"

    def __init__(
        self, owner: CgroupContainment, path: str, incarnation: str, limits: Limits, parent: CgroupCell | None
    ) -> None:
        self.path, self.incarnation, self.parent = path, incarnation, parent
        self.nested: dict[str, CgroupCell] = {}
        self.killed = False
        self._owner = owner
        self.folder, self._allotment = self._make(limits)
        self._home = f"{self.folder}/{HERE}" if owner.ground.controllers.v2 else self.folder
        self._folder_fd = -1
        self._aside: Aside | None = None
        self._emptiness = Emptiness(self.folder, owner.readiness)
        owner.nest.enter(self)

    def order(self) -> CellOrder:
        if self._folder_fd < 0:
            self._folder_fd = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return CellOrder(cgroup_fd=self._folder_fd, join=self._allotment.join)

    def attach(self, pid: int, pidfd: int) -> None:
        """Checks every group that was ordered, and moves the process where it is missing."""
        self._close_folder()
        wrong = self._wrong_folders(pid)
        for folder in wrong:
            try:
                hierarchy.write(f"{folder}/cgroup.procs", str(pid))
            except ProcessLookupError:
                break
            except OSError as error:
                raise ContainmentError(f"cannot move {pid} into {folder}: {error.strerror}") from error
        if wrong and (left := self._wrong_folders(pid)):
            raise ContainmentError(f"cannot contain {pid} of {self.path}: it is not in {left[0]}")
        if self.killed:  # the kill came between order and birth
            self.kill()

    def signal(self, signum: int) -> int:
        return sum(self._sent(pid, signum) for pid in self.members())

    def kill(self) -> None:
        """Said again, each process is sent KILL by itself as well: ``cgroup.kill`` does not end one whose first thread
        has ended while another goes on (seen with Linux 6.18)."""
        again = self.killed
        self._refuse_births()
        if not self._owner.has_kill_file:
            self._kill_each()
            return
        self._write("cgroup.kill", "1")
        if again:
            for pid in self.members():
                self._sent(pid, signal.SIGKILL)

    def kill_beside(self, pid: int) -> None:
        """Whoever forks faster than it is looked for stands still for a moment, and with it the whole cell."""
        deadline = time.monotonic() + KILL_EACH_BUDGET_S
        sent, rounds, is_frozen = {pid}, 0, hierarchy.read(f"{self.folder}/cgroup.freeze").strip() == "1"
        try:
            while new := [one for one in self.own_members() if one not in sent]:
                for one in new:
                    self._sent(one, signal.SIGKILL)
                sent.update(new)
                rounds += 1
                if rounds == ROUNDS and not is_frozen:
                    self.freeze()
                if time.monotonic() > deadline:
                    return
        finally:
            if rounds >= ROUNDS and not is_frozen:
                self.thaw()

    def freeze(self) -> None:
        self._write("cgroup.freeze", "1")

    def thaw(self) -> None:
        self._write("cgroup.freeze", "0")

    def members(self) -> list[int]:
        return hierarchy.processes(self.folder)

    def own_members(self) -> list[int]:
        if not self.nested:
            return self.members()
        return hierarchy.processes(self.folder, frozenset(cell.folder for cell in list(self.nested.values())))

    def has_nested(self) -> bool:
        return bool(self.nested)

    def is_empty(self) -> bool:
        return not hierarchy.field(f"{self.folder}/cgroup.events", "populated")

    def watch_empty(self, callback: Callable[[], None]) -> None:
        self._emptiness.watch(callback)

    def usage(self) -> Usage:
        """Memory as charged by the kernel where this cell has a memory group, else the proportional set size."""
        pids = self.members()
        charged = self._allotment.memory_bytes()
        return Usage(
            processes=len(pids),
            memory_bytes=sum(map(measure.memory_bytes, pids)) if charged is None else charged,
            cpu_s=self.cpu_s(),
        )

    def cpu_s(self) -> float:
        return hierarchy.field(f"{self.folder}/cpu.stat", "usage_usec") / 1e6

    def own_cpu_s(self) -> float:
        """By its processes where cells are nested: the kernel's sum has theirs, and to read each takes long."""
        return measure.cpu_s(self.own_members()) if self.nested else self.cpu_s()

    def let_others_first(self, on: bool) -> None:
        """cpu.idle, Linux 5.15. To leave it gives the group the usual weight: not for who was given another."""
        for folder in filter(None, (self.folder, self._allotment.v1.get("cpu"))):
            with contextlib.suppress(FileNotFoundError):  # no cpu controller there, or an older kernel
                hierarchy.write(f"{folder}/cpu.idle", "1" if on else "0")

    def set_aside(self, pid: int) -> bool:
        """One with a cpu group of its own gives way by that."""
        home = self._allotment.v1_folder("cpu")
        if home is None or "cpu" in self._allotment.v1:
            return False
        if self._aside is None:
            self._aside = Aside(home, home, f"{self.path}@{self.incarnation}")
        self._aside.put(pid)
        return True

    def take_back(self, most: int) -> int:
        return self._aside.take_back(most) if self._aside is not None else 0

    def out_of_memory_kills(self) -> int:
        return self._allotment.out_of_memory_kills()

    def forget_memory_kills(self) -> None:
        self._allotment.forget_memory_kills()

    def close(self) -> None:
        if not self.is_empty():
            raise ContainmentError(
                f"cannot close the cell of {self.path}: {len(self.members())} processes live in it", hint="kill it"
            )
        for cell in list(self.nested.values()):
            cell.close()
        self._emptiness.close()
        self._close_folder()
        if self._aside is not None:
            self._aside.close()
        self._allotment.close()
        hierarchy.try_remove(self.folder)
        self._owner.prune(os.path.dirname(self.folder), self.parent)
        self._owner.nest.leave(self)

    def _make(self, limits: Limits) -> tuple[str, Allotment]:
        """mkdir of the folder and those of the supervisors above it, limits included."""
        top = self.parent.folder if self.parent else self._owner.ground.agents
        *above, name = self.path[len(self.parent.path) if self.parent else 0 :].strip("/").split("/")
        inside = "/".join([top, *(folder_name("s", supervisor) for supervisor in above)])
        folder = f"{inside}/{folder_name('a', f'{name}@{self.incarnation}')}"
        above_allotment = self.parent._allotment if self.parent else None
        try:
            self._owner.make_supervisors(top, inside)
            os.mkdir(folder)
            if self._owner.ground.controllers.v2:
                os.mkdir(f"{folder}/{HERE}")
            return folder, Allotment(
                self._owner.ground.controllers,
                self.path,
                self.incarnation,
                folder,
                limits,
                above_allotment,
                self._owner.memory_events,
            )
        except OSError as error:
            hierarchy.try_remove(folder)
            raise ContainmentError(f"cannot make a cgroup for {self.path}: {folder}: {error.strerror}") from error
        except ContainmentError:
            hierarchy.try_remove(folder)
            raise

    def _refuse_births(self) -> None:
        self.killed = True
        for cell in self.nested.values():
            cell._refuse_births()

    def _wrong_folders(self, pid: int) -> list[str]:
        """The groups that the process is not in but belongs in. A process that has ended belongs nowhere."""
        found = hierarchy.entries(pid)
        wanted = {"": self._home}
        for name in hierarchy.CONTROLLERS:
            if folder := self._allotment.v1_folder(name):
                wanted[name] = folder
        wrong = [folder for name, folder in wanted.items() if found.get(name) != self._owner.entry(name, folder)]
        if wrong and ((one := procfs.stat(pid)) is None or one.exiting):
            return []
        return wrong

    def _is_member(self, pid: int) -> bool:
        entry, mine = hierarchy.entries(pid).get("", ""), self._owner.entry("", self.folder)
        return entry == mine or entry.startswith(mine + "/")

    def _sent(self, pid: int, signum: int) -> bool:
        try:
            return signals.send_if(pid, signum, lambda: self._is_member(pid))
        except PermissionError:  # a set-user-ID program, and we are not root: not counted
            return False

    def _kill_each(self) -> None:
        """For kernels without ``cgroup.kill`` (before 5.14): nobody forks while frozen, and KILL ends the frozen."""
        self.freeze()
        deadline = time.monotonic() + KILL_EACH_BUDGET_S
        sent: set[int] = set()
        while new := [pid for pid in self.members() if pid not in sent]:
            for pid in new:
                self._sent(pid, signal.SIGKILL)
            sent.update(new)
            if time.monotonic() > deadline:
                return

    def _close_folder(self) -> None:
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1

    def _write(self, file: str, text: str) -> None:
        try:
            hierarchy.write(f"{self.folder}/{file}", text)
        except FileNotFoundError:  # closed: nobody is in it
            return
        except OSError as error:
            raise ContainmentError(f"cannot write {file} of {self.path}: {error.strerror}") from error


class CgroupContainment:
    tier = "cgroup"

    def __init__(self, host_name: str, boot: int) -> None:
        self.ground = Ground(host_name, boot)
        self.nest: Nest[CgroupCell] = Nest()
        self.readiness = Readiness()
        self.memory_events = MemoryEvents()
        self.has_kill_file = os.path.exists(f"{self.ground.agents}/cgroup.kill")
        had = self.ground.controllers
        self.means = means(had.v2, had.v1, had.missing, "no such controller is mounted")
        self.has_cpu_groups = had.low_weight
        self._entries = {"": (self.ground.base, self.ground.entry)}
        for name, base in self.ground.controllers.v1_bases.items():
            self._entries[name] = (base, hierarchy.entry_of(base))

    def cell(self, path: str, incarnation: str, limits: Limits) -> CgroupCell:
        return CgroupCell(self, path, incarnation, limits, self.nest.parent_for(path))

    def explain(self) -> list[str]:
        how = "one write to cgroup.kill" if self.has_kill_file else "freezing and killing each: no cgroup.kill here"
        return [f"each agent is a cgroup in {self.ground.agents}, ended by {how}", *self.ground.controllers.explain()]

    def roots(self) -> list[str]:
        return self.ground.roots()

    def watch_memory(self, callback: Callable[[], None]) -> None:
        in_v2 = "memory" in self.ground.controllers.v2
        self.memory_events.follow(callback, self.readiness, self.ground.agents if in_v2 else "")

    def close(self) -> None:
        for cell in self.nest.cells():
            cell.close()
        self.memory_events.close()
        self.readiness.close()
        self.ground.close()

    def entry(self, controller: str, folder: str) -> str:
        """What /proc/PID/cgroup says of a process in one of our folders."""
        base, entry = self._entries[controller]
        return entry + folder[len(base) :]

    def make_supervisors(self, top: str, folder: str) -> None:
        """mkdir all from ``top``, which exists, down to ``folder``; each hands its controllers on."""
        if os.path.exists(folder) and folder != top:
            return
        step = top
        self.ground.enable_below(step)
        for name in folder[len(top) :].split("/")[1:]:
            step = f"{step}/{name}"
            hierarchy.make(step)
            self.ground.enable_below(step)

    def prune(self, folder: str, parent: CgroupCell | None) -> None:
        """Remove supervisors' folders that hold nothing any more, upwards."""
        top = parent.folder if parent else self.ground.agents
        while folder.startswith(top + "/"):
            try:
                os.rmdir(folder)
            except OSError:  # ENOTEMPTY or EBUSY: other cells are in it; ENOENT: pruned before
                return
            folder = os.path.dirname(folder)
