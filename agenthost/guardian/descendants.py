"""Ending everything below a process by walking ``/proc``: the way without namespace and cgroup.

A process is named by its pid and its start time (field 22 of ``stat``, proc(5)), and signalled by pidfd, so a number
that was reused is never hit. Stopping comes before killing, or what forks would stay ahead of the walk. What forks and
exits faster than a walk takes is met elsewhere: its orphans become children of the subreaper, which sees them at once.
"""

from __future__ import annotations

import os
import signal

Process = tuple[int, int]
"""pid, start time in ticks since boot."""

_ZOMBIE, _DEAD = "Z", "X"
_WALKS = 50
_ROUNDS = 200


def below(root: int, spared: frozenset[Process] = frozenset()) -> list[Process]:
    """Every process below ``root``, zombies too; not ``spared`` ones nor what is below those."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))):
            _, parent, start = stat
            children.setdefault(parent, []).append((int(name), start))
    found: list[Process] = []
    unseen = [root]
    while unseen:
        for process in children.get(unseen.pop(), ()):
            if process not in spared:
                found.append(process)
                unseen.append(process[0])
    return found


def kill_below(root: int, spared: frozenset[Process] = frozenset()) -> list[Process]:
    """Stop all, until a walk finds no new one, then KILL all. Returns those that were found.

    One walk is no snapshot, and a fork bomb may outrun the stops: call until it finds none and ``has_children`` agrees.
    """
    stopped: set[Process] = set()
    for _ in range(_WALKS):
        new = [process for process in below(root, spared) if process not in stopped]
        if not new:
            break
        for process in new:
            _send(process, signal.SIGSTOP)
        stopped.update(new)
    for process in stopped:
        _send(process, signal.SIGKILL)
    return sorted(stopped)


def kill_orphans(spared: frozenset[Process] = frozenset()) -> None:
    """KILL and reap our own children until there are none, or for ``_ROUNDS``; theirs become ours by that.

    ``/proc/PID/task/TID/children`` (proc(5), CONFIG_PROC_CHILDREN) costs microseconds where a walk costs milliseconds.
    A child's number cannot be reused before we reap it, so it is signalled as it is.
    """
    spared_pids = {pid for pid, _ in spared}
    for _ in range(_ROUNDS):
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                pids = set(map(int, file.read().split())) - spared_pids
        except FileNotFoundError:  # a kernel without it: the walk has to do
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except PermissionError:  # it has changed its uid
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if not pids:
            return


def has_children() -> bool:
    """A subreaper without a child has no descendant at all: every orphan below it would be its child."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _stat(pid: int) -> tuple[str, int, int] | None:
    """state, parent, start time; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name may hold spaces and brackets
    except OSError:
        return None
    return fields[0].decode(), int(fields[1]), int(fields[19])


def _send(process: Process, signum: int) -> None:
    pid, start = process
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        stat = _stat(pid)
        if stat and stat[2] == start and stat[0] not in (_ZOMBIE, _DEAD):
            signal.pidfd_send_signal(pidfd, signum)
    except OSError:  # gone, or not ours to signal
        return
    finally:
        os.close(pidfd)
