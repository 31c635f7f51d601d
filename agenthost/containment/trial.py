"""Tries one mechanism for real: ``trial cgroup FOLDER``, ``trial pidns root`` or ``trial pidns user``. ``tiers`` starts
it as a process of its own because it forks, and a host that may have threads must not.

Exit status 0: it works. 1: refused; the reason is on stdout. Leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from agenthost import kernel

PREFIX = "agenthost-trial."
FORGOTTEN_S = 60.0


def _remove_forgotten(folder: str) -> None:
    """Groups of trials that were killed before they could do it."""
    with os.scandir(folder) as found:
        for one in found:
            with contextlib.suppress(OSError):  # it was removed meanwhile, or somebody is in it
                if one.name.startswith(PREFIX) and time.time() - one.stat().st_mtime > FORGOTTEN_S:
                    os.rmdir(one.path)


def _born(flags: int = 0, cgroup_fd: int | None = None) -> tuple[int, int]:
    """A child that sleeps until it is killed."""
    pid, pidfd = kernel.clone(flags, cgroup_fd=cgroup_fd)
    if pid == 0:
        kernel.set_parent_death_signal(signal.SIGKILL)
        while True:
            signal.pause()
    return pid, pidfd


def _killed(pid: int) -> bool:
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def try_cgroup(folder: str) -> None:
    """A process is born in a new cgroup below ``folder``, and ended through it."""
    _remove_forgotten(folder)
    # Not our pid: hosts that begin at the same time have the same one, each in a PID namespace of its own.
    group = f"{folder}/{PREFIX}{os.urandom(8).hex()}"
    os.mkdir(group)
    try:
        fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        pid, pidfd = _born(cgroup_fd=fd)
        try:
            with open(f"{group}/cgroup.kill", "w", encoding="ascii") as file:
                file.write("1")
        except FileNotFoundError:  # before 5.14: freeze and pidfd do
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not _killed(pid):
            raise OSError(0, "a process outlived its cgroup's end")
    finally:
        os.rmdir(group)


def try_pidns(user_namespace: bool) -> None:
    """A process is born as the init of a PID namespace, and ended."""
    pid, pidfd = _born(kernel.CLONE_NEWPID | (kernel.CLONE_NEWUSER if user_namespace else 0))
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    if not _killed(pid):
        raise OSError(0, "the init of a PID namespace ended by itself")


def main() -> int:
    try:
        if sys.argv[1] == "cgroup":
            try_cgroup(sys.argv[2])
        else:
            try_pidns(user_namespace=sys.argv[2] == "user")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
