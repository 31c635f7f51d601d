"""The host's stdout: for a person on a terminal a readable line (``narration``), elsewhere a line with fields.

A slow terminal (Ctrl-S) must not stop the host, so a thread writes to it from a bounded queue; what does not fit is
counted and said. A terminal that has gone stops nothing: the records are still to be had by ``agenthost events``.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from agenthost.host.narration import Narration
from agenthost.observe.record import Record

MOST_QUEUED = 10_000
GATHER_S = 0.01
"""What comes within this time is written at once: each waking of the thread takes the interpreter from the loop (a
restart of an agent made 29 futex calls in the host, and makes 8)."""
CRASH_WAIT_S = 0.3
"""How long an agent's last lines may take from its pipe to its log file."""
CALM = 20
"""With more records than this in the queue nobody reads, and nothing is looked up."""
_ALWAYS = frozenset({"host.halting", "host.hurrying", "host.ended"})
"""Told also with ``quiet``: whoever pressed Ctrl-C waits for an answer."""


_OF_TOOLS = frozenset({"agent.exited", "agent.stuck"})
"""A turn may run hundreds; they are known by how they ended."""


class Terminal:
    """``quiet``: warnings and errors only. ``logs`` is where the last lines of a crashed agent are found."""

    def __init__(self, *, quiet: bool = False, logs: Path | None = None, stream: TextIO | None = None) -> None:
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._dropped = 0
        self._quiet, self._logs = quiet, logs
        self._stream = stream or sys.stdout
        if hasattr(self._stream, "reconfigure"):
            self._stream.reconfigure(errors="backslashreplace")  # whatever an agent is called, in whatever locale
        self._write = self._narrating() if self._stream.isatty() else self._plain
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()

    def show(self, record: Record) -> None:
        if self._queue.qsize() < MOST_QUEUED:
            self._queue.put(record)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Write what is queued, for a second at most."""
        self._queue.put(None)
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            if self._queue.empty():
                time.sleep(GATHER_S)
            try:
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._stream.write(f"({dropped} lines were left out: the terminal did not take them)\n")
                self._write(record)
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                return  # closed, or gone

    def _is_wanted(self, record: Record) -> bool:
        if record.fields.get("of_turn") and record.name not in _OF_TOOLS:
            return False
        return not self._quiet or record.level in ("error", "warning") or record.name in _ALWAYS

    def _plain(self, record: Record) -> None:
        if not self._is_wanted(record):
            return
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.at))
        self._stream.write(f"{at}.{int(record.at % 1 * 1000):03d}Z {record.line()}\n")

    def _narrating(self) -> Callable[[Record], None]:
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        narration = Narration(colour=not plain)

        def write(record: Record) -> None:
            lines = list(narration.lines(record))  # also of what is not shown: it counts who lives
            if not self._is_wanted(record):
                return
            self._stream.writelines(line + "\n" for line in lines)
            if narration.is_crash(record) and self._logs is not None and self._queue.qsize() < CALM:
                self._stream.flush()  # the news first, the details when they are there
                shown = narration.crash(record, last_lines(str(self._logs), record))
                self._stream.writelines(line + "\n" for line in shown)

        return write


def last_lines(folder: str, record: Record) -> list[str]:
    """What the incarnation of ``record`` printed last. Its log file may be some milliseconds behind its end."""
    from agenthost.observe.logs import Filter, tail

    wanted = Filter(since_s=record.at - 60)
    deadline_s = time.monotonic() + CRASH_WAIT_S
    before: list[str] | None = None
    while True:
        found = tail(folder, [record.path], lines=50, wanted=wanted)
        lines = [line.text for line in found if line.incarnation == record.fields.get("incarnation")]
        if (lines and lines == before) or time.monotonic() > deadline_s:
            return lines
        before = lines
        time.sleep(0.03)
