"""What a process must not keep of the one that made it: a dead parent, its descriptors, its signals.

Imported by every newborn, so it imports next to nothing.
"""

from __future__ import annotations

import os
import select
import signal


def exit_if_dead(pidfd: int) -> None:
    """The parent-death signal does not fire for a parent that was gone before it was set."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if poll.poll(0):
        os._exit(0)


def close_all_but(kept: set[int]) -> None:
    low = 0
    for descriptor in sorted(kept):
        if low < descriptor:  # an empty range means "all" to Python 3.11
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 0x7FFFFFFF)  # close_range(2): one call, whatever the limit of descriptors


def fresh_signals() -> None:
    """Dispositions of a new interpreter, nothing blocked. What is ignored would survive an exec."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        elif number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        else:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
