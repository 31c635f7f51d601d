"""How a set of processes uses the CPU: does it compute without pause, or work in short bursts between waits?

Reads /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst: ns run, ns waited for a CPU, times put on
one) and decides by differences alone; who is looked at, and what follows, is the host's. The rule: two agents that call
each other all day use half a CPU each, in bursts of 0.03 ms; they do not compute, whatever share they use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from agenthost.containment import procfs

MUCH_CPUS = 0.5
"""Who wants at least so much of a CPU may compute; the rest wait for something else most of the time."""
LITTLE_CPUS = 0.2
"""Who wants less computes no longer."""
STARVED = 0.05
"""Of its fair share. Beside a thread that computes at the ordinary weight (1,024 against 3) it gets a 300th, beside two
agents that call each other all the time a fifth of a CPU at least."""
BURST_S = 0.0005
"""At a time, on average. Slices of the kernel's scheduler are 3 ms, a call between agents takes 0.03 ms of CPU."""

Finding = Literal["computes", "pauses", "starves"]


class Times(NamedTuple):
    """Of one thread, since its birth."""

    ran_ns: int
    waited_ns: int
    slices: int


class Period(NamedTuple):
    """What all threads of a cell did in ``seconds``."""

    seconds: float
    ran_s: float
    waited_s: float
    """Ready to run while others ran."""
    slices: int

    @property
    def ran_cpus(self) -> float:
        return self.ran_s / self.seconds

    @property
    def wanted_cpus(self) -> float:
        return (self.ran_s + self.waited_s) / self.seconds


def begins_to_compute(period: Period, fair_cpus: float) -> bool:
    """It wants a CPU most of the time, takes its share of it, and keeps it for long when it has it.

    ``fair_cpus``: what one of all that are ready to run can expect, at most 1. Who is not given his share is no trouble
    to others, and would be less than nothing to himself if he gave way.
    """
    return (
        period.wanted_cpus >= MUCH_CPUS
        and period.ran_cpus >= MUCH_CPUS * fair_cpus
        and period.ran_s >= BURST_S * max(1, period.slices)
    )


def finding(period: Period, fair_cpus: float, is_ready: Callable[[], bool]) -> Finding:
    """Of a cell that gives way: it is sent off the CPU by everybody, so how long it ran at a time says nothing.

    ``fair_cpus``: its share if all that give way divide the CPUs. ``is_ready`` is asked of who hardly ran: the kernel
    counts a wait when it is over, and a starved thread waits for a second and more.
    """
    if period.ran_cpus < STARVED * fair_cpus:
        return "starves" if is_ready() else "pauses"
    return "computes" if period.wanted_cpus >= LITTLE_CPUS else "pauses"


def any_ready(pids: Iterable[int], tids: Iterable[int]) -> bool:
    """Does one of the threads run, or wait for nothing but a CPU? ``pids`` are their processes'."""
    wanted = set(tids)
    for pid in pids:
        for tid in wanted.intersection(threads(pid)):
            one = procfs.read_bytes(f"/proc/{pid}/task/{tid}/stat")
            if one and procfs.parse_stat(one).state == "R":
                return True
    return False


def read_times(pids: Iterable[int], most: int) -> dict[int, Times]:
    """By thread id, of at most ``most`` threads. Empty where the kernel does not count (CONFIG_SCHED_INFO)."""
    found: dict[int, Times] = {}
    for pid in pids:
        for tid in threads(pid):
            if len(found) >= most:
                return found
            times = parse_times(procfs.read_bytes(f"/proc/{pid}/task/{tid}/schedstat") or b"")
            if times is not None:
                found[tid] = times
    return found


def parse_times(data: bytes) -> Times | None:
    fields = data.split()
    return Times(*map(int, fields[:3])) if len(fields) >= 3 else None


def between(before: dict[int, Times], after: dict[int, Times], seconds: float) -> Period:
    """Threads that were not known count since their birth, those that ended not at all."""
    ran_ns = waited_ns = slices = 0
    for tid, now in after.items():
        then = before.get(tid)
        if then is None or now.ran_ns < then.ran_ns:  # the number is another thread's by now
            then = Times(0, 0, 0)
        ran_ns += now.ran_ns - then.ran_ns
        waited_ns += max(0, now.waited_ns - then.waited_ns)
        slices += max(0, now.slices - then.slices)
    return Period(max(seconds, 1e-6), ran_ns / 1e9, waited_ns / 1e9, slices)


def threads(pid: int) -> list[int]:
    """Empty if it has gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return []


def ready_to_run() -> int:
    """Threads of the whole machine that run or could, the caller among them (proc_loadavg(5), fourth field).

    Costs a few microseconds whatever runs. Where it cannot be known: more than one.
    """
    try:
        data = procfs.read_bytes("/proc/loadavg") or b""
        return int(data.split()[3].partition(b"/")[0])
    except (OSError, IndexError, ValueError):
        return 2
