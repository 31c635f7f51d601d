"""What agents tell of turns that are not committed: parts that grow. In memory alone, folded as it comes.

A part ends with its turn: the commit brings the entry that it has become; of a turn that failed, or whose process died,
the fold becomes a broken entry. After a restart of the journal agents say their parts again, whole.

The rule it keeps: what an agent says here can take room, but never more than its bounds; beyond them it is not folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from agenthost.journal.limits import BODY_BYTES, ENTRIES
from agenthost.journal.values import Entry, Incarnation
from agenthost.protocol.mail import Delta

PART_BYTES = BODY_BYTES - 4096
ALL_BYTES = 256 * 1024 * 1024
"""Of all parts of all agents."""
PIECES = 64
TYPE_CHARACTERS = 1024

_encode = msgspec.msgpack.Encoder().encode
_read_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Part:
    """``name`` is unique within its session. ``version`` counts the changes of ``fields``; ``length`` is that of its
    text in characters, -1 without one; ``life`` counts how often it has begun anew."""

    __slots__ = (
        "_pieces", "attempt", "fields", "length", "life", "message", "name", "number", "size_bytes", "type", "version",
    )  # fmt: skip

    def __init__(self, name: str, told: Delta) -> None:
        self.name, self.number = name, told.part
        self.message, self.attempt, self.type = told.message, told.attempt, told.type
        self.fields, self.version, self.life = b"\x80", 0, 0
        self.length = -1 if told.at < 0 else 0
        self._pieces: list[str] = []
        self.size_bytes = 0

    def fold(self, told: Delta, room_bytes: int) -> int:
        """How many bytes it has grown by."""
        before = self.size_bytes
        if told.at == 0 and self.length > 0:  # said again at a new door
            self._pieces.clear()
            self.size_bytes, self.length = len(self.fields), 0
            self.life += 1
        if told.fields and told.fields != self.fields:
            grows = len(told.fields) - len(self.fields)
            if self.size_bytes + grows <= PART_BYTES and grows <= room_bytes:
                self.fields = told.fields
                self.version += 1
                self.size_bytes += grows
        if told.text and told.at == self.length:
            size_bytes = len(told.text) if told.text.isascii() else len(told.text.encode())
            if self.size_bytes + size_bytes <= PART_BYTES and size_bytes <= room_bytes:
                self._pieces.append(told.text)
                self.length += len(told.text)
                self.size_bytes += size_bytes
        return self.size_bytes - before

    def text(self, start: int, most: int) -> str:
        """``most`` characters of it from ``start`` on."""
        found, at = list[str](), self.length
        for piece in reversed(self._pieces):
            if at <= start:
                break
            at -= len(piece)
            found.append(piece)
        text = "".join(reversed(found))
        if len(found) > PIECES:  # somebody reads it from far back, and will ask again
            self._pieces[len(self._pieces) - len(found) :] = [text]
        return text[start - at : start - at + most]

    def broken(self) -> Entry:
        """The entry of what there is of it."""
        try:
            fields = _read_fields(self.fields)
        except msgspec.DecodeError:  # no agent of ours says that
            fields = {}
        if self.length >= 0:
            fields["text"] = self.text(0, self.length)
        return Entry(self.type, _encode(fields), self.message, self.attempt, broken=True)


class Parts:
    """By path, of the incarnation that has spoken last."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Incarnation, dict[int, Part]]] = {}
        self._size_bytes = 0

    def told(self, path: str, inc: Incarnation, delta: Delta) -> bool:
        """False if it was not heeded: an older incarnation speaks, there are too many, or its type is no word."""
        owner, parts = self._of.get(path, (inc, {}))
        if owner != inc:
            if owner > inc:
                return False
            self.drop(path, parts)
            parts = {}
        part = parts.get(delta.part)
        if part is None:
            if len(parts) >= ENTRIES or len(delta.type) > TYPE_CHARACTERS:
                return False
            part = parts[delta.part] = Part(f"{inc[0]}.{inc[1]}:{delta.part}", delta)
            self._of[path] = inc, parts
        self._size_bytes += part.fold(delta, ALL_BYTES - self._size_bytes)
        return True

    def of(self, path: str) -> Iterable[Part]:
        """In the order in which they began."""
        return self._of[path][1].values() if path in self._of else ()

    def all(self) -> list[tuple[str, Incarnation, list[Part]]]:
        return [(path, owner, list(parts.values())) for path, (owner, parts) in self._of.items()]

    def owner(self, path: str) -> Incarnation | None:
        return self._of[path][0] if path in self._of else None

    def open(self, path: str, inc: Incarnation, which: Callable[[Part], bool] = lambda part: True) -> list[Part]:
        """Of that incarnation."""
        owner, parts = self._of.get(path, (inc, {}))
        return [part for part in parts.values() if which(part)] if owner == inc else []

    def drop(self, path: str, numbers: Iterable[int]) -> list[Part]:
        """They are no parts any more: entries of the log, or nothing. Those that there were."""
        if path not in self._of:
            return []
        parts = self._of[path][1]
        gone = [parts.pop(number) for number in list(numbers) if number in parts]
        self._size_bytes -= sum(part.size_bytes for part in gone)
        if not parts:
            del self._of[path]
        return gone
