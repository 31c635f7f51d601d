"""A log file that is appended to, rotated, and never the death of its writer.

Bytes arrive as whole lines and stay whole: what a full disk cut is taken back. What could not be written is counted,
and a line says so once there is space again. The rule: ``append`` raises nothing, whatever the disk does.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable

from agenthost.observe.names import HEADER, is_cut, log_name

MAX_BYTES = 10 * 1024 * 1024
KEEP = 3
"""Files of one path, the newest included."""
OLDEST = 9
"""No rotated file has a higher number."""
MAX_OPEN = 256

_LOOK_AGAIN_S = 1.0


def stamp(now: float) -> bytes:
    """``2026-11-23T14:35:01.123Z``, UTC."""
    whole = int(now)
    return b"%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)).encode(), int((now - whole) * 1000))


class LogFile:
    """The newest file of one path, open or not. ``dropped_*`` count since the last line that told of them."""

    __slots__ = (
        "_checked",
        "_fd",
        "_name",
        "_size",
        "dropped_bytes",
        "dropped_lines",
        "error",
        "keep",
        "max_bytes",
        "path",
    )

    def __init__(self, folder: str, path: str, *, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
        self.path, self.max_bytes, self.keep = path, max_bytes, keep
        self._name = os.path.join(folder, log_name(path))
        self._fd = -1
        self._size = 0
        self._checked = 0.0
        self.dropped_lines = self.dropped_bytes = 0
        self.error = ""

    def append(self, lines: bytes) -> None:
        """``lines`` ends with a line end. One write, unless the disk is full or the file is."""
        start = 0
        while len(lines) - start > self.max_bytes:  # one read of short lines grows by twenty times with their stamps
            end = lines.rfind(b"\n", start, start + self.max_bytes) + 1 or lines.index(b"\n", start) + 1
            self._append(lines[start:end])
            start = end
        if start < len(lines):
            self._append(lines[start:] if start else lines)

    def _append(self, lines: bytes) -> None:
        now = time.monotonic()
        try:
            if self._fd >= 0 and now - self._checked > _LOOK_AGAIN_S:
                self._look_again(now)
            if self._fd < 0:
                self._open()
            if self._size and self._size + len(lines) > self.max_bytes:
                self._rotate()
            if self.dropped_lines:
                self._write(self._what_was_dropped())
                self.dropped_lines = self.dropped_bytes = 0
            self._write(lines)
        except _Cut as cut:
            self._drop(lines[cut.written :] if cut.data is lines else lines, cut.error)
        except OSError as error:
            self._drop(lines, error)

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # close(2) can report an earlier write's EIO; nothing is to be done
                os.close(self._fd)
            self._fd = -1

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def _drop(self, lines: bytes, error: OSError) -> None:
        self.dropped_lines += lines.count(b"\n")
        self.dropped_bytes += len(lines)
        self.error = error.strerror or str(error)

    def _what_was_dropped(self) -> bytes:
        text = f"{self.dropped_lines} lines ({self.dropped_bytes} bytes) could not be written: {self.error}"
        return stamp(time.time()) + b" - log|" + text.encode() + b"\n"

    def _write(self, data: bytes) -> None:
        """All of it, or ``_Cut`` with whole lines written."""
        written = 0
        while written < len(data):
            try:
                written += os.write(self._fd, data[written:] if written else data)
            except OSError as error:
                whole = data.rfind(b"\n", 0, written) + 1
                with contextlib.suppress(OSError):  # the next open puts a line end after what is left of the cut line
                    os.ftruncate(self._fd, self._size + whole)
                self._size += whole
                if whole < written:
                    self.close()
                raise _Cut(data, whole, error) from error
        self._size += written

    def _look_again(self, now: float) -> None:
        """Somebody may have removed the file, or put another in its place."""
        self._checked = now
        try:
            here, there = os.fstat(self._fd), os.stat(self._name)
        except FileNotFoundError:
            self.close()
            return
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            self.close()
        elif here.st_size != self._size:
            self._size = here.st_size

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(self._name, flags, 0o640)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._name), mode=0o700, exist_ok=True)
            self._fd = os.open(self._name, flags, 0o640)
        self._checked = time.monotonic()
        self._size = os.fstat(self._fd).st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._write(b"\n")  # a writer before us was killed in the middle of a line
        if not self._size and is_cut(os.path.basename(self._name)):
            self._write(f"{HEADER}{self.path}\n".encode())

    def _rotate(self) -> None:
        self.close()
        for number in range(self.keep - 1, 0, -1):
            older = f"{self._name}.{number}"
            newer = f"{self._name}.{number - 1}" if number > 1 else self._name
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, older)
        if self.keep == 1:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name)
        for number in range(self.keep, OLDEST + 1):  # of a time when more were kept
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._name}.{number}")
        self._open()


class _Cut(Exception):
    """``data`` was written up to ``written``, the end of a line."""

    def __init__(self, data: bytes, written: int, error: OSError) -> None:
        super().__init__(error)
        self.data, self.written, self.error = data, written, error


class LogFiles:
    """The log files of many paths, at most ``max_open`` of them open."""

    def __init__(self, make: Callable[[str], LogFile], *, max_open: int = MAX_OPEN) -> None:
        self._make = make
        self._max_open = max_open
        self._files: dict[str, LogFile] = {}
        self._open: OrderedDict[str, LogFile] = OrderedDict()

    def bound(self, path: str, max_bytes: int, keep: int) -> None:
        """How much of ``path`` is kept from now on; 0 as usual."""
        usual = self._make(path)
        file = self._files.get(path)
        if file is None and (max_bytes or keep):
            file = self._files[path] = usual
        if file is not None:
            file.max_bytes, file.keep = max_bytes or usual.max_bytes, keep or usual.keep

    def append(self, path: str, lines: bytes) -> None:
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = self._make(path)
        if path in self._open:
            self._open.move_to_end(path)
        else:
            if len(self._open) >= self._max_open:
                self._open.popitem(last=False)[1].close()
            self._open[path] = file
        file.append(lines)

    def forget(self, path: str) -> None:
        """Nobody writes to ``path`` for now. What was dropped is still told of when somebody does."""
        file = self._open.pop(path, None)
        if file is not None:
            file.close()
        file = self._files.get(path)
        if file is not None and not file.dropped_lines:
            del self._files[path]

    def close(self) -> None:
        for path in list(self._open):
            self.forget(path)
