"""Reading log files: the last lines of some agents, and what comes after. No host is needed, and no living agent.

Files are looked at, never held open: five thousand of them would be too many. A file that was rotated meanwhile is
known by its inode and read to its end before its successor. Lines of several agents come in the order of their stamps.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from agenthost.observe.names import SUFFIX, log_name, path_of
from agenthost.observe.rotation import OLDEST
from agenthost.observe.selection import selects

_BLOCK_BYTES = 32 * 1024
_ROUND_BYTES = 1024 * 1024
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z (\S+) (out|err|log)([|+])(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an agent. ``stream`` "log" is the logger's own word; ``cut``: its end is the next one, or lost."""

    time_s: float
    """Seconds since the epoch, to the millisecond."""
    path: str
    incarnation: str
    stream: str
    text: str
    cut: bool = False

    @property
    def stamp(self) -> str:
        return datetime.fromtimestamp(self.time_s, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"

    def printable(self) -> str:
        """``text`` without what would act on a terminal: control characters other than tabs as ``\\x1b``."""
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", self.text)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines are wanted. ``grep`` is searched in the text; ``streams`` empty means all."""

    since_s: float | None = None
    """Seconds since the epoch."""
    grep: re.Pattern[str] | None = None
    streams: frozenset[str] = frozenset()

    def __call__(self, line: Line) -> bool:
        return (
            (self.since_s is None or line.time_s >= self.since_s)
            and (not self.streams or line.stream in self.streams)
            and (self.grep is None or self.grep.search(line.text) is not None)
        )


_EVERYTHING = Filter()


def logged_paths(folder: str, patterns: Sequence[str] = ()) -> list[str]:
    """Paths that have a log file, sorted; of these, those that ``patterns`` select (``selection``)."""
    return sorted(_names(folder, patterns))


def tail(folder: str, patterns: Sequence[str] = (), *, lines: int = 100, wanted: Filter = _EVERYTHING) -> list[Line]:
    """The last ``lines`` lines of all the selected agents together, oldest first. A missing folder has none."""
    marks = {path: _Mark.at_end(folder, name) for path, name in _names(folder, patterns).items()}
    return _last(folder, marks, lines, wanted)


def follow(
    folder: str,
    patterns: Sequence[str] = (),
    *,
    lines: int = 10,
    wanted: Filter = _EVERYTHING,
    poll_s: float = 0.1,
    wait: Callable[[float], object] = time.sleep,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Line]:
    """``tail``, then every line that comes, of new agents too, until ``stop()``. ``wait`` is what passes the time."""
    marks = {path: _Mark.at_end(folder, name) for path, name in _names(folder, patterns).items()}
    yield from _last(folder, marks, lines, wanted)
    seen: dict[str, str | None] = {}
    while not stop():
        fresh: list[Line] = []
        more = False
        for path, name in _names(folder, patterns, seen).items():
            mark = marks.get(path)
            if mark is None:
                mark = marks[path] = _Mark(name)
            taken = 0
            while taken < _ROUND_BYTES and (data := mark.advance(folder)):
                taken += len(data)
                fresh.extend(line for line in _parse_all(data, path) if wanted(line))
            more |= taken >= _ROUND_BYTES
        fresh.sort(key=lambda line: line.time_s)  # stable: lines of one file keep their order
        yield from fresh
        if not more:
            wait(poll_s)


def _names(folder: str, patterns: Sequence[str], seen: dict[str, str | None] | None = None) -> dict[str, str]:
    """Path to the name of its newest file. ``seen`` remembers names from one call to the next: "" was not selected."""
    exact = [pattern for pattern in patterns if not re.search(r"[*?\[]", pattern)]
    try:
        there = os.listdir(folder)
    except FileNotFoundError:
        return {}
    found = {}
    seen = {} if seen is None else seen
    for name in there:
        path = seen.get(name)
        if path is None:
            path = seen[name] = _selected(folder, name, patterns)
        if path:
            found[path] = name
    for path in exact:  # its newest file may be between two names of a rotation just now
        if path not in found and f"{log_name(path)}.1" in there:
            found[path] = log_name(path)
    return found


def _selected(folder: str, name: str, patterns: Sequence[str]) -> str | None:
    """The path; "" if it was not selected; None if it is not known yet: the file has no header so far."""
    path = path_of(folder, name)
    if path is None:
        return None if name.endswith(SUFFIX) else ""
    return path if not patterns or selects(patterns, path) else ""


@dataclass(slots=True)
class _Mark:
    """How far one path was read: the file by its inode, and where in it."""

    name: str
    inode: int = 0
    offset: int = 0

    @classmethod
    def at_end(cls, folder: str, name: str) -> _Mark:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                inode, start = os.fstat(file.fileno()).st_ino, file.seek(0, os.SEEK_END)
                while start > 0:  # an unfinished line is read when it is whole
                    low = max(start - _BLOCK_BYTES, 0)
                    file.seek(low)
                    end = file.read(start - low).rfind(b"\n")
                    if end >= 0:
                        return cls(name, inode, low + end + 1)
                    start = low
                return cls(name, inode, 0)
        except FileNotFoundError:
            return cls(name)

    def advance(self, folder: str) -> bytes:
        """Whole lines after the mark, at most a round's worth, from the file of the mark or the next that has some."""
        base = os.path.join(folder, self.name)
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(base)
            if found.st_ino == self.inode and found.st_size == self.offset:  # nearly always; thousands are asked
                return b""
        for inode in _inodes_from(base, self.inode):
            file = _open_inode(base, inode)
            if file is None:
                continue
            with file:
                if inode != self.inode:
                    self.inode, self.offset = inode, 0
                if os.fstat(file.fileno()).st_size < self.offset:  # emptied by hand
                    self.offset = 0
                file.seek(self.offset)
                data = file.read(_ROUND_BYTES)
            whole = data[: data.rfind(b"\n") + 1]
            if whole:
                self.offset += len(whole)
                return whole
        return b""


def _inodes(base: str, *, all_of_them: bool = True) -> list[int]:
    """Of the files of one path, newest first. A rotation meanwhile moves a file up, so none is overlooked."""
    found: list[int] = []
    for number in range(OLDEST + 1 if all_of_them else 1):
        with contextlib.suppress(FileNotFoundError):
            inode = os.stat(f"{base}.{number}" if number else base).st_ino
            if inode not in found:
                found.append(inode)
    return found


def _inodes_from(base: str, inode: int) -> list[int]:
    """From this one to the newest; from the oldest there is, if this one is gone."""
    if inode in _inodes(base, all_of_them=False):  # the usual case, for one stat(2)
        return [inode]
    every = _inodes(base)
    return every[every.index(inode) :: -1] if inode in every else every[::-1]


def _open_inode(base: str, inode: int) -> BinaryIO | None:
    """The file of ``base`` that has this inode, whatever it is called by now; None if it is gone."""
    for number in range(OLDEST + 1):
        try:
            file = open(f"{base}.{number}" if number else base, "rb")  # noqa: SIM115  # the caller closes it
        except FileNotFoundError:
            continue
        if os.fstat(file.fileno()).st_ino == inode:
            return file
        file.close()
    return None


def _last(folder: str, marks: dict[str, _Mark], count: int, wanted: Filter) -> list[Line]:
    """The newest ``count`` lines before the marks, oldest first, read backwards as far as is needed."""
    if count <= 0:
        return []
    newest_first = heapq.merge(
        *(_backwards(folder, path, mark, wanted) for path, mark in marks.items()),
        key=lambda line: line.time_s,
        reverse=True,
    )
    return [line for line, _ in zip(newest_first, range(count), strict=False)][::-1]


def _backwards(folder: str, path: str, mark: _Mark, wanted: Filter) -> Iterator[Line]:
    base = os.path.join(folder, mark.name)
    every = _inodes(base)
    older = every[every.index(mark.inode) + 1 :] if mark.inode in every else every
    for inode, end in ((mark.inode, mark.offset), *((inode, None) for inode in older)):
        for raw in _raw_backwards(base, inode, end):
            line = parse(raw, path)
            if line is None:
                continue
            if wanted.since_s is not None and line.time_s < wanted.since_s:
                return
            if wanted(line):
                yield line


def _raw_backwards(base: str, inode: int, end: int | None) -> Iterator[bytes]:
    """Lines of a file from ``end`` (None: its own) to its beginning. It is open only while a block is read."""
    rest = b""
    position = end
    while position is None or position > 0:
        file = _open_inode(base, inode)
        if file is None:
            return
        with file:
            if position is None:
                position = file.seek(0, os.SEEK_END)
            low = max(position - _BLOCK_BYTES, 0)
            file.seek(low)
            block = file.read(position - low) + rest
        position = low
        rest, *lines = block.split(b"\n")
        yield from (line for line in reversed(lines) if line)
    if rest:
        yield rest


def _parse_all(data: bytes, path: str) -> Iterable[Line]:
    for raw in data.split(b"\n"):
        line = parse(raw, path) if raw else None
        if line is not None:
            yield line


def parse(raw: bytes, path: str) -> Line | None:
    """One line of a file, without its end; None for a header or what somebody else wrote."""
    found = _LINE.fullmatch(raw.decode("utf-8", "replace"))
    if found is None:
        return None
    when, incarnation, stream, mark, text = found.groups()
    try:
        time_s = datetime.fromisoformat(f"{when}+00:00").timestamp()
    except ValueError:  # the 99th of a month
        return None
    return Line(time_s, path, incarnation, stream, text, cut=mark == "+")
