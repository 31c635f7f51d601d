"""What is kept of a tool's output, and what of it goes to the agent's log. Both are bounded, whatever it prints."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

LINES_A_SECOND = 100
LONGEST_LINE = 1000
"""Bytes of a line in the log."""


class Kept:
    """The first and the last of a stream, ``most`` bytes in all; what lay between is counted in ``dropped``."""

    def __init__(self, most: int) -> None:
        self._head_left = most // 2
        self._most_tail = most - self._head_left
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.dropped = 0

    def add(self, data: bytes) -> None:
        if self._head_left:
            taken = data[: self._head_left]
            self._head += taken
            self._head_left -= len(taken)
            data = data[len(taken) :]
        if not data:
            return
        self._tail.append(data)
        self._tail_bytes += len(data)
        while self._tail_bytes - len(self._tail[0]) >= self._most_tail:
            first = len(self._tail.popleft())
            self._tail_bytes -= first
            self.dropped += first
            if not self._tail:
                return

    def value(self) -> bytes:
        """To be asked once, at the end."""
        tail = b"".join(self._tail)
        too_many = max(0, len(tail) - self._most_tail)
        self.dropped += too_many
        if not self.dropped:
            return bytes(self._head) + tail
        return b"%b\n[... %d bytes left out ...]\n%b" % (bytes(self._head), self.dropped, tail[too_many:])


class Echo:
    """Writes each line to the agent's log with ``name`` before it: at most so many a second, the rest is counted."""

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        self._name, self._write = name, write
        self._part = b""
        self._is_cut = False
        """The line in hand is longer than what is shown of it."""
        self._left = LINES_A_SECOND
        self._since = time.monotonic()
        self._omitted = 0

    def add(self, data: bytes) -> None:
        now = time.monotonic()
        if now - self._since >= 1.0:
            self._tell_omitted()
            self._since, self._left = now, LINES_A_SECOND
        shown: list[str] = []
        begin = 0
        while self._left:
            end = data.find(b"\n", begin)
            if end < 0:
                break
            shown.append(self._line(data[begin : min(end, begin + LONGEST_LINE + 1)]))
            self._left -= 1
            begin = end + 1
        if shown:
            self._write("".join(shown))
        self._keep(data, begin)

    def close(self) -> None:
        """The last line may have no end."""
        if self._part:
            self._write(self._line(b""))
        self._tell_omitted()

    def _keep(self, data: bytes, begin: int) -> None:
        """What follows the last line that was shown."""
        ends = data.count(b"\n", begin)
        if ends:
            self._omitted += ends
            begin = data.rindex(b"\n") + 1
            self._part, self._is_cut = b"", False
        room = LONGEST_LINE - len(self._part)
        self._is_cut = self._is_cut or len(data) - begin > room
        self._part += data[begin : begin + max(0, room)]

    def _line(self, rest: bytes) -> str:
        line = self._part + rest
        is_cut, self._part, self._is_cut = self._is_cut or len(line) > LONGEST_LINE, b"", False
        text = line[:LONGEST_LINE].rstrip(b"\r").decode("utf-8", "backslashreplace")
        return f"{self._name}: {text}{' ...' if is_cut else ''}\n"

    def _tell_omitted(self) -> None:
        if self._omitted:
            self._write(f"{self._name}: [{self._omitted} lines left out]\n")
            self._omitted = 0
