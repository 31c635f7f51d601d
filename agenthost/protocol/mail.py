"""A door: the stream between one incarnation and the journal, which the host has made and given to both.

Who speaks is the socket, so nothing here says who. Frames as in ``frames``. Every request has a number and is answered
once, in no promised order; after the end of a door the agent asks the host for another (WantDoor) and says again what
was not answered. What is said twice is done once: mail in a turn of a message by that message and its attempt, all
else by its ``key``. Bodies and states are msgpack that only the two ends of them read.
"""

from __future__ import annotations

import msgspec

from agenthost.version import PROTOCOL

MESSAGE_BYTES = 64 * 1024 * 1024
"""The longest frame of a door."""

STALE = "stale"
"""Code of Refused: a newer incarnation has taken over. Whoever hears it ends, with status 75."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    """Base of all; an array that begins with the class name in lower case."""


class Sending(msgspec.Struct, frozen=True, array_like=True):
    """One message of a Commit. ``key``: the same sender and key are taken once; "" in a turn of durable mail, which is
    known by its message."""

    to: str
    body: bytes
    key: str = ""


# ---- agent to journal


class Load(_Message, frozen=True):
    """The state after the last turn that was committed: State."""

    id: int
    protocol: int = PROTOCOL


class Knows(_Message, frozen=True):
    """May mail be sent to ``path``? Done, or Refused ``unknown_name``."""

    id: int
    path: str


class Send(_Message, frozen=True):
    """A message by itself: Done when it will not be lost any more."""

    id: int
    to: str
    body: bytes
    key: str


class Take(_Message, frozen=True):
    """The next message for this agent, if there is one: Leased."""

    id: int


class Commit(_Message, frozen=True):
    """The end of a turn. ``message`` 0: no durable mail began it. ``state`` nil: unchanged. ``take``: and the next
    message. Leased when all of it is true, or Refused and nothing is."""

    id: int
    message: int = 0
    attempt: int = 0
    state: bytes | None = None
    state_version: int = 0
    sends: tuple[Sending, ...] = ()
    take: bool = False


class Fail(_Message, frozen=True):
    """The turn of ``message`` has failed: it comes again, later, or becomes a dead letter; at once if ``final``.
    ``unused``: no turn has had it, it goes back to its place. Done."""

    id: int
    message: int
    attempt: int
    why: str
    final: bool = False
    unused: bool = False


# ---- journal to agent


class Waiting(_Message, frozen=True):
    """Unasked: there is mail; Take it when you are free."""


class State(_Message, frozen=True):
    """Nil: there is none yet."""

    id: int
    state: bytes | None = None


class Mail(msgspec.Struct, frozen=True, array_like=True):
    """``attempt`` counts from 1; ``sent_ms`` is when it was taken, in ms since 1970."""

    message: int
    sender: str
    body: bytes
    attempt: int
    sent_ms: int


class Leased(_Message, frozen=True):
    """Nil: there is none now; Waiting tells of the next."""

    id: int
    mail: Mail | None = None


class Done(_Message, frozen=True):
    id: int


class Refused(_Message, frozen=True):
    """``code`` of ``errors.py``, or ``stale``."""

    id: int
    code: str
    why: str
    hint: str = ""


FromAgent = Load | Knows | Send | Take | Commit | Fail
FromJournal = Waiting | State | Leased | Done | Refused
