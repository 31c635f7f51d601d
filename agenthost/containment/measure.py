"""What a set of processes uses, from /proc, where no cgroup counts for us."""

from __future__ import annotations

from typing import Iterable

from agenthost.containment import procfs
from agenthost.containment.cell import Usage


def memory_bytes(pid: int) -> int:
    """Resident pages that belong to no file, 0 if it has gone. Those shared with a zygote count in full: to divide them
    (PSS) costs the kernel 0.3 ms for each process, and ``status`` asks for thousands."""
    pages = procfs.read_bytes(f"/proc/{pid}/statm")
    if not pages:
        return 0
    _, resident, shared, *_ = pages.split()
    return (int(resident) - int(shared)) * procfs.PAGE_BYTES


def cpu_s(pids: Iterable[int]) -> float:
    """Counts living processes and those children that they have waited for."""
    return sum(one.cpu_ticks for pid in pids if (one := procfs.stat(pid)) and one.alive) / procfs.TICKS_PER_S


def usage(pids: Iterable[int]) -> Usage:
    """``cpu_s`` as the function of that name."""
    found = [one for pid in pids if (one := procfs.stat(pid)) and one.alive]
    return Usage(
        processes=len(found),
        memory_bytes=sum(memory_bytes(one.pid) for one in found),
        cpu_s=sum(one.cpu_ticks for one in found) / procfs.TICKS_PER_S,
    )
