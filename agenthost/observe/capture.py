"""The host's end of the logger's link: what is attached, so that a new logger can be told all of it again.

The host keeps a copy of every read end until the logger says ``Ended``. While there is no logger, pipes fill and their
writers wait; nothing is lost but what a killed logger had read and not yet written. Nothing here blocks.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections import deque
from dataclasses import dataclass

import msgspec

from agenthost.observe.words import (
    MAX_PACKET,
    Attach,
    Detach,
    Done,
    Ended,
    Flush,
    Matched,
    Notify,
    Stream,
    ToLogger,
    encode,
    read_from_logger,
)

WINDOW = 64
"""Words that may be unanswered."""

_LATER = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS, errno.EPIPE, errno.ECONNRESET)
"""The next answer brings another try, or ``receive`` sees the end of the link."""


@dataclass(slots=True)
class _Held:
    word: Attach
    fd: int
    matched: bool = False
    leaving: bool = False


class Capture:
    """Give it a link with ``connect``; call ``receive`` whenever the link is readable."""

    def __init__(self) -> None:
        self._link: socket.socket | None = None
        self._held: dict[int, _Held] = {}
        self._last = 0
        self._queue: deque[ToLogger] = deque()
        self._sent: deque[ToLogger] = deque()
        self.errors: list[str] = []
        """What the logger could not do, in words; whoever reads it empties it."""

    def connect(self, link: socket.socket) -> None:
        """A new logger is at the other end: attach everything again. The caller closes the old link."""
        link.setblocking(False)
        self._link = link
        flushes = [word for word in (*self._sent, *self._queue) if isinstance(word, Flush)]
        self._sent.clear()
        self._queue.clear()
        for number, held in self._held.items():
            self._queue.append(msgspec.structs.replace(held.word, pattern="") if held.matched else held.word)
            if held.leaving:
                self._queue.append(Detach(number))
        self._queue.extend(flushes)
        self._pump()

    def disconnect(self) -> None:
        """The logger is gone; words wait for the next one."""
        self._link = None

    def attach(
        self,
        path: str,
        incarnation: str,
        stream: Stream,
        fd: int,
        *,
        pattern: str = "",
        max_bytes: int = 0,
        keep: int = 0,
        discard: bool = False,
    ) -> int:
        """Hand a pipe's read end over; ``fd`` is this object's from now on. Returns the source's number.

        ``pattern``: the first line that it matches comes back as ``Matched``. The rest as ``Attach`` has it.
        """
        self._last += 1
        word = Attach(self._last, path, incarnation, stream, pattern, max_bytes, keep, discard)
        self._held[self._last] = _Held(word, fd)
        self._say(self._held[self._last].word)
        return self._last

    def detach(self, source: int) -> None:
        """Stop reading although somebody may still hold the writing end. ``Ended`` follows."""
        held = self._held.get(source)
        if held is not None and not held.leaving:
            held.leaving = True
            self._say(Detach(source))

    def notify(self, source: int, pattern: str) -> None:
        held = self._held.get(source)
        if held is not None:
            held.word = msgspec.structs.replace(held.word, pattern=pattern)
            held.matched = False
            self._say(Notify(source, pattern))

    def flush(self) -> None:
        """``receive`` gives one ``Flush`` back for each of these, also over the death of a logger."""
        self._say(Flush())

    @property
    def sources(self) -> int:
        """Pipes that have not ended."""
        return len(self._held)

    def receive(self) -> tuple[list[Matched | Ended | Flush], bool]:
        """What the logger said, and whether the link still stands. Read ends of what has ended are closed."""
        news: list[Matched | Ended | Flush] = []
        while self._link is not None:
            try:
                packet = self._link.recv(MAX_PACKET)
            except BlockingIOError:
                self._pump()
                return news, True
            except OSError:
                packet = b""
            if not packet:
                self._link = None
                break
            self._hear(packet, news)
        return news, False

    def close(self) -> None:
        """Let go of every pipe. The link is the caller's."""
        for held in self._held.values():
            os.close(held.fd)
        self._held.clear()
        self._queue.clear()
        self._sent.clear()
        self._link = None

    def _hear(self, packet: bytes, news: list[Matched | Ended | Flush]) -> None:
        try:
            word = read_from_logger(packet)
        except msgspec.DecodeError as error:
            self.errors.append(f"cannot read what the logger says: {error}")
            return
        if isinstance(word, Done):
            asked = self._sent.popleft() if self._sent else None
            if word.error:
                self.errors.append(word.error)
            if isinstance(asked, Flush):
                news.append(asked)
        elif isinstance(word, Ended):
            held = self._held.pop(word.source, None)
            if held is not None:
                os.close(held.fd)
                news.append(word)
        else:
            held = self._held.get(word.source)
            if held is not None and not held.matched:
                held.matched = True
                news.append(word)

    def _say(self, word: ToLogger) -> None:
        self._queue.append(word)
        self._pump()

    def _pump(self) -> None:
        while self._link is not None and self._queue and len(self._sent) < WINDOW:
            word = self._queue[0]
            rights: list[tuple[int, int, array.array[int]]] = []
            if isinstance(word, Attach):
                held = self._held.get(word.source)
                if held is None:  # detached before it was ever said
                    self._queue.popleft()
                    continue
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [held.fd]))]
            try:
                self._link.sendmsg([encode(word)], rights, socket.MSG_NOSIGNAL)
            except OSError as error:
                if error.errno == errno.EBADF:
                    self._link = None  # the caller closed it
                elif error.errno not in _LATER:
                    raise
                return
            self._sent.append(self._queue.popleft())
