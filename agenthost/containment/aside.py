"""A cpu group for a crowd that computes: idle as a whole, so it weighs next to nothing however many it holds.

The policy SCHED_IDLE does not do that. Each such thread weighs 3 of the usual 1,024, so beside a thousand of them
whoever works has had more than his share after a moment, and waits until they have had theirs: up to 1.2 s with 1,500
on two CPUs (Linux 6.18, EEVDF), all of them SCHED_IDLE.

Only for cgroup v1, where cells have no cpu group of their own; in v2 that of the cell is made idle. Cells that are no
cgroups can have it too, where we may make groups in the hierarchy of the cpu controller.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from agenthost.containment import ground, hierarchy

LEAST_SHARES = "2"
"""What the kernel gives at least; before Linux 5.15 there is no cpu.idle."""


@dataclass(frozen=True, slots=True)
class CpuGround:
    """``home`` is the cpu group that agents are born in, ``base`` where we may make others."""

    home: str
    base: str

    def close(self) -> None:
        hierarchy.try_remove(self.base)


def try_cpu_ground(host_name: str, boot: int) -> CpuGround | None:
    """For a tier without cgroups: a folder of our own in the cpu hierarchy; None if that cannot be had."""
    if (home := hierarchy.own_folders().get("cpu")) is None:
        return None
    base = f"{ground.outer(home)}/{ground.base_name(host_name, boot)}"
    try:
        os.mkdir(base)
        _make_idle(base)
    except OSError:  # read-only, or not ours: the policy alone must do
        return None
    return CpuGround(home, base)


class Aside:
    """Made in the group ``inside``; those who are taken back go ``home``."""

    def __init__(self, inside: str, home: str, name: str) -> None:
        self._home, self.folder = home, f"{inside}/{hierarchy.folder_name('i', name)}"
        self._is_made = False

    def put(self, pid: int) -> None:
        """With all its threads; what it starts from here on is born there. ``OSError``."""
        if not self._is_made:
            hierarchy.make(self.folder)
            self._is_made = True
            _make_idle(self.folder)
        _move(pid, self.folder)

    def take_back(self, most: int) -> int:
        """So many of those that are in it, at most. Returns how many were. ``OSError``."""
        some = hierarchy.processes(self.folder)[:most] if self._is_made else []
        for pid in some:
            _move(pid, self._home)
        return len(some)

    def close(self) -> None:
        if self._is_made:
            hierarchy.try_remove(self.folder)


def _make_idle(folder: str) -> None:
    try:
        hierarchy.write(f"{folder}/cpu.idle", "1")
    except FileNotFoundError:
        hierarchy.write(f"{folder}/cpu.shares", LEAST_SHARES)


def _move(pid: int, folder: str) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        hierarchy.write(f"{folder}/cgroup.procs", str(pid))
