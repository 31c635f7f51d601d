"""The tree as plain data, for ``status``, ``ps`` and ``tree``: what the core decided and what the kernel says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from agenthost.containment import in_time, procfs
from agenthost.containment.cell import Cell
from agenthost.containment.means import Means, set_limits
from agenthost.core import view
from agenthost.core.birth import AgentBirth, Limits
from agenthost.core.tree import State, Worker
from agenthost.host.incarnation import Incarnation
from agenthost.host.process_tree import WORDS_S, words


class Status:
    """``present(path)`` is the incarnation that runs now; ``clock`` is the core's; ``had`` is what holds limits."""

    def __init__(
        self,
        state: State,
        present: Callable[[str], Incarnation | None],
        clock: Callable[[], float],
        outer_proc: int | None,
        had: Means,
    ) -> None:
        self._state, self._present, self._clock, self._outer_proc = state, present, clock, outer_proc
        self._had = had

    def rows(self, patterns: list[str], *, members: bool = False) -> list[dict[str, Any]]:
        """One dictionary a node, in start order, depth first; ``members`` adds each cell's processes."""
        return [
            self._row(row, members)
            for row in view.rows(self._state)
            if not patterns or any(_matches(row.path, pattern) for pattern in patterns)
        ]

    def outer_pid(self, pidfd: int) -> int | None:
        """The pid as seen from outside the host's namespace (``Pid:`` of fdinfo in the outer /proc)."""
        try:
            fd = os.open(f"self/fdinfo/{pidfd}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._outer_proc)
        except (OSError, TypeError):
            return None
        try:
            for line in os.read(fd, 4096).splitlines():
                name, _, value = line.partition(b":")
                if name == b"Pid":
                    return int(value)
        finally:
            os.close(fd)
        return None

    def _row(self, row: view.Row, members: bool) -> dict[str, Any]:
        now, wall = self._clock(), time.time()
        found: dict[str, Any] = {
            "path": row.path,
            "kind": row.kind,
            "state": row.state,
            "pid": None,
            "incarnation": None,
            "restarts": row.restarts,
            "since": wall - (now - row.since) if row.since else None,
            "reason": row.reason,
            "next": f"restart in {max(0.0, row.due_at - now):.1f} s" if row.due_at is not None else None,
            "restart": row.restart,
            "held": row.held,
            "flags": [],
        }
        if row.strategy is not None:
            found["strategy"] = row.strategy
            found["pool"] = row.pool
            if row.pool:
                found |= {"live": row.members, "live_limit": row.live}
            return found
        node = self._state.nodes[row.path]
        assert isinstance(node, Worker)
        found["protocol"] = "agent" if isinstance(node.spec.birth, AgentBirth) else "none"
        incarnation = self._present(row.path)
        if incarnation is not None:
            found["incarnation"] = incarnation.name
            found["pid"] = self.pid(incarnation)
            found["code"] = (incarnation.born.code if incarnation.born else "") or None
            found["user"] = incarnation.birth.user
            found["cell"] = _cell(incarnation.cell, incarnation.birth.limits, self._had)
            found["flags"] = ["busy"] if incarnation.beat_at is not None else []
            found["flags"] += ["computing"] if incarnation.computing else []
            found["flags"] += ["interrupting"] if node.interruption is not None else []
            found["flags"] += ["frozen"] if row.frozen else []
            if incarnation.says:
                found["says"] = incarnation.says
            if members:
                found["members"] = list(self._processes(incarnation))
        return found

    def pid(self, incarnation: Incarnation) -> int | None:
        """The agent's own process, seen from outside where that can be known."""
        if incarnation.born is None or incarnation.exited:
            return None
        pid = incarnation.agent_pid or incarnation.born.pid
        return self.seen_outside(pid)

    def seen_outside(self, pid: int) -> int | None:
        """None if it has ended."""
        if self._outer_proc is None:
            return pid
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            return self.outer_pid(pidfd)
        finally:
            os.close(pidfd)

    def _processes(self, incarnation: Incarnation) -> Iterator[dict[str, Any]]:
        pids = incarnation.cell.own_members()  # those of its children are listed with them
        words_of = in_time.look(words, pids, WORDS_S)
        for pid in pids:
            if (name := procfs.read_bytes(f"/proc/{pid}/comm")) is None:
                continue  # it has ended
            shown = name.decode("utf-8", "replace").strip()
            command = " ".join(words_of.get(pid, ()))[:200] or f"[{shown}]"  # as ps shows who has no words
            if isinstance(incarnation.birth, AgentBirth) and pid == incarnation.agent_pid:
                command = incarnation.birth.agent  # its own words are those of the zygote that it was forked from
            yield {"pid": self.seen_outside(pid), "name": shown, "command": command}


def _cell(cell: Cell, limits: Limits, had: Means) -> dict[str, Any]:
    usage = cell.usage()
    return {
        "tier": cell.tier,
        "processes": usage.processes,
        "memory_bytes": usage.memory_bytes,
        "cpu_s": round(usage.cpu_s, 3) if usage.cpu_s is not None else None,
        "limits": {limit: had[limit].by for limit in set_limits(limits)},
    }


def _matches(path: str, pattern: str) -> bool:
    """A path, a path and all below it, or a glob."""
    wanted = "/" + pattern.strip("/")
    return wanted in ("/", path) or path.startswith(wanted + "/") or fnmatchcase(path, wanted)
