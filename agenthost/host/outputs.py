"""Where stdout and stderr of agents go: pipes that the logger process reads (``observe.capture``).

A Python agent has one pipe for both streams, a program one for each: descriptors are what five thousand agents run out
of first.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from agenthost.observe.capture import Capture
from agenthost.observe.words import Matched


@dataclass(frozen=True, slots=True)
class WriteEnds:
    """For the process alone: ``close`` as soon as it is born, so that its end is the end of the pipe."""

    stdout: int
    stderr: int
    sources: tuple[int, ...]

    def close(self) -> None:
        for descriptor in {self.stdout, self.stderr}:
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

    def open(self, path: str, incarnation: str, *, separate: bool, pattern: str = "") -> WriteEnds:
        """``pattern``: the first line of either stream that it matches is told by ``on_line``."""
        out_read, out_write = os.pipe()
        try:
            err_read, err_write = os.pipe() if separate else (-1, out_write)
        except OSError:
            os.close(out_read)
            os.close(out_write)
            raise
        sources = [self._capture.attach(path, incarnation, "out", out_read, pattern=pattern)]
        if separate:
            sources.append(self._capture.attach(path, incarnation, "err", err_read, pattern=pattern))
        return WriteEnds(out_write, err_write, tuple(sources))

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
