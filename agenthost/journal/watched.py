"""One session that is followed, and how far each of those who follow it has got; and frames that they share.

Bookkeeping alone: what is to be said, and when, is decided in ``following``.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import msgspec

from agenthost.journal.presence import Presence
from agenthost.journal.values import Logged
from agenthost.protocol import sessions as say
from agenthost.protocol.frames import HEAD_BYTES, framed

TAIL_ENTRIES, TAIL_BYTES = 200, 256 * 1024
"""The newest entries of a session that is followed are kept encoded."""
SETTLED = 1000
"""Entries of a session of which is remembered what part they were."""

_encode = msgspec.msgpack.Encoder().encode

Cut = tuple[bytes, bytes]
"""A message before and after its id: what all who follow a session share."""


def cut(message: say.ToReader) -> Cut:
    """``message`` has the id 0, which is one byte."""
    packed = _encode(message)
    at = 2 + len(type(message).__name__)  # the head of the array, and the word, whose length is in its first byte
    return packed[:at], packed[at + 1 :]


def joined(parts: Cut, id: int) -> bytes:
    """A frame."""
    head, rest = parts
    number = _encode(id)
    return (len(head) + len(number) + len(rest)).to_bytes(HEAD_BYTES, "big") + head + number + rest


class Reader(Protocol):
    """One connection. ``say`` never blocks; ``has_room`` is False while too much is not read yet."""

    who: str

    @property
    def has_room(self) -> bool: ...

    def say(self, frame: bytes) -> None: ...


class Follow:
    """A session that a reader follows, and how far he has got. ``told``: by the name of a part, its characters, the
    version of its fields and its life."""

    __slots__ = (
        "id", "is_caught_up", "is_live", "name", "presence_version", "reader", "seq", "told", "watched",
    )  # fmt: skip

    def __init__(self, reader: Reader, watched: Watched, asked: say.Follow) -> None:
        self.reader, self.watched, self.id = reader, watched, asked.id
        self.name, self.is_live, self.seq = asked.name, asked.live, 0
        self.told: dict[str, tuple[int, int, int]] = {}
        self.is_caught_up = False
        self.presence_version = 0

    @property
    def who(self) -> str:
        return self.reader.who

    @property
    def is_followed(self) -> bool:
        return self in self.watched.follows

    def say(self, message: say.ToReader) -> None:
        self.reader.say(framed(_encode(message)))

    def share(self, parts: Cut) -> None:
        self.reader.say(joined(parts, self.id))


class Watched:
    """A session that somebody follows. ``tail`` are its newest entries, as many as fit."""

    def __init__(self, path: str, last_seq: int) -> None:
        self.path, self.last_seq = path, last_seq
        self.follows: dict[Follow, None] = {}
        self.presence = Presence(path)
        self.tail: deque[tuple[int, Cut]] = deque()
        self._tail_bytes = 0
        self.settled: dict[int, str] = {}
        self.forgotten_seq = 0
        """Of entries up to this one it is not known any more what part they were."""

    def grew(self, one: Logged) -> None:
        entry = entry_of(one)
        if one.seq != self.last_seq + 1:
            self.tail.clear()  # retention has taken what was between
            self._tail_bytes = 0
        self.tail.append((one.seq, entry))
        self._tail_bytes += len(entry[1])
        while len(self.tail) > TAIL_ENTRIES or (self._tail_bytes > TAIL_BYTES and len(self.tail) > 1):
            self._tail_bytes -= len(self.tail.popleft()[1][1])
        self.last_seq = one.seq

    def settle(self, seq: int, part: str) -> None:
        self.settled[seq] = part
        while len(self.settled) > SETTLED:
            self.forgotten_seq = next(iter(self.settled))
            del self.settled[self.forgotten_seq]


def entry_of(one: Logged) -> Cut:
    return cut(say.Entry(0, one.seq, one.at_ms, one.type, one.body, one.message, one.attempt, one.broken))
