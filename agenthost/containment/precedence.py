"""Who gives way on the CPU: threads of SCHED_IDLE (sched(7)) leave it at once to whoever wakes on it, and a CPU that
runs nothing else counts as free for those who wake.

Nothing weaker will do. Since lazy preemption (Linux 6.12) who wakes beside a computing thread waits for the next tick
of the clock, 4 ms at CONFIG_HZ 250, whatever the weights; calls between two agents beside a busy one had a p99 of 15
to 19 times the undisturbed, with nice 19 9 to 13, in a cpu group of its own 11, with slices of 0.1 ms 17, with
SCHED_IDLE 0.8. The rule: only who has the ordinary policy is changed, and only where it can be undone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import threading

from agenthost.containment import pace

CAP_SYS_NICE = 1 << 23
RLIMIT_NICE = getattr(resource, "RLIMIT_NICE", 13)
ORDINARY = os.sched_param(0)


def refusal() -> str:
    """Why no thread can be made to give way here, with what to do; "" if it can.

    Tried on a thread of our own: to leave SCHED_IDLE takes a right (sched(7)), and a seccomp filter may forbid either.
    """
    over = threading.Event()
    trial = threading.Thread(target=over.wait, name="trial", daemon=True)
    trial.start()
    assert trial.native_id is not None
    try:
        if not (_is_capable() or _may_leave(os.getpid(), trial.native_id)):
            return "SCHED_IDLE could not be undone; set LimitNICE=-5 (RLIMIT_NICE) or give CAP_SYS_NICE"
        os.sched_setscheduler(trial.native_id, os.SCHED_IDLE, ORDINARY)
        os.sched_setscheduler(trial.native_id, os.SCHED_OTHER, ORDINARY)
    except OSError as error:
        return f"the kernel refuses sched_setscheduler: {error.strerror}; set LimitNICE=-5 or give CAP_SYS_NICE"
    finally:
        over.set()  # not joined: should it be left at SCHED_IDLE, it may not run for a while
    if pace.parse_times(_own_times()) is None:
        return "the kernel does not count how long threads run (CONFIG_SCHED_INFO)"
    return ""


def kept_apart() -> str:
    """What keeps threads outside of every cpu group from giving way to those of other sessions; "" if nothing does."""
    try:
        with open("/proc/sys/kernel/sched_autogroup_enabled", "rb") as file:
            enabled = file.read().strip() == b"1"
    except OSError:
        return ""
    if not enabled:
        return ""
    return (
        "every session is a group to the scheduler (sched(7), autogroup), and who gives way does so only inside of it; "
        "set kernel.sched_autogroup_enabled=0, or use cgroups"
    )


def lower(pid: int) -> set[int]:
    """All threads of the process give way, and what they start. Returns those that did so already."""
    before = set()
    for tid in pace.threads(pid):
        with contextlib.suppress(OSError):  # it has ended, or belongs to a user whom we have no power over
            # A number is not used again before all others were: not in the moment since it was read.
            policy = os.sched_getscheduler(tid)
            if policy == os.SCHED_IDLE:
                before.add(tid)
            elif policy == os.SCHED_OTHER and (_is_capable() or _may_leave(pid, tid)):
                os.sched_setscheduler(tid, os.SCHED_IDLE, ORDINARY)  # its nice value is kept
    return before


def restore(pid: int, spared: set[int]) -> bool:
    """The ordinary policy for all threads that give way but ``spared``. True if there were any."""
    found = False
    for tid in pace.threads(pid):
        with contextlib.suppress(OSError):  # it has ended
            if tid not in spared and os.sched_getscheduler(tid) == os.SCHED_IDLE:
                os.sched_setscheduler(tid, os.SCHED_OTHER, ORDINARY)
                found = True
    return found


@functools.cache
def _is_capable() -> bool:
    """CAP_SYS_NICE counts in the first user namespace only: that of a namespace's own root is worth nothing here."""
    with open("/proc/self/status", "rb") as file:
        held = next((int(line.split()[1], 16) for line in file if line.startswith(b"CapEff:")), 0)
    with open("/proc/self/uid_map", "rb") as file:
        first = file.read().split() == [b"0", b"0", b"4294967295"]
    return first and bool(held & CAP_SYS_NICE)


def _may_leave(pid: int, tid: int) -> bool:
    """Without the right, the limit of the process that gives way says whether it may come back (kernel: can_nice)."""
    soft, _ = resource.prlimit(pid, RLIMIT_NICE)
    return soft == resource.RLIM_INFINITY or soft >= 20 - os.getpriority(os.PRIO_PROCESS, tid)


def _own_times() -> bytes:
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            return file.read()
    except OSError:
        return b""
