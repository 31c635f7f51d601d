"""What a reader of a session is told, as values: entries of its log, and what has not become one yet."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """An entry of the log, numbered from 1 without gaps; ``at`` in seconds since 1970. ``message`` and ``attempt`` are
    those of its turn, 0 if no durable mail began it. ``broken``: what there was of it when its turn failed or died,
    never a whole answer. ``part``: the live part that has become this entry, "" if none was seen."""

    seq: int
    at: float
    type: str
    fields: dict[str, Any]
    message: int = 0
    attempt: int = 0
    broken: bool = False
    part: str = ""


class Part(msgspec.Struct, frozen=True):
    """What an agent is saying in the turn in hand; it becomes an Event with the end of the turn, perhaps a broken one.
    ``text`` is all of it so far, ``new`` what this update has added to it; ``begins`` if it is all of it: forget what
    you had of this part. ``text`` None: it has none, only fields."""

    part: str
    type: str
    fields: dict[str, Any]
    text: str | None
    new: str
    begins: bool
    message: int = 0
    attempt: int = 0


class Dropped(msgspec.Struct, frozen=True):
    """These parts are to be forgotten. What they said comes again, as parts or as events."""

    parts: tuple[str, ...]


class Presence(msgspec.Struct, frozen=True):
    """Who follows the session under a name, and who of them has the writing seat, "" for nobody."""

    names: tuple[str, ...]
    writer: str


class CaughtUp(msgspec.Struct, frozen=True):
    """All entries up to ``seq``, the last one there is, have been told."""

    seq: int


class Cut(msgspec.Struct, frozen=True):
    """The connection has ended; it is made anew, and nothing is lost."""

    why: str


Update = Event | Part | Dropped | Presence | CaughtUp | Cut
