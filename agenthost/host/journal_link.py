"""The host's end of the link to the journal: words out, words in, doors beside them. Never blocks the loop.

While there is no journal, or it does not read, words wait here; a new one is told all that the last one has not named
in a Did, in the same order. What waits is bounded: events beyond it are left out, and the journal records the gap; of
records of crashes the oldest are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections import deque
from collections.abc import Callable, Container
from itertools import count

import msgspec

from agenthost.errors import ProtocolError
from agenthost.journal import words
from agenthost.protocol.frames import Frames, framed

READ_BYTES = 256 * 1024
EVENTS, CRASHES, BACKLOG_BYTES = 50_000, 500, 64 * 1024 * 1024
CRASHES_BYTES = 16 * 1024 * 1024
DOOR_LATER_S = 0.05
NOT_NOW = (errno.EAGAIN, errno.ETOOMANYREFS)
"""unix(7): its buffer is full, or too many descriptors are on their way."""

_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(words.FromJournal).decode


class Waiting:
    """Numbers of words of one kind, in order, with their sizes."""

    __slots__ = ("_bytes", "_most", "_most_bytes", "_words")

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._words: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def add(self, number: int, size_bytes: int) -> list[int]:
        """The numbers of those that are too many now."""
        self._words.append((number, size_bytes))
        self._bytes += size_bytes
        gone = []
        while len(self._words) > self._most or (self._bytes > self._most_bytes and len(self._words) > 1):
            gone.append(self._first())
        return gone

    def forget(self, still: Container[int]) -> None:
        """The first ones, as far as they are not open any more."""
        while self._words and self._words[0][0] not in still:
            self._first()

    def _first(self) -> int:
        number, size_bytes = self._words.popleft()
        self._bytes -= size_bytes
        return number


class JournalLink:
    """``on_word`` gets what the journal says; ``on_lost(why)`` is called when a link breaks, not by ``disconnect``."""

    def __init__(self, on_word: Callable[[words.FromJournal], None], on_lost: Callable[[str], None]) -> None:
        self._on_word, self._on_lost = on_word, on_lost
        self._ids = count(1)
        self._open: dict[int, bytes] = {}
        """Words that no Did has named, by their number, in order."""
        self._bounded: dict[type, Waiting] = {
            words.Event: Waiting(EVENTS, BACKLOG_BYTES),
            words.Crashed: Waiting(CRASHES, CRASHES_BYTES),
        }
        """The words of which so many are kept for a journal that is not there."""
        self._owns: set[int] = set()
        self._sock: socket.socket | None = None
        self._doors: socket.socket | None = None
        self._to_pass: deque[tuple[int, socket.socket]] = deque()
        self._out = bytearray()
        self._frames = Frames(words.WORD_BYTES)
        self._is_flushing = self._is_writing = False
        self._said_at = 0.0

    @property
    def silent_s(self) -> float:
        """For how long it has said nothing though something was said to it."""
        return time.monotonic() - self._said_at if self._said_at and self._sock is not None else 0.0

    @property
    def is_there(self) -> bool:
        return self._sock is not None

    def is_open(self, id: int) -> bool:
        """No Did has named it."""
        return id in self._open

    def next_id(self) -> int:
        return next(self._ids)

    def connect(self, sock: socket.socket, doors: socket.socket) -> None:
        """They are this object's from here on."""
        self.disconnect()
        sock.setblocking(False)
        doors.setblocking(False)
        self._sock, self._doors = sock, doors
        self._frames = Frames(words.WORD_BYTES)
        for number in self._owns:  # their doors have gone with the last one
            self._open.pop(number, None)
        self._owns.clear()
        self._said_at = time.monotonic() if self._open else 0.0
        self._out = bytearray().join(self._open.values())
        asyncio.get_running_loop().add_reader(sock, self._readable)
        self._flush_soon()

    def disconnect(self) -> None:
        sock, doors = self._sock, self._doors
        if sock is None or doors is None:
            return
        with contextlib.suppress(OSError):  # as far as it goes: the other end reads to the end of what was said
            sock.send(self._out, socket.MSG_NOSIGNAL)
        self._sock = self._doors = None
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.remove_writer(sock)
        self._is_writing = False
        self._out.clear()
        for _, door in self._to_pass:
            door.close()
        self._to_pass.clear()
        sock.close()
        doors.close()

    def say(self, word: words.FromHost) -> None:
        """It is said again until it is answered, or named in a Did."""
        frame = framed(_encode(word))
        if (bounded := self._bounded.get(type(word))) is not None:
            if len(self._out) > BACKLOG_BYTES:
                return
            for number in bounded.add(word.id, len(frame)):
                self._open.pop(number, None)
        elif isinstance(word, words.Own):
            self._owns.add(word.id)
        self._open[word.id] = frame
        self._said_at = self._said_at or time.monotonic()
        if self._sock is not None:
            self._out += frame
            self._flush_soon()

    def answered(self, id: int) -> None:
        self._open.pop(id, None)

    def pass_door(self, number: int, door: socket.socket) -> None:
        """The journal gets ``door``; it is closed here."""
        self._to_pass.append((number, door))
        self._pass_doors()

    # ---- the sockets

    def _pass_doors(self) -> None:
        while self._to_pass and self._doors is not None:
            number, door = self._to_pass[0]
            try:
                socket.send_fds(self._doors, [number.to_bytes(8, "big")], [door.fileno()], socket.MSG_NOSIGNAL)
            except OSError as error:
                if error.errno in NOT_NOW:
                    asyncio.get_running_loop().call_later(DOOR_LATER_S, self._pass_doors)
                    return
                # it is gone, as the stream will tell
            self._to_pass.popleft()
            door.close()

    def _flush_soon(self) -> None:
        if not self._is_flushing and not self._is_writing:
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._sock is None:
            return
        while self._out:
            try:
                sent = self._sock.send(self._out, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError as error:
                self._lose(f"cannot write to the journal: {error.strerror}")
                return
            del self._out[:sent]
        if bool(self._out) != self._is_writing:
            self._is_writing = bool(self._out)
            loop = asyncio.get_running_loop()
            if self._is_writing:
                loop.add_writer(self._sock, self._flush)
            else:
                loop.remove_writer(self._sock)

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(f"cannot read from the journal: {error.strerror}")
            return
        if not data:
            self._lose("the journal has closed the link")
            return
        self._said_at = 0.0
        try:
            found = [_read(frame) for frame in self._frames.feed(data)]
        except (ProtocolError, msgspec.DecodeError) as error:
            self._lose(str(error))
            return
        for word in found:
            if isinstance(word, words.Did):
                for number in word.ids:
                    self._open.pop(number, None)
                    self._owns.discard(number)
                for bounded in self._bounded.values():
                    bounded.forget(self._open)
            elif isinstance(word, words.Answer):
                self._open.pop(word.id, None)
            self._on_word(word)

    def _lose(self, why: str) -> None:
        self.disconnect()
        self._on_lost(why)
