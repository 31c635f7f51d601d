"""A reader of session logs and the journal, over a stream socket of the journal's own: who may come has a ticket.

A ticket is had of the host (operation ``attach``). Frames as in ``frames``, at most ``READER_BYTES`` long to the
journal, ``MESSAGE_BYTES`` from it. ``id`` is the reader's own number, above 0, of one session that it follows; all that
is said of that session has it.

What a reader sees of a session: its entries above ``after``, in order, without holes; CaughtUp; then with ``live`` each
part of the turn in hand as a Delta that begins at 0; then what comes, as it comes. A *part* is what will become an
entry with the turn's commit, or a broken one if the turn fails. ``Settled`` comes right before the entry of a part. Who
reads too slowly loses what is live (Behind: forget the parts) and never an entry.
"""

from __future__ import annotations

import msgspec

from agenthost.version import PROTOCOL

READER_BYTES = 64 * 1024
MESSAGE_BYTES = 64 * 1024 * 1024
HELLO_S = 5.0
"""Who has not said a valid ticket by then is closed."""
TICKET_BYTES = 16
TICKET_S = 30.0
"""A ticket is good for so long, and once."""
FOLLOWED = 256
"""Sessions that one connection may follow."""
NAME_BYTES = 64
"""The longest name of a reader."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag_field="word", tag=str.lower):
    """Base of all; an array that begins with the class name in lower case."""


# ---- reader to journal


class Hello(_Message, frozen=True):
    """The first word: Welcome, or Refused with id 0 and the end of the connection."""

    ticket: bytes
    protocol: int = PROTOCOL


class Follow(_Message, frozen=True):
    """Entries numbered above ``after``, then what comes; ``live``: parts too. ``name`` is what others read in Present;
    empty: it is present to nobody. An ``id`` that is in use is Refused."""

    id: int
    path: str
    after: int = 0
    name: str = ""
    live: bool = True


class Unfollow(_Message, frozen=True):
    """Nothing more of it; a seat is given back. What is on its way may still come."""

    id: int


class Seat(_Message, frozen=True):
    """The writing seat of that session: Seated, or Refused ``busy`` while another reader has it. ``take``: from whoever
    has it."""

    id: int
    take: bool = False


class GiveSeat(_Message, frozen=True):
    """Back; nobody has it then, and anyone may speak. Seated with an empty seat."""

    id: int


class Check(_Message, frozen=True):
    """Is it still followed? CaughtUp again when all that there was has been said, or Refused. For a reader that wants
    to know within a bound that it sees everything."""

    id: int


# ---- journal to reader


class Welcome(_Message, frozen=True):
    """``boot`` is that of the host: an incarnation of another boot has ended."""

    boot: int


class Entry(_Message, frozen=True):
    """One entry of the log. ``at_ms`` is in ms since 1970, ``body`` msgpack, a map. ``message`` and ``attempt`` are
    those of its turn, 0 if no durable mail began it. ``broken``: what there was of it when its turn failed or died;
    never a whole answer."""

    id: int
    seq: int
    at_ms: int
    type: str
    body: bytes
    message: int
    attempt: int
    broken: bool


class Delta(_Message, frozen=True):
    """More of a part. ``part`` is unique within its session. ``fields``: msgpack, all of its fields as they are now;
    empty: as before. ``text`` goes on at character ``at`` of its text; at 0 it begins anew. ``at`` -1: a part without a
    text, whole with its fields. Its entry will have the body {**fields, "text": text}, or just ``fields``."""

    id: int
    part: str
    message: int
    attempt: int
    type: str
    fields: bytes
    at: int
    text: str


class Settled(_Message, frozen=True):
    """The part has become entry ``seq``, which comes next. 0: it has become none, and is to be forgotten."""

    id: int
    part: str
    seq: int


class CaughtUp(_Message, frozen=True):
    """All entries up to ``last_seq``, the last one there is, have been said."""

    id: int
    last_seq: int


class Behind(_Message, frozen=True):
    """It was not read for too long: what was live is dropped, all parts with it. Entries go on after ``seq``, then
    CaughtUp."""

    id: int
    seq: int


class Present(_Message, frozen=True):
    """Who follows it under a name, in the order they came, and the name of who has the writing seat, "" for nobody.
    Said at first, and when it changes."""

    id: int
    names: list[str]
    writer: str


class Seated(_Message, frozen=True):
    """The writing seat is this reader's: ``seat`` goes with what it sends (operation ``send``). Empty: it is so no
    more."""

    id: int
    seat: str


class Removed(_Message, frozen=True):
    """The session was removed; it is followed no more."""

    id: int
    why: str


class Refused(_Message, frozen=True):
    """``code`` of ``errors.py``. ``id`` 0: the connection ends."""

    id: int
    code: str
    why: str
    hint: str = ""


FromReader = Hello | Follow | Unfollow | Seat | GiveSeat | Check
ToReader = Welcome | Entry | Delta | Settled | CaughtUp | Behind | Present | Seated | Removed | Refused
