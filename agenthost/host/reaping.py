"""What a turn has left behind in an agent's own cell is killed: everything there but the agent. Its children live on.

A cell that does not empty is told after ``PATIENCE_S``: the agent must not wait for ever for a process that the kernel
cannot end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from agenthost.containment import procfs
from agenthost.errors import AgenthostError, ContainmentError
from agenthost.host.incarnation import Incarnation

FIRST_LOOK_S, LONGEST_LOOK_S, PATIENCE_S = 0.001, 0.1, 10.0
MOST_TOLD = 100


class Reaping:
    """Of one incarnation, once; ``done`` is told whom it has killed, unless the agent ends first."""

    def __init__(self, who: Incarnation, done: Callable[[list[dict[str, Any]] | AgenthostError], None]) -> None:
        self._who, self._done = who, done
        self._killed: dict[int, str] = {}
        self._pause_s = FIRST_LOOK_S
        self._until = time.monotonic() + PATIENCE_S

    def look(self) -> None:
        who = self._who
        if who.exited or who.agent_pid is None or who.killing:
            return
        try:
            strays = [pid for pid in who.cell.own_members() if pid != who.agent_pid]
            if not strays:
                self._done([{"pid": pid, "name": name} for pid, name in list(self._killed.items())[:MOST_TOLD]])
                return
            for pid in strays:
                if len(self._killed) < MOST_TOLD and pid not in self._killed and (name := _name(pid)):
                    self._killed[pid] = name
            who.cell.kill_beside(who.agent_pid)
        except (OSError, ContainmentError):
            strays = []  # out of descriptors, say: it is looked again
        if time.monotonic() > self._until:
            self._done(ContainmentError(f"cannot kill what the turn left behind: {len(strays)} processes do not end"))
            return
        asyncio.get_running_loop().call_later(self._pause_s, self.look)
        self._pause_s = min(2 * self._pause_s, LONGEST_LOOK_S)


def _name(pid: int) -> str:
    return (procfs.read_bytes(f"/proc/{pid}/comm") or b"").decode("utf-8", "replace").strip()
