"""What the kernel counts of a process: memory, and time on a CPU."""

from __future__ import annotations

import os


def memory_kb(pid: int, *fields: str) -> int:
    """The sum of some fields of /proc/PID/smaps_rollup (proc(5)), such as Pss."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.partition(":")[0] in fields)


def cpu_s(pid: int) -> float:
    """Of all its threads. schedstat counts in nanoseconds; the ticks of /proc/PID/stat are too coarse."""
    total_ns = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total_ns += int(file.read().split()[0])
    return total_ns / 1e9
