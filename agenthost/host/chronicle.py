"""Everything that was recorded: a ring of the last records, those who follow it, and the terminal.

A slow terminal (Ctrl-S) must not stop the host, so a thread writes to it from a bounded queue; what does not fit is
counted and said.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from agenthost.observe.record import Record

KEPT = 20_000


class Chronicle:
    """``show`` is called with every record; the host's loop calls all methods."""

    def __init__(self, show: Callable[[Record], None] | None = None) -> None:
        self._ring: deque[Record] = deque(maxlen=KEPT)
        self._show = show
        self._offset = 0
        self.followers: dict[Any, Callable[[Record], None]] = {}

    def add(self, name: str, path: str, fields: dict[str, Any]) -> Record:
        self._offset += 1
        record = Record(self._offset, time.time(), name, path, fields)
        self._ring.append(record)
        if self._show is not None:
            self._show(record)
        for follower in list(self.followers.values()):
            follower(record)
        return record

    def since(self, offset: int) -> Iterable[Record]:
        """Records numbered ``offset`` and later that are still kept."""
        skip = max(0, offset - (self._offset - len(self._ring) + 1))
        return list(self._ring)[skip:]

    @property
    def last_offset(self) -> int:
        return self._offset


class Terminal:
    """Writes records to stdout: coloured on a terminal, one plain line with fields otherwise."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._queue: queue.Queue[Record | None] = queue.Queue(maxsize=10_000)
        self._dropped = 0
        self._quiet = quiet
        self._write = _coloured() if sys.stdout.isatty() else _plain
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()

    def show(self, record: Record) -> None:
        if self._quiet and record.level in ("info", "good"):
            return
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what is queued, for a second at most."""
        try:
            self._queue.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            try:
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    sys.stdout.write(f"({dropped} lines were left out: the terminal did not take them)\n")
                self._write(record)
            except (OSError, ValueError):
                return  # the terminal has gone; the records are still to be had by `agenthost events`


def _plain(record: Record) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.at))
    sys.stdout.write(f"{at}.{int(record.at % 1 * 1000):03d}Z {record.line()}\n")
    sys.stdout.flush()


_HIDDEN = frozenset({"agent.starting", "agent.ended", "supervisor.starting"})
"""Steps that a person does not miss between the lines around them."""


def _coloured() -> Callable[[Record], None]:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    styles = {"error": "bold red", "warning": "yellow", "good": "green", "info": ""}

    def write(record: Record) -> None:
        if record.name in _HIDDEN:
            return
        at = time.strftime("%H:%M:%S", time.localtime(record.at))
        console.print(Text.assemble((f"{at} ", "dim"), (f"{record.path:<24} ", "cyan"),
                                    (record.sentence(), styles[record.level])))  # fmt: skip
        if record.fields.get("trace"):
            console.print(Text(str(record.fields["trace"]).rstrip(), "dim"))

    return write
