"""A reader's connection to the journal, and what is followed over it. Pure: bytes in, bytes out, the time as argument.

``session`` and ``async_session`` own the sockets. The rule it keeps: silence is not taken for quiet. Who has heard
nothing for ``CHECK_S`` asks whether it is still followed, and without an answer the connection counts as lost.
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any

import msgspec

from agenthost.client.follower import Follower
from agenthost.errors import AgenthostError, ProtocolError, UsageError, from_wire
from agenthost.protocol import sessions as say
from agenthost.protocol.codec import pack_body
from agenthost.protocol.frames import Frames, framed

CHECK_S, ANSWER_S = 5.0, 5.0
"""After so much silence it is asked; the answer may take so long."""
NOTHING = 1 << 53
"""After this number nothing will come: for who only wants to be present."""

_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(say.ToReader).decode


class Lost(Exception):
    """The connection is of no use any more; the text says why."""


class Line:
    """``present`` and ``writer`` as last told to whoever follows under a name. ``seat``: empty, or the writing seat."""

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name
        self.out = bytearray()
        self.is_connected = self.is_open = False
        self.boot = 0
        self.present: tuple[str, ...] = ()
        self.writer = ""
        self.seat = ""
        self.refused: AgenthostError | None = None
        """What the last wish for the seat was answered with."""
        self._wants_seat = self._takes_seat = self._attends = False
        self._silent: Follower | None = None
        """Follows for the sake of being present."""
        self._ids = count(1)
        self._followers: dict[int, Follower] = {}
        self._frames = Frames(say.MESSAGE_BYTES)
        self._heard_at = self._checked_at = 0.0

    # ---- the connection

    def connected(self, ticket: bytes, now: float) -> None:
        """A fresh one: all that is followed goes on where it was."""
        self._frames = Frames(say.MESSAGE_BYTES)
        self.out = bytearray()
        self._heard_at, self._checked_at = now, 0.0
        self.is_connected = True
        self._say(say.Hello(ticket))
        for follower in self._followers.values():
            if follower.end is None and not follower.is_full:
                self._say(follower.follow())
        if self._wants_seat and (named := self._named) is not None:
            self._say(say.Seat(named.id, self._takes_seat))

    def lost(self, why: str) -> None:
        self.is_connected = self.is_open = False
        self.seat, self.present, self.writer = "", (), ""
        self.out.clear()
        for follower in self._followers.values():
            follower.cut(why)

    def feed(self, data: bytes, now: float) -> None:
        """``Lost`` at what cannot be read; an error of the host's, if it does not want us."""
        self._heard_at, self._checked_at = now, 0.0
        try:
            for frame in self._frames.feed(data):
                self._hear(_read(frame))
        except (ProtocolError, msgspec.DecodeError) as error:
            raise Lost(str(error)) from None

    def tick(self, now: float) -> float:
        """Seconds until this is to be called again. ``Lost``: nothing has come for too long."""
        if self._checked_at:
            if now - self._checked_at > ANSWER_S:
                raise Lost(f"nothing has come for {now - self._heard_at:.0f} s")
            return self._checked_at + ANSWER_S - now
        if (due_s := self._heard_at + CHECK_S - now) > 0:
            return due_s
        one = next((one for one in self._followers.values() if one.end is None and not one.is_full), None)
        if one is None:
            return CHECK_S
        self._checked_at = now
        self._say(say.Check(one.id))
        return ANSWER_S

    def resume(self, now: float) -> None:
        """Nobody has read it for a while: silence counts from now on."""
        self._heard_at, self._checked_at = now, 0.0

    # ---- what is followed

    def follow(self, after: int, *, live: bool, attend: bool = False) -> Follower:
        """With ``attend`` it is this one that is present under the name, if none is yet. ``UsageError``: it can be no
        number of an entry."""
        if type(after) is not int or not 0 <= after <= NOTHING:
            raise UsageError(f"cannot read {self.path} after entry {after!r}: there can be none of that number")
        name = self.name if attend and self._named is None else ""
        return self._begin(Follower(next(self._ids), self.path, after, name, live=live))

    def attend(self) -> None:
        """Be present under the name, and hear who else is."""
        self._attends = True
        if self._named is None:
            self._silent = self._begin(Follower(next(self._ids), self.path, NOTHING, self.name, live=False))

    def leave(self, follower: Follower) -> None:
        if self._followers.pop(follower.id, None) is not None and self.is_connected:
            self._say(say.Unfollow(follower.id))
        if follower.name and self._attends:  # it was present for all; a seat went with it
            self.attend()
            if self._wants_seat:
                self.want_seat(self._takes_seat)

    def make_room(self, follower: Follower) -> None:
        """What was held is taken: ask for the rest."""
        if follower.is_full and not follower.has_updates:
            del self._followers[follower.id]
            follower.id = next(self._ids)  # what is still on its way for the old one is past a hole
            self._begin(follower)
            if self._wants_seat and follower is self._named:
                self.want_seat(False)  # it went with the old number

    def saying(self, body: Any, key: str) -> dict[str, Any]:
        """The arguments of ``send`` for a message in this session."""
        key = key or f"once:{os.urandom(12).hex()}"
        return {"path": self.path, "body": pack_body(body), "key": key, "session": True, "seat": self.seat}

    def want_seat(self, take: bool) -> None:
        """``seat`` or ``refused`` has the answer."""
        self.attend()
        self._wants_seat, self._takes_seat, self.refused = True, take, None
        if self.is_connected and (named := self._named) is not None:
            self._say(say.Seat(named.id, take))

    def give_seat(self) -> None:
        self._wants_seat = False
        if self.seat and self.is_connected and (named := self._named) is not None:
            self._say(say.GiveSeat(named.id))
        self.seat = ""

    # ---- inside

    @property
    def _named(self) -> Follower | None:
        return next((one for one in self._followers.values() if one.name), None)

    def _begin(self, follower: Follower) -> Follower:
        self._followers[follower.id] = follower
        frame = follower.follow()
        if self.is_connected:
            self._say(frame)
        return follower

    def _hear(self, message: say.ToReader) -> None:
        match message:
            case say.Welcome(boot=boot):
                self.is_open, self.boot = True, boot
                return
            case say.Refused(id=0, code=code, why=why, hint=hint):
                raise Lost(str(from_wire(code, why, hint or None)))
        if (told := self._followers.get(message.id)) is None:
            return
        match message:
            case say.Present(names=names, writer=writer):
                self.present, self.writer = tuple(names), writer
                for follower in self._followers.values():
                    follower.hear(message)
            case say.Seated(seat=seat):
                self.seat = seat
                self._wants_seat, self._takes_seat = self._wants_seat and bool(seat), False
            case say.Refused(code="busy", why=why, hint=hint) if self._wants_seat and told.name:
                self.refused, self._wants_seat = from_wire("busy", why, hint or None), False
            case _ if told.hear(message):
                self._say(say.Unfollow(told.id))
        while self._silent is not None and self._silent.take() is not None:
            pass

    def _say(self, message: say.FromReader) -> None:
        self.out += framed(_encode(message))
