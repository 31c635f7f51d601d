"""Somebody who follows a session, as one ought to: entries in order, parts folded, what was live forgotten when told.

``Screen.fold`` is what stands on it; two screens of one session must show the same, and so must the store.
"""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from agenthost.journal.values import Logged
from agenthost.protocol import sessions as say
from agenthost.protocol.frames import Frames

_read = msgspec.msgpack.Decoder(say.ToReader).decode


class Screen:
    """``room_bytes``: how much may wait to be read; what was said is read by ``look``."""

    who = "uid 0"

    def __init__(self, room_bytes: int = 1 << 20) -> None:
        self.room_bytes = room_bytes
        self._waiting = bytearray()
        self._frames = Frames(say.MESSAGE_BYTES)
        self.heard: list[say.ToReader] = []
        self.entries: list[say.Entry] = []
        self.parts: dict[str, dict[str, Any]] = {}
        self.caught_up: int | None = None
        self.behind = 0
        self.names: list[str] = []
        self.writer = self.seat = self.removed = ""
        self._settled: dict[int, str] = {}
        self.settled_as: dict[str, dict[str, Any]] = {}
        """By the name of a part: what it had become on the screen when it was settled."""

    @property
    def has_room(self) -> bool:
        return len(self._waiting) < self.room_bytes

    def say(self, frame: bytes) -> None:
        self._waiting += frame

    @property
    def waits(self) -> int:
        return len(self._waiting)

    def look(self) -> list[say.ToReader]:
        """Read all that waits."""
        data, self._waiting = bytes(self._waiting), bytearray()
        found = [_read(frame) for frame in self._frames.feed(data)]
        for one in found:
            self.hear(one)
        return found

    def hear(self, one: say.ToReader) -> None:
        self.heard.append(one)
        match one:
            case say.Entry():
                self._on_entry(one)
            case say.Delta():
                self._on_delta(one)
            case say.Settled(part=part, seq=seq):
                self.settled_as[part] = self.parts.pop(part)
                if seq:
                    self._settled[seq] = part
            case say.CaughtUp(last_seq=last_seq):
                self.caught_up = last_seq
            case say.Behind(seq=seq):
                assert seq == self.last_seq
                self.parts.clear()
                self.behind += 1
            case say.Present(names=names, writer=writer):
                self.names, self.writer = names, writer
            case say.Seated(seat=seat):
                self.seat = seat
            case say.Removed(why=why):
                self.removed = why

    @property
    def last_seq(self) -> int:
        return self.entries[-1].seq if self.entries else 0

    def _on_entry(self, one: say.Entry) -> None:
        assert not self.entries or one.seq == self.last_seq + 1, f"{one.seq} after {self.last_seq}"
        self.entries.append(one)
        part = self._settled.pop(one.seq, None)
        if part is not None and not one.broken:
            # What was seen live is what became true, as far as it was said.
            seen, true = self.settled_as[part], msgpack.unpackb(one.body)
            assert str(true.get("text", "")).startswith(seen.get("text", ""))

    def _on_delta(self, one: say.Delta) -> None:
        if one.fields or one.part not in self.parts:
            text = self.parts.get(one.part, {}).get("text")
            self.parts[one.part] = msgpack.unpackb(one.fields)
            if text is not None:
                self.parts[one.part]["text"] = text
        if one.at >= 0:
            before = self.parts[one.part].get("text", "")
            assert one.at in (0, len(before)), f"a hole in {one.part}"
            self.parts[one.part]["text"] = before[: one.at] + one.text

    @property
    def fold(self) -> list[tuple[int, int, str, bytes, int, int, bool]]:
        return [(one.seq, one.at_ms, one.type, one.body, one.message, one.attempt, one.broken) for one in self.entries]


def stored(entries: tuple[Logged, ...]) -> list[tuple[int, int, str, bytes, int, int, bool]]:
    """As ``fold``, of what the store has."""
    return [(one.seq, one.at_ms, one.type, one.body, one.message, one.attempt, one.broken) for one in entries]
