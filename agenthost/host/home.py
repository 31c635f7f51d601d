"""The host's state folder: one host at a time, a boot number that only grows, and whether the last boot was cut off."""

from __future__ import annotations

import contextlib
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
        self._begun = places.begun
        self.cut_off = _number_in(self._begun)
        """An earlier boot that had begun to start its tree and has not ended as planned; 0 if there is none."""
        self.boot = _next_boot(places.boot, beyond)

    def begin(self) -> None:
        """What is in the tree is started now."""
        with contextlib.suppress(OSError):  # a full disk: it would be told of later, that is all
            self._begun.write_text(f"{self.boot}\n", encoding="ascii")

    def close(self) -> None:
        """The planned end."""
        try:
            self._begun.unlink(missing_ok=True)
        finally:
            os.close(self._fd)


def _number_in(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


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
