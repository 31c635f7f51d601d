"""Signals as bytes in a pipe, and a fork that none of them can fall into.

Rule: a signal that arrives is counted exactly once, by the guardian. A child that has not yet left the terminal's
process group would write its own copy into the shared pipe, so every fork happens with all signals blocked, and the
child forgets them before it unblocks.
"""

from __future__ import annotations

import os
import signal

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


def _noted(signum: int, frame: object) -> None:
    """The number is in the pipe already (``signal.set_wakeup_fd``)."""


class Signals:
    def __init__(self) -> None:
        self.hangup_was_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # as nohup(1) does
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for signum in HEARD:
            signal.signal(signum, _noted)

    def try_read(self) -> bytes:
        """The numbers that arrived since the last time, in order; empty when there are none."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""


def hold() -> None:
    """Block every signal, in front of a fork."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def forget() -> None:
    """In a child, with signals held: default actions only, nothing pending, then release.

    Ignoring discards what is pending (sigaction(2)). An ignored signal would also survive exec, Python's own SIGPIPE
    among them.
    """
    signal.set_wakeup_fd(-1)
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signum, signal.SIG_IGN)
        signal.signal(signum, signal.SIG_DFL)
    release()
