"""Limits that hold for a cell as a whole: memory, processes, cpu; by cgroup v2 files where that controller is ours,
else by cgroup v1 groups that the process joins, else not at all, which is said.

A v1 group is made only where a limit is set (but for one shared low cpu weight), below our own entry of that
hierarchy, inside the group of the nearest cell above that has one. The process joins by writing "0" to ``tasks``: to
move oneself alone skips the kernel's global lock, which ``cgroup.procs`` takes (measured: 0.04 ms against up to 16 ms).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from agenthost.containment import hierarchy
from agenthost.containment.memory_events import MemoryEvents
from agenthost.core.birth import Limits
from agenthost.errors import ContainmentError

CPU_PERIOD_US = 100_000
MIN_CPU_QUOTA_US = 1_000  # the kernel refuses less
AGENTS = "agents"
LOW_V1_SHARES = 64
LOW_V2_WEIGHT = 6
"""One sixteenth of what a process has. Enough for the host: with 60 busy agents on two cores its p99 was 4 ms, as with
the least there is (2 shares), and up to 30 ms with 1,024. With the least, anything else that ran on the machine starved
all agents: calls between two of them had a p99 of 0.9 ms, 0.7 with 64, 0.2 with 1,024; beside one busy agent 1.5, 0.3
and 0.3 (medians of 15 windows each, taken in turn)."""


@dataclass(slots=True)
class Controllers:
    """Which controller is had from where. ``v1`` names the folder that our groups are made in."""

    v2: frozenset[str] = frozenset()
    v1: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    v1_bases: dict[str, str] = field(default_factory=dict)
    low_weight: bool = False

    @property
    def low_weight_v1(self) -> bool:
        return self.low_weight and "cpu" in self.v1

    def explain(self) -> list[str]:
        names = {"memory": "memory of an agent", "pids": "number of processes", "cpu": "share of cpu"}
        said = []
        for name, words in names.items():
            if name in self.v2 or name in self.v1:
                said.append(f"{words}: limited by cgroup {'v2' if name in self.v2 else 'v1'}")
            else:
                said.append(f"{words}: no cgroup limits it: {self.missing.get(name, 'no such controller')}")
        if self.low_weight:
            said.append("agents share a low cpu weight, so that the host answers while they compute")
        else:
            said.append("agents have the host's cpu weight: a crowd of busy agents slows the host down")
        return said


DELEGATE = "run as root, or as a systemd unit with Delegate=yes"
"""What to do where a controller is not to be had."""


def not_ours(folder: str) -> str:
    return f"cannot make a group below {folder}: Permission denied; {DELEGATE}"


def find(v2: frozenset[str], v2_missing: dict[str, str], own: dict[str, str], base_name: str) -> Controllers:
    """Make our base folder in the v1 hierarchies of what v2 lacks. ``own``: controller to our own folder."""
    found = Controllers(v2=v2)
    for name in hierarchy.CONTROLLERS:
        if name in v2:
            continue
        if name not in own:
            found.missing[name] = v2_missing.get(name, "no such controller is mounted")
            continue
        base = f"{own[name]}/{base_name}"
        try:
            hierarchy.make(base)
            found.v1[name] = found.v1_bases[name] = base
        except OSError as error:
            found.missing[name] = f"cannot make a group below {own[name]}: {error.strerror}; {DELEGATE}"
    if "cpu" in found.v1:
        agents = f"{found.v1['cpu']}/{AGENTS}"
        hierarchy.make(agents)
        hierarchy.write(f"{agents}/cpu.shares", str(LOW_V1_SHARES))
        found.v1["cpu"], found.low_weight = agents, True
    return found


def settings(limits: Limits, controller: str, v2: bool) -> dict[str, str]:
    """File to text, in the order of writing. Empty where no limit is set."""
    if controller == "memory" and limits.memory_bytes is not None:
        amount = str(limits.memory_bytes)
        if v2:
            return {"memory.max": amount, "memory.swap.max": "0", "memory.oom.group": "1"}
        return {"memory.limit_in_bytes": amount, "memory.memsw.limit_in_bytes": amount}
    if controller == "pids" and limits.processes is not None:
        return {"pids.max": str(limits.processes)}
    if controller == "cpu" and limits.cpu_cores is not None:
        quota = max(MIN_CPU_QUOTA_US, round(limits.cpu_cores * CPU_PERIOD_US))
        wanted = {"cpu.max": f"{quota} {CPU_PERIOD_US}"} if v2 else {"cpu.cfs_quota_us": str(quota)}
    else:
        wanted = {}
    return wanted | (weight(limits, v2) if controller == "cpu" else {})


def weight(limits: Limits, v2: bool) -> dict[str, str]:
    """As ``settings``. 100 is 1,024 shares, as a process has them (systemd.resource-control(5) reckons alike)."""
    if limits.cpu_weight is None:
        return {}
    if v2:
        return {"cpu.weight": str(limits.cpu_weight)}
    return {"cpu.shares": str(max(2, limits.cpu_weight * 1024 // 100))}


OPTIONAL = frozenset({"memory.swap.max", "memory.memsw.limit_in_bytes", "memory.oom.group"})
"""Absent where the kernel does not count swap or is older than 4.19; the limit itself holds without."""


class Allotment:
    """One cell's limits. Made before its process; ``join`` is what the process has to join."""

    def __init__(
        self,
        controllers: Controllers,
        path: str,
        incarnation: str,
        folder: str,
        limits: Limits,
        above: Allotment | None,
        memory_events: MemoryEvents | None = None,
    ) -> None:
        self._controllers = controllers
        self._v2_folder = folder
        self._above = above
        self.v1: dict[str, str] = {}
        try:
            for name in hierarchy.CONTROLLERS:
                if wanted := settings(limits, name, v2=name in controllers.v2):
                    self._limit(name, f"{path}@{incarnation}", wanted)
            if memory_events is not None and "memory" in self.v1:
                memory_events.register(self.v1["memory"])
        except OSError as error:
            self.close()
            raise ContainmentError(f"cannot limit {path}: {error.filename or ''} {error.strerror}") from error
        self._killed_before = self._count_kills()

    def v1_folder(self, controller: str) -> str | None:
        """The v1 group that the process belongs in: its own, or that of the nearest cell above."""
        if own := self.v1.get(controller):
            return own
        if self._above:
            return self._above.v1_folder(controller)
        return self._controllers.v1["cpu"] if controller == "cpu" and self._controllers.low_weight_v1 else None

    @property
    def join(self) -> tuple[str, ...]:
        folders = (self.v1_folder(name) for name in hierarchy.CONTROLLERS)
        return tuple(f"{folder}/tasks" for folder in folders if folder)

    def memory_bytes(self) -> int | None:
        """What the kernel charges; None where this cell has no memory group of its own."""
        if "memory" in self._controllers.v2:
            return int(hierarchy.read(f"{self._v2_folder}/memory.current") or 0)
        if own := self.v1.get("memory"):
            return int(hierarchy.read(f"{own}/memory.usage_in_bytes") or 0)
        return None

    def out_of_memory_kills(self) -> int:
        """Since this was made or they were forgotten. v1 counts a group by itself (memory.oom_control, Linux 4.13), v2
        with all below it."""
        return self._count_kills() - self._killed_before

    def forget_memory_kills(self) -> None:
        self._killed_before = self._count_kills()

    def _count_kills(self) -> int:
        if "memory" in self._controllers.v2:
            return hierarchy.field(f"{self._v2_folder}/memory.events", "oom_kill")
        if group := self.v1_folder("memory"):  # without a limit of its own, it is under that of a cell above
            return hierarchy.field(f"{group}/memory.oom_control", "oom_kill")
        return 0

    def close(self) -> None:
        for folder in self.v1.values():
            hierarchy.try_remove(folder)
        self.v1 = {}

    def _limit(self, name: str, label: str, wanted: dict[str, str]) -> None:
        if name in self._controllers.v2:
            folder = self._v2_folder
        elif name in self._controllers.v1:
            inside = (self._above.v1_folder(name) if self._above else None) or self._controllers.v1[name]
            folder = f"{inside}/{hierarchy.folder_name('c', label)}"
            os.mkdir(folder)
            self.v1[name] = folder
        else:
            return  # explain() says so; the host sets rlimits
        for file, text in wanted.items():
            try:
                hierarchy.write(f"{folder}/{file}", text)
            except FileNotFoundError:
                if file not in OPTIONAL:
                    raise
