"""A file that is nowhere but in memory, for what no disk may hold: a secret that a program wants to read as a file."""

from __future__ import annotations

import fcntl
import os

_FIRST_NUMBER = 256
"""Above what a program may have asked its readiness pipe to be called."""


def file_in_memory(name: str, content: bytes) -> str:
    """Its path, good for this process and what inherits its descriptors, also after exec. ``OSError``."""
    memory = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(memory, left) :]
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        number = fcntl.fcntl(memory, fcntl.F_DUPFD, _FIRST_NUMBER)  # stays open over exec
    finally:
        os.close(memory)
    return f"/proc/self/fd/{number}"
