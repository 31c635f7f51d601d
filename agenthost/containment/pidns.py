"""Cells that are PID namespaces: the process is born below a tiny init, and the end of the init is the end of all.

The kernel does it (pid_namespaces(7)): when the init dies everything in its namespace is sent SIGKILL, and its exit
completes only when all are gone. The launcher writes the init; the host knows its pid, as seen from outside, and waits
for it. The init is not counted among the members: it belongs to us, and heeds no signal but KILL.
"""

from __future__ import annotations

import signal

from agenthost.containment import procfs, signals
from agenthost.containment.aside import CpuGround
from agenthost.containment.booked import WITHOUT_CGROUPS, BookedCell, BookedContainment
from agenthost.containment.cell import CellOrder
from agenthost.containment.procfs import Stat
from agenthost.core.birth import Limits
from agenthost.errors import ContainmentError


class PidnsCell(BookedCell):
    tier = "pidns"
    user_namespace = False

    def order(self) -> CellOrder:
        return CellOrder(new_pid_namespace=True, new_user_namespace=self.user_namespace)

    def check(self, one: Stat) -> None:
        """``attach`` takes the pid of the init, the process that was cloned."""
        if one.alive and not _is_init(one.pid):
            raise ContainmentError(
                f"cannot attach {one.pid} to {self.path}: it is not the init of a PID namespace of its own",
                hint="clone it with CLONE_NEWPID",
            )

    def own(self) -> list[Stat]:
        pulse = self.own_pulse()
        return [one for one in procfs.descendants([pulse.pid]).values() if one.alive] if pulse else []

    def own_pulse(self) -> Stat | None:
        return procfs.living(self._main.pid, self._main.start_time) if self._main else None

    def kill_own(self) -> None:
        if self._main:
            signals.send(self._main.pid, self._main.start_time, signal.SIGKILL)


def _is_init(pid: int) -> bool:
    """True if its pid in its own PID namespace is 1 and that is not ours; NSpid, Linux 4.1. True if it has gone."""
    for line in (procfs.read_bytes(f"/proc/{pid}/status") or b"").splitlines():
        if line.startswith(b"NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == b"1"
    return True


class PidnsContainment(BookedContainment[PidnsCell]):
    """``user_namespace``: each cell needs one, too, for we have not root's rights."""

    tier = "pidns"

    def __init__(self, user_namespace: bool, without: str = "", cpu_ground: CpuGround | None = None) -> None:
        self._user_namespace = user_namespace
        super().__init__(without, cpu_ground)

    def cell(self, path: str, incarnation: str, limits: Limits) -> PidnsCell:
        cell = PidnsCell(self._nest, self._readiness, path, incarnation, self._nest.parent_for(path))
        cell.user_namespace, cell.cpu_ground = self._user_namespace, self._cpu_ground
        return cell

    def explain(self) -> list[str]:
        how = "in a user namespace" if self._user_namespace else "as root"
        return [
            f"each agent has a PID namespace of its own, {how}: when its init ends, all of it ends",
            *WITHOUT_CGROUPS,
        ]
