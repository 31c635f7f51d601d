"""What the main process of an incarnation has left at its end: how long it had lived, what it had used, and processes
that are killed now. Read before the cell is taken apart.
"""

from __future__ import annotations

import time
from typing import Any

from agenthost.errors import ContainmentError
from agenthost.host.incarnation import Incarnation

LEFT_BEHIND = 20
"""Processes that are named."""


def usage(incarnation: Incarnation) -> dict[str, Any]:
    """What the kernel has counted for its cell. ``OSError``, ``ContainmentError``: that cannot be read now."""
    cpu_s = incarnation.cell.cpu_s()
    found: dict[str, Any] = {"lived_s": round(time.monotonic() - incarnation.began_at, 3)}
    if cpu_s is not None:
        found["cpu_s"] = round(cpu_s, 3)
    return found


def left_behind(incarnation: Incarnation) -> list[str]:
    """What its main process has left, and is killed now."""
    found = []
    try:
        pids = incarnation.cell.own_members()
    except (OSError, ContainmentError):
        return []
    main = incarnation.born.pid if incarnation.born is not None else 0
    pids = [pid for pid in pids if pid != main]
    for pid in pids[:LEFT_BEHIND]:
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                found.append(f"{file.read().strip()} (pid {pid})")
        except OSError:
            continue  # it has ended
    more = len(pids) - LEFT_BEHIND
    return [*found, f"and {more} more"] if more > 0 else found
