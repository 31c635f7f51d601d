"""The births file: who was born, written before foreign code runs, so that a later life of the host finds strays.

One JSON array a line, appended by one small O_APPEND write; no fsync, for after a power cut nobody lives who could be
found. A torn last line is passed over. The file is rewritten when most of its lines are of the dead. One writer: who
holds the lock of the state folder.
"""

from __future__ import annotations

import json
import os
from dataclasses import astuple, dataclass
from typing import Iterable

from agenthost.containment import procfs

SLACK_LINES = 4096
"""So many lines of the dead are borne before the file is rewritten."""


@dataclass(frozen=True, slots=True)
class Born:
    """``pid`` as seen in ``pid_namespace``; ``start_time`` in ticks; ``folder`` is the cell's cgroup or ""."""

    boot_id: str
    pid_namespace: int
    pid: int
    start_time: int
    path: str
    incarnation: str
    folder: str = ""

    def lives(self) -> bool:
        return procfs.living(self.pid, self.start_time) is not None


def line_of(born: Born) -> bytes:
    return json.dumps(astuple(born), ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def parse(data: bytes) -> list[Born]:
    """All whole lines that say what they should; the rest is passed over."""
    found = []
    for line in data.split(b"\n"):
        try:
            fields = json.loads(line)
            if isinstance(fields, list) and list(map(type, fields)) == [str, int, int, int, str, str, str]:
                found.append(Born(*fields))
        except ValueError:  # empty, torn or foreign; UnicodeDecodeError and JSONDecodeError are ValueErrors
            continue
    return found


def read(path: str) -> list[Born]:
    """Empty if there is no file."""
    try:
        with open(path, "rb") as file:
            return parse(file.read())
    except FileNotFoundError:
        return []


class BirthsFile:
    """Opened at host start, after the sweep: what was in it and no longer lives is dropped."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._here = (procfs.machine_boot_id(), procfs.pid_namespace())
        self._living = {one.pid: one for one in read(path) if (one.boot_id, one.pid_namespace) == self._here}
        self._living = {pid: one for pid, one in self._living.items() if one.lives()}
        self._fd = -1
        self._lines = 0
        self._rewrite()

    def append(self, pid: int, start_time: int, path: str, incarnation: str, folder: str = "") -> None:
        """On disk, as far as a crash of the host is concerned, when this returns. ``OSError`` if the disk is full."""
        born = Born(*self._here, pid, start_time, path, incarnation, folder)
        line = line_of(born)
        if os.write(self._fd, line) != len(line):
            os.write(self._fd, b"\n")  # a disk that is almost full took half a line: end it, try the whole once more
            if os.write(self._fd, line) != len(line):
                raise OSError(28, f"cannot write {self._path}: no space left on the disk")
        self._living[pid] = born
        self._lines += 1

    def forget(self, pid: int) -> None:
        """Its cell is empty. The line goes when the file is rewritten next."""
        self._living.pop(pid, None)
        if self._lines > 2 * len(self._living) + SLACK_LINES:
            self._rewrite()

    def living(self) -> list[Born]:
        return list(self._living.values())

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _rewrite(self) -> None:
        fresh = f"{self._path}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, self._living.values())
            os.rename(fresh, self._path)
        except OSError:
            os.close(fd)
            raise
        self.close()
        self._fd, self._lines = fd, len(self._living)


def _write_all(fd: int, births: Iterable[Born]) -> None:
    data = memoryview(b"".join(map(line_of, births)))
    while data:
        data = data[os.write(fd, data) :]
