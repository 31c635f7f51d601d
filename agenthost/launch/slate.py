"""Where an agent whose interpreter does not run leaves its stack: a memfd that a zygote and all it forks have open.

The handler is faulthandler's, written in C: it needs no interpreter lock. A zygote registers it once, and its children
are born with it, so an agent pays nothing for it. They share the file and the place in it (open(2)): one writes at a
time, whom the host has asked by a signal. Its size is sealed, so nobody can fill the memory by it.

There are three signals. After the first one the agent goes on; a system call that it sleeps in may end by it (EINTR),
so it is for those who ask for it. After the others it ends: the handler that comes next is that of no handler, which
ends a process (signal(7)). So C code that held the interpreter does not come back from a sleep that was cut short, and
no turn that was given up gets a reply. The third one tells no other thread, for where there are many: faulthandler
begins with the newest and tells no more than a hundred, so the main one would not be among them.
"""

from __future__ import annotations

import fcntl
import os
import signal

SIGNAL, LAST_SIGNAL, LAST_ALONE_SIGNAL = signal.SIGRTMAX - 4, signal.SIGRTMAX - 5, signal.SIGRTMAX - 6
"""Beside that of ``agent.interruption``."""
MOST_THREADS = 100
"""Of all are told, of a hundred calls each (CPython 3.11, Python/traceback.c)."""
SLATE_BYTES = 2 * 1024 * 1024
"""Room for all of it; it takes memory as far as it was written."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Slate:
    """The host's end. It stays open as long as somebody who writes to it is known (``Born.slate``)."""

    def __init__(self) -> None:
        """``OSError``."""
        self.descriptor = os.memfd_create("agenthost-stacks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, SLATE_BYTES)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        self.taken_by: tuple[int, int] | None = None
        """Pid and start time of one that was asked and has not written: it still may."""

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def wipe(self) -> None:
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    @property
    def written_bytes(self) -> int:
        """Since it was wiped."""
        return min(SLATE_BYTES, os.lseek(self.descriptor, 0, os.SEEK_CUR))

    def read(self) -> bytes:
        return os.pread(self.descriptor, self.written_bytes, 0)


def take_up(descriptor: int) -> None:
    """In a zygote, after its signals were made fresh: from here on both write the stack of whoever gets them."""
    import faulthandler

    faulthandler.register(SIGNAL, file=descriptor, all_threads=True, chain=False)
    faulthandler.register(LAST_SIGNAL, file=descriptor, all_threads=True, chain=True)
    faulthandler.register(LAST_ALONE_SIGNAL, file=descriptor, all_threads=False, chain=True)
