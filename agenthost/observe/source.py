"""One pipe of one incarnation: bytes to stamped lines, and how fast they may come.

A line of the file is ``2026-11-23T14:35:01.123Z 7.12 out|text``: when it was read, who said it, where. ``+`` in place
of ``|`` marks a line without its end: the 64 KiB that a line may have were full, or its writer ended.
"""

from __future__ import annotations

import re

from agenthost.observe.words import Stream

READ_BYTES = 64 * 1024
MAX_LINE_BYTES = 64 * 1024
MATCH_BYTES = 4096
"""A readiness pattern looks at so much of a line: an expression that backtracks must not stall the logger."""


class Bucket:
    """Tokens are bytes. ``level`` may go below 0; then nothing is read until it is above again."""

    __slots__ = ("_at", "burst", "level", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = rate, burst
        self.level = burst
        self._at = now

    def take(self, amount: int, now: float) -> float:
        """Seconds until reading may go on; 0 if it may now."""
        self.level = min(self.burst, self.level + (now - self._at) * self.rate) - amount
        self._at = now
        # a chunk's worth must be there, or a source at its limit would be read in crumbs
        return 0.0 if self.level > 0 else (READ_BYTES - self.level) / self.rate


class Source:
    """``fd`` is the read end. ``pending`` is the beginning of a line whose end was not read yet."""

    __slots__ = ("_full", "_part", "_pattern", "bucket", "discard", "fd", "number", "path", "paused", "pending")

    def __init__(
        self,
        number: int,
        fd: int,
        path: str,
        incarnation: str,
        stream: Stream,
        bucket: Bucket,
        *,
        discard: bool = False,
    ) -> None:
        self.number, self.fd, self.path, self.bucket = number, fd, path, bucket
        self.discard = discard
        """Its lines are looked at and not kept."""
        self.pending = b""
        self.paused = False
        """Not in the epoll set until its bucket is full enough."""
        self._full = f" {incarnation} {stream}|".encode()
        self._part = f" {incarnation} {stream}+".encode()
        self._pattern: re.Pattern[str] | None = None

    def look_for(self, pattern: str) -> None:
        """Raises ``re.error``."""
        self._pattern = re.compile(pattern) if pattern else None

    def feed(self, data: bytes, stamp: bytes) -> tuple[bytes, str | None]:
        """Lines for the file, and the line that the pattern matched."""
        whole, end, rest = (self.pending + data).rpartition(b"\n")
        matched = self._match(whole) if end and self._pattern else None
        out = self._lines(whole, stamp) if end else b""
        while len(rest) > MAX_LINE_BYTES:
            head, rest = _cut(rest)
            out += stamp + self._part + head + b"\n"
        self.pending = rest
        return out, matched

    def end(self, stamp: bytes) -> bytes:
        """The last, unfinished line."""
        rest, self.pending = self.pending, b""
        return stamp + self._part + rest + b"\n" if rest else b""

    def _lines(self, whole: bytes, stamp: bytes) -> bytes:
        out = b""
        # Only the first line can be too long: what follows came in one read. The rest is one pass in C.
        while (length := whole.find(b"\n")) > MAX_LINE_BYTES or (length < 0 and len(whole) > MAX_LINE_BYTES):
            head, whole = _cut(whole)
            out += stamp + self._part + head + b"\n"
        prefix = stamp + self._full
        if b"\r" in whole:
            whole = whole.replace(b"\r\n", b"\n").removesuffix(b"\r")
        return out + prefix + whole.replace(b"\n", b"\n" + prefix) + b"\n"

    def _match(self, whole: bytes) -> str | None:
        assert self._pattern is not None  # feed() asks only then
        for line in whole.split(b"\n"):
            text = line[:MATCH_BYTES].decode("utf-8", "replace").removesuffix("\r")
            if self._pattern.search(text):
                self._pattern = None
                return text[:1024]
        return None


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """At the bound of a line, but not inside a character of UTF-8."""
    at = MAX_LINE_BYTES
    while at > MAX_LINE_BYTES - 4 and data[at] & 0xC0 == 0x80:
        at -= 1
    return data[:at], data[at:]
