"""The logger process: reads what agents print, writes log files, and lets nobody's output hurt another.

One thread, one epoll. A source that is faster than its rate is not read for a while: its pipe fills, and its own write
blocks. Every round reads each ready source once and writes each file once, before anything else is read, so that what
dies with the logger is at most the unfinished lines. The host keeps a copy of every read end and attaches again
(``capture``). The logger ends when its link does; a disk that fails is counted, not suffered.
"""

from __future__ import annotations

import array
import contextlib
import errno
import heapq
import os
import re
import select
import signal
import socket
import time
from collections import deque
from typing import Any

import msgspec

from agenthost import kernel
from agenthost.observe.rotation import KEEP, MAX_BYTES, LogFile, LogFiles, stamp
from agenthost.observe.source import READ_BYTES, Bucket, Source
from agenthost.observe.words import (
    MAX_PACKET,
    Attach,
    Detach,
    Done,
    Ended,
    Flush,
    FromLogger,
    Matched,
    Notify,
    ToLogger,
    encode,
    read_to_logger,
)

SOURCE_RATE = 4 * 1024 * 1024
TOTAL_RATE = 64 * 1024 * 1024
"""Bytes a second of one pipe, and of all together: the disk is for others too."""
MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Of unfinished lines of all sources; above it they are cut early."""

_LAST_WORDS_S = 2.0
_DRAIN_BYTES = 1024 * 1024


def main(
    link: socket.socket,
    folder: str,
    source_rate: float = SOURCE_RATE,
    total_rate: float = TOTAL_RATE,
    max_bytes: int = MAX_BYTES,
    keep: int = KEEP,
) -> None:
    """Run until ``link`` (SOCK_SEQPACKET, see ``words``) ends. Rates in bytes a second; each may burst for a second."""
    kernel.claim_descriptors()  # two pipes for each program
    kernel.try_share_priority()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for ours in (signal.SIGINT, signal.SIGTERM):  # it stays as long as somebody may print; the link's end ends it
        signal.signal(ours, signal.SIG_IGN)
    files = LogFiles(lambda path: LogFile(folder, path, max_bytes=max_bytes, keep=keep))
    Logger(link, files, source_rate, total_rate).run()


class Logger:
    """The loop and its sources."""

    def __init__(self, link: socket.socket, files: LogFiles, source_rate: float, total_rate: float) -> None:
        self._link = link
        self._files = files
        self._source_rate = source_rate
        self._total = Bucket(total_rate, total_rate, time.monotonic())
        self._epoll = select.epoll()
        self._by_fd: dict[int, Source] = {}
        self._by_number: dict[int, Source] = {}
        self._users: dict[str, int] = {}
        """Path to how many sources write to its file."""
        self._resume: list[tuple[float, int]] = []
        """(when, number of the source) of those held back."""
        self._batches: dict[str, list[bytes]] = {}
        self._answers: deque[FromLogger] = deque()
        self._pending_bytes = 0

    def run(self) -> None:
        self._link.setblocking(False)
        self._epoll.register(self._link.fileno(), select.EPOLLIN)
        hold_until = 0.0
        alive = True
        while alive:
            events = self._wait(hold_until)
            now = time.monotonic()
            self._let_go_on(now)
            mark = stamp(time.time())
            amount = 0
            for fd, event in events:
                if fd == self._link.fileno():
                    alive = self._hear(event, mark)
                elif (source := self._by_fd.get(fd)) is not None:
                    amount += self._read(source, mark, now)
            self._write()
            self._send()
            hold_until = now + self._total.take(amount, now)
        self._last_words()

    # ---- waiting

    def _wait(self, hold_until: float) -> list[tuple[int, int]]:
        now = time.monotonic()
        if now < hold_until:  # all together are over the rate: only the host is heard
            with select.epoll() as alone:
                alone.register(self._link.fileno(), self._link_mask())
                return alone.poll(max(hold_until - now, 0.001))
        timeout = max(self._resume[0][0] - now, 0.0) + 0.001 if self._resume else -1
        return self._epoll.poll(timeout, 512)

    def _let_go_on(self, now: float) -> None:
        while self._resume and self._resume[0][0] <= now:
            source = self._by_number.get(heapq.heappop(self._resume)[1])
            if source is not None and source.paused:
                source.paused = False
                self._epoll.register(source.fd, select.EPOLLIN)

    def _link_mask(self) -> int:
        return select.EPOLLIN | select.EPOLLOUT if self._answers else select.EPOLLIN

    # ---- sources

    def _read(self, source: Source, mark: bytes, now: float) -> int:
        try:
            data = os.read(source.fd, READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:  # EIO of a terminal whose other side is gone: an end like any other
            data = b""
        if not data:
            self._end(source, mark)
            return 0
        self._take(source, data, mark)
        wait_s = source.bucket.take(len(data), now)
        if wait_s > 0:
            # EPOLLHUP cannot be masked: out of the set with it, or a dead writer's full pipe would spin the loop
            source.paused = True
            self._epoll.unregister(source.fd)
            heapq.heappush(self._resume, (now + wait_s, source.number))
        return len(data)

    def _take(self, source: Source, data: bytes, mark: bytes) -> None:
        before = len(source.pending)
        lines, matched = source.feed(data, mark)
        if source.discard:
            lines = b""
        self._pending_bytes += len(source.pending) - before
        if self._pending_bytes > MAX_PENDING_BYTES and source.pending:
            self._pending_bytes -= len(source.pending)
            rest = source.end(mark)
            lines += b"" if source.discard else rest
        if lines:
            self._batches.setdefault(source.path, []).append(lines)
        if matched is not None:
            self._answers.append(Matched(source.number, matched))

    def _end(self, source: Source, mark: bytes) -> None:
        """Its last line goes to the file before the host hears of the end."""
        self._pending_bytes -= len(source.pending)
        rest = source.end(mark)
        if rest and not source.discard:
            self._batches.setdefault(source.path, []).append(rest)
        self._write()
        if not source.paused:
            self._epoll.unregister(source.fd)
        source.paused = False
        del self._by_fd[source.fd], self._by_number[source.number]
        os.close(source.fd)
        self._users[source.path] -= 1
        if not self._users[source.path]:
            del self._users[source.path]
            self._files.forget(source.path)
        self._answers.append(Ended(source.number))

    def _write(self) -> None:
        for path, parts in self._batches.items():
            self._files.append(path, b"".join(parts))
        self._batches.clear()

    def _drain(self, source: Source, mark: bytes, most: int = _DRAIN_BYTES) -> bool:
        """Read what the pipe holds now; True if it has ended."""
        while most > 0:
            try:
                data = os.read(source.fd, READ_BYTES)
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not data:
                return True
            most -= len(data)
            source.bucket.level -= len(data)
            self._take(source, data, mark)
            self._write()
        return False

    def _last_words(self) -> None:
        """The host is gone, and with it the agents: what they said is in the pipes."""
        deadline = time.monotonic() + _LAST_WORDS_S
        mark = stamp(time.time())
        for source in list(self._by_number.values()):
            if time.monotonic() < deadline:
                self._drain(source, mark)
            self._end(source, mark)
        self._files.close()

    # ---- the link

    def _hear(self, event: int, mark: bytes) -> bool:
        """Every packet that is there; False at the end of the link."""
        if event & select.EPOLLIN:
            for _ in range(256):
                try:
                    packet, fds = _receive(self._link)
                except BlockingIOError:
                    break
                except OSError:
                    return False
                if not packet:
                    return False
                error = self._obey(packet, fds, mark)
                self._answers.append(Done(error))
        elif event & (select.EPOLLHUP | select.EPOLLERR):
            return False
        return True

    def _obey(self, packet: bytes, fds: list[int], mark: bytes) -> str:
        """Carry out one word; returns what was wrong with it."""
        try:
            word: ToLogger = read_to_logger(packet)
            if isinstance(word, Attach) and len(fds) == 1 and word.source not in self._by_number:
                return self._attach(word, fds.pop())
            if isinstance(word, Flush):
                for source in list(self._by_number.values()):
                    if not source.paused and self._drain(source, mark):
                        self._end(source, mark)
                self._write()
                return ""
            if isinstance(word, Attach):
                return f"cannot attach source {word.source}: {len(fds)} descriptors came, or it is attached"
            found = self._by_number.get(word.source)
            if found is None:
                return ""  # it has ended by itself meanwhile
            if isinstance(word, Detach):
                self._drain(found, mark)
                self._end(found, mark)
            elif isinstance(word, Notify):
                found.look_for(word.pattern)
            return ""
        except (msgspec.DecodeError, re.error, RecursionError) as error:
            return f"cannot do it: {error}"
        finally:
            for fd in fds:
                os.close(fd)

    def _attach(self, word: Attach, fd: int) -> str:
        bucket = Bucket(self._source_rate, self._source_rate, time.monotonic())
        source = Source(word.source, fd, word.path, word.incarnation, word.stream, bucket, discard=word.discard)
        error = ""
        try:
            source.look_for(word.pattern)
        except re.error as wrong:  # its output is kept all the same
            error = f"cannot use the pattern {word.pattern!r}: {wrong}"
        os.set_blocking(fd, False)  # the read end's own flag; the agent's end is another description
        try:
            self._epoll.register(fd, select.EPOLLIN)
        except OSError as wrong:  # EPERM: a plain file
            os.close(fd)
            self._answers.append(Ended(word.source))
            return f"cannot read source {word.source}: {wrong.strerror}"
        self._files.bound(word.path, word.max_bytes, word.keep)
        self._by_fd[fd] = self._by_number[word.source] = source
        self._users[word.path] = self._users.get(word.path, 0) + 1
        return error

    def _send(self) -> None:
        waiting = bool(self._answers)
        while self._answers:
            try:
                self._link.send(encode(self._answers[0]), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.ENOMEM):
                    self._answers.clear()  # the host is gone; the link's end is heard in the next round
                break
            self._answers.popleft()
        if waiting:
            with contextlib.suppress(OSError):
                self._epoll.modify(self._link.fileno(), self._link_mask())


def _receive(link: socket.socket) -> tuple[bytes, list[int]]:
    """One packet, and its descriptors, close-on-exec."""
    packet, ancillary, _, _ = link.recvmsg(MAX_PACKET, socket.CMSG_SPACE(4 * 4), socket.MSG_CMSG_CLOEXEC)
    fds: Any = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return packet, list(fds)
