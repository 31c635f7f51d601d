"""One session as a reader follows it, over as many connections as it takes. Pure: messages in, updates out.

The rules it keeps: every entry is told once, in order, whatever the connection does; a part that may have holes is
dropped, never told; and what nobody takes out is bounded: beyond it nothing more is asked for until somebody does.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from agenthost.client.updates import CaughtUp, Cut, Dropped, Event, Part, Presence, Update
from agenthost.errors import AgenthostError, ProtocolError, UnknownName, from_wire
from agenthost.protocol import sessions as say
from agenthost.protocol.codec import unpack_body

HELD, HELD_BYTES = 4096, 8 * 1024 * 1024
"""Updates that wait to be taken, and the bodies in them."""


class Follower:
    """``after``: the number of the last entry that is known already. ``updates`` wait to be taken by :meth:`take`."""

    def __init__(self, id: int, path: str, after: int, name: str, *, live: bool) -> None:
        self.id, self.path, self.name, self.live = id, path, name, live
        self.seq = after
        self.end: AgenthostError | None = None
        """Why no more will come."""
        self.is_caught_up = False
        """All that there was when it was last followed has been told."""
        self.is_full = False
        self._held: deque[tuple[Update, int]] = deque()
        self._held_bytes = 0
        self._parts: dict[str, Part] = {}
        self._settled: tuple[str, int] = ("", 0)

    def follow(self) -> say.Follow:
        """What to say on a new connection, or when there is room again."""
        self.is_full = self.is_caught_up = False
        return say.Follow(self.id, self.path, self.seq, self.name, self.live)

    def take(self) -> Update | None:
        if not self._held:
            return None
        update, size_bytes = self._held.popleft()
        self._held_bytes -= size_bytes
        return update

    @property
    def has_updates(self) -> bool:
        return bool(self._held)

    def cut(self, why: str) -> None:
        """The connection has ended."""
        self._drop_parts()
        if self.end is None:
            self._tell(Cut(why))

    def hear(self, message: say.ToReader) -> bool:
        """True if that was as much as is held: the rest is asked for later."""
        if self.end is not None or self.is_full:
            return False
        match message:
            case say.Entry():
                self._entry(message)
            case say.Delta():
                self._delta(message)
            case say.Settled(part=part, seq=seq):
                if self._parts.pop(part, None) is not None and not seq:
                    self._tell(Dropped((part,)))
                self._settled = (part, seq)
            case say.CaughtUp(last_seq=seq):
                self.is_caught_up = True
                self._tell(CaughtUp(seq))
            case say.Behind():
                self.is_caught_up = False
                self._drop_parts()
            case say.Present(names=names, writer=writer):
                self._tell(Presence(tuple(names), writer))
            case say.Removed(why=why):
                self._drop_parts()
                self.end = UnknownName(f"cannot follow {self.path} any longer: {why}")
            case say.Refused(code=code, why=why, hint=hint):
                self.end = from_wire(code, why, hint or None)
        if len(self._held) > HELD or self._held_bytes > HELD_BYTES:
            self._drop_parts()
            self.is_full = True
        return self.is_full

    def _entry(self, message: say.Entry) -> None:
        if message.seq <= self.seq:
            return
        self.seq = message.seq
        part, seq = self._settled
        event = Event(
            message.seq,
            message.at_ms / 1000,
            message.type,
            _map(message.body),
            message.message,
            message.attempt,
            message.broken,
            part if seq == message.seq else "",
        )
        self._tell(event, len(message.body))

    def _delta(self, message: say.Delta) -> None:
        known = self._parts.get(message.part)
        fields = _map(message.fields) if message.fields else known.fields if known is not None else {}
        if message.at <= 0:
            text = message.text if message.at == 0 else None
            begins = known is None or known.text != ""  # the first word of a part may have had none yet
        elif known is None or known.text is None or message.at > len(known.text):
            return  # its beginning was dropped; it is told anew, or as its entry
        else:
            text, begins = known.text[: message.at] + message.text, message.at < len(known.text)
        new = (text or "") if begins else message.text
        part = Part(message.part, message.type, fields, text, new, begins, message.message, message.attempt)
        self._parts[message.part] = part
        self._tell(part, len(new) + len(message.fields))

    def _drop_parts(self) -> None:
        if self._parts:
            self._tell(Dropped(tuple(self._parts)))
            self._parts.clear()

    def _tell(self, update: Update, size_bytes: int = 0) -> None:
        self._held.append((update, size_bytes))
        self._held_bytes += size_bytes


def _map(packed: bytes) -> dict[str, Any]:
    """Fields; what another program has put into a log may be no map."""
    try:
        found = unpack_body(packed)
    except ProtocolError:
        return {"packed": packed}
    return found if isinstance(found, dict) else {"body": found}
