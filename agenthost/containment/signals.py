"""Sending a signal to exactly the process that is meant: pidfd first, identity second, signal third.

A pidfd names one process for ever (pidfd_open(2), Linux 5.3), so a check made after it was opened holds when the
signal is sent. This is the only file of containment that sends signals.
"""

from __future__ import annotations

import os
import signal
from typing import Callable

from agenthost.containment import procfs


def open_pidfd(pid: int) -> int | None:
    """A pidfd (close-on-exec), None if there is no such process."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        # EINVAL (ENOENT since 6.15): the pid is a thread's now, its process has gone
        if error.errno in (22, 2):
            return None
        raise


def send(pid: int, start_time: int, signum: int) -> bool:
    """Signal the process that has ``pid`` since ``start_time``. False if it has gone."""
    return send_if(pid, signum, lambda: procfs.start_time(pid) == start_time)


def send_if(pid: int, signum: int, still: Callable[[], bool]) -> bool:
    """Signal ``pid`` if ``still()``, asked once its pidfd is open, says it is the one. ``PermissionError`` passes."""
    pidfd = open_pidfd(pid)
    if pidfd is None:
        return False
    try:
        if not still():
            return False
        signal.pidfd_send_signal(pidfd, signum)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
