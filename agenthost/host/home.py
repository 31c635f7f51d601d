"""The host's state folder: one host at a time, a boot number that only grows."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agenthost.errors import StateError
from agenthost.transport.places import Places


class Home:
    """Holds the lock of the state folder until ``close``. ``StateError`` if another host holds it. ``beyond`` is a boot
    that something is left of, though the state folder may not know of it."""

    def __init__(self, places: Places, beyond: int = 0) -> None:
        self._fd = _lock(places.lock, places.name)
        self.boot = _next_boot(places.boot, beyond)

    def close(self) -> None:
        os.close(self._fd)


def _lock(path: Path, name: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"cannot open {path}: {error.strerror}", hint="is its disk writable?") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StateError(
            f"cannot start host {name!r}: another one holds {path}",
            hint="stop that one, or give this one another name with --name",
        ) from None
    return fd


def _next_boot(path: Path, beyond: int) -> int:
    """Read, add one, make it durable before anybody hears of it: incarnations of two boots must never look alike."""
    try:
        last = int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        last = 0
    except (ValueError, UnicodeDecodeError):
        raise StateError(
            f"cannot read the boot number in {path}", hint="write into it a number larger than any boot so far"
        ) from None
    last = max(last, beyond)
    fresh = path.with_name(path.name + ".new")
    try:
        with open(fresh, "w", encoding="ascii") as file:
            file.write(f"{last + 1}\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}", hint="is the disk full or read-only?") from None
    return last + 1
