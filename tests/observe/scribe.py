"""A real logger in a process of its own, pipes to it, and what its files hold."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from agenthost.observe.capture import Capture
from agenthost.observe.names import log_name
from agenthost.observe.words import Ended, Flush, Matched, Stream

_START = """
import socket, sys
from agenthost.observe.logger import main
main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], *map(float, sys.argv[3:5]), *map(int, sys.argv[5:]))
"""


class Logging:
    """The logger, and a host's end of its link. ``settings`` are those of ``logger.main``, in order."""

    def __init__(self, folder: Path, *settings: float) -> None:
        self.folder = folder
        self.settings = settings
        self.capture = Capture()
        self.news: list[Matched | Ended | Flush] = []
        self._flushes = 0
        self.start()

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-c", _START, str(theirs.fileno()), str(self.folder), *map(str, self.settings)]
        self.process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
        theirs.close()
        self.link = ours
        self.capture.connect(ours)

    def pipe(self, path: str, incarnation: str = "1.1", stream: Stream = "out", pattern: str = "") -> int:
        """The writing end of a new pipe that is attached."""
        reading, writing = os.pipe()
        self.capture.attach(path, incarnation, stream, reading, pattern=pattern)
        return writing

    def hear(self, seconds: float = 0.0) -> None:
        if select.select([self.link], [], [], seconds)[0]:
            self.news.extend(self.capture.receive()[0])

    def flush(self) -> None:
        """Wait until all that the pipes hold is in the files."""
        self._flushes += 1
        self.capture.flush()
        self.wait(lambda: sum(isinstance(news, Flush) for news in self.news) >= self._flushes, "the logger flushed")

    def wait(self, fact: object, what: str, seconds: float = 60.0) -> None:
        """Until ``fact()``; woken by whatever the logger says."""
        deadline = time.monotonic() + seconds
        assert callable(fact)
        while not fact():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            self.hear(0.005)

    def wait_all_ended(self) -> None:
        self.wait(lambda: self.capture.sources == 0, "all pipes have ended")

    def raw(self, path: str, number: int = 0) -> bytes:
        name = log_name(path) + (f".{number}" if number else "")
        return (self.folder / name).read_bytes()

    def said(self, path: str) -> list[str]:
        """``out|text`` of every line of the newest file; "" of one that was cut before that."""
        parts = [line.split(b" ", 2) for line in self.raw(path).splitlines()]
        return [part[2].decode("utf-8", "replace") if len(part) > 2 else "" for part in parts]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.news.extend(self.capture.receive()[0])
        self.capture.disconnect()
        self.link.close()

    def close(self) -> None:
        self.link.close()
        self.capture.close()
        try:
            assert self.process.wait(60) in (0, -9)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def logging(folder: Path, *settings: float) -> Iterator[Logging]:
    made = Logging(folder, *settings)
    try:
        yield made
    finally:
        made.close()


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
