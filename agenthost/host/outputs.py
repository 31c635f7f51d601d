"""Where stdout and stderr of agents go: pipes that the logger process reads (``observe.capture``).

A Python agent has one pipe for both streams, a program one for each: descriptors are what five thousand agents run out
of first.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass

from agenthost.core.birth import LogKeeping
from agenthost.host.pseudo_terminal import make_terminal
from agenthost.observe.capture import Capture
from agenthost.observe.words import Matched

_USUAL = LogKeeping()


@dataclass(frozen=True, slots=True)
class WriteEnds:
    """For the process alone: ``close`` as soon as it is born, so that its end is the end of the pipe."""

    stdout: int
    stderr: int
    sources: tuple[int, ...]
    stdin: int | None = None
    """Of a tool, or a terminal; None is /dev/null."""

    def give_to(self, uid: int) -> None:
        """It may open /dev/stdout or its terminal by name, and these are their maker's. Never /dev/null."""
        for descriptor in {self.stdout, self.stderr}:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor):
                os.fchown(descriptor, uid, -1)

    def close(self) -> None:
        for descriptor in {self.stdout, self.stderr, *(() if self.stdin is None else (self.stdin,))}:
            os.close(descriptor)


class Outputs:
    """``on_line(source)`` tells that the line asked for in ``open`` was printed."""

    def __init__(self, on_line: Callable[[int], None], on_trouble: Callable[[str], None]) -> None:
        self._on_line, self._on_trouble = on_line, on_trouble
        self._capture = Capture()
        self._link: socket.socket | None = None

    def connect(self, link: socket.socket) -> None:
        """There is a new logger: it gets everything that is open."""
        self.disconnect()
        self._link = link
        self._capture.connect(link)
        asyncio.get_running_loop().add_reader(link.fileno(), self._heard)

    def disconnect(self) -> None:
        if self._link is not None:
            asyncio.get_running_loop().remove_reader(self._link.fileno())
            self._link.close()
            self._link = None

    def open(
        self, path: str, incarnation: str, *, separate: bool, pattern: str = "", keeping: LogKeeping = _USUAL
    ) -> WriteEnds:
        """``pattern``: the first line of either stream that it matches is told by ``on_line``. What is not kept, and
        not looked at either, is written to /dev/null, which costs nothing."""
        if separate or keeping.stdout == keeping.stderr:
            streams = {"out": keeping.stdout, "err": keeping.stderr} if separate else {"out": keeping.stdout}
        else:  # one pipe for both cannot tell them apart
            streams = {"out": keeping.stdout, "err": keeping.stderr}
        reads: dict[str, int] = {}
        writes: list[int] = []
        try:
            for stream, is_kept in streams.items():
                if is_kept or pattern:
                    reads[stream], write = os.pipe()
                else:
                    write = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                writes.append(write)
        except OSError:
            for descriptor in (*reads.values(), *writes):
                os.close(descriptor)
            raise
        sources = [
            self._attach(path, incarnation, stream, read, pattern, keeping, is_kept=streams[stream])
            for stream, read in reads.items()
        ]
        return WriteEnds(writes[0], writes[-1], tuple(sources))

    def open_terminal(
        self, path: str, incarnation: str, *, pattern: str = "", keeping: LogKeeping = _USUAL
    ) -> WriteEnds:
        """All three streams are one terminal; what comes out of it is stdout."""
        ours, theirs = make_terminal()
        source = self._attach(path, incarnation, "out", ours, pattern, keeping, is_kept=keeping.stdout)
        return WriteEnds(theirs, theirs, (source,), theirs)

    def _attach(
        self, path: str, incarnation: str, stream: str, read: int, pattern: str, keeping: LogKeeping, *, is_kept: bool
    ) -> int:
        return self._capture.attach(
            path,
            incarnation,
            "err" if stream == "err" else "out",
            read,
            pattern=pattern,
            max_bytes=0 if keeping.max_bytes == _USUAL.max_bytes else keeping.max_bytes,
            keep=0 if keeping.keep == _USUAL.keep else keeping.keep,
            discard=not is_kept,
        )

    def close(self) -> None:
        """The logger reads what is left by itself and ends with its link."""
        self.disconnect()
        self._capture.close()

    def _heard(self) -> None:
        news, stands = self._capture.receive()
        if not stands:
            self.disconnect()
        for word in news:
            if isinstance(word, Matched):
                self._on_line(word.source)
        for text in self._capture.errors:
            self._on_trouble(text)
        self._capture.errors.clear()
