"""What a set of processes uses, from /proc, where no cgroup counts for us."""

from __future__ import annotations

from typing import Iterable

from agenthost.containment import procfs
from agenthost.containment.cell import Usage


def memory_bytes(pid: int) -> int:
    """Proportional set size: pages shared with the zygote are divided among all who share them (Linux 4.14).

    Resident size where the kernel does not tell us (another user's process); 0 if it has gone.
    """
    try:
        data = procfs.read_bytes(f"/proc/{pid}/smaps_rollup")
        for line in (data or b"").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
        return 0
    except PermissionError:
        pages = procfs.read_bytes(f"/proc/{pid}/statm")
        return int(pages.split()[1]) * procfs.PAGE_BYTES if pages else 0


def usage(pids: Iterable[int]) -> Usage:
    """``cpu_s`` counts living processes and those children that they have waited for."""
    found = [one for pid in pids if (one := procfs.stat(pid)) and one.alive]
    return Usage(
        processes=len(found),
        memory_bytes=sum(memory_bytes(one.pid) for one in found),
        cpu_s=sum(one.cpu_ticks for one in found) / procfs.TICKS_PER_S,
    )
