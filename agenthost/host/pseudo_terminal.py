"""A terminal that nobody sits at, for programs that want one (pty(7)): what they write is captured as their stdout.

The newborn makes it its controlling terminal, never the host: it opens its end with O_NOCTTY. Nothing is ever typed, so
a program that reads waits, as at any terminal that is left alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

from agenthost.errors import StartFailed

ROWS, COLUMNS = 40, 120
TERM = "xterm-256color"
FOREIGN = ("LINES", "COLUMNS", "TERMCAP", "COLORTERM")
"""Variables that tell of the terminal that the host was started at."""


def make_terminal() -> tuple[int, int]:
    """``(ours, the program's)``, close-on-exec. ``StartFailed`` if there are no more, or none at all."""
    try:
        ours, theirs = os.openpty()
    except OSError as error:
        hint = "the limit is /proc/sys/kernel/pty/max" if error.errno == errno.ENOSPC else "is /dev/pts mounted?"
        raise StartFailed(f"cannot make a terminal: {error.strerror or error}", hint=hint) from None
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    return ours, theirs
