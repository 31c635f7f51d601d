"""The control plane: life and look-ups. Agents and clients speak to the host; the router between them only relays.

A message is one ZeroMQ frame, a MessagePack map whose key ``t`` names the type. Unknown keys are ignored. What must
arrive is answered, and repeated until it is: Ready by Welcome, Stop by Stopping, Lookup by Found or Refused, Expect by
Expecting, Down by Seen, Request by Response or Refused. Receivers take a repetition for what it is (same ``id``).
``inc`` is the incarnation of the agent that speaks, "boot.n"; the host drops what an older one says.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.version import PROTOCOL


class _Message(msgspec.Struct, frozen=True, tag_field="t", tag=str.lower, kw_only=True):
    """Base of all; the tag is the class name in lower case."""


# ---- agent to host


class Ready(_Message, frozen=True, kw_only=True):
    """First message of an agent. ``token``: 16 bytes from the birth socket. ``info`` is passed on, not stored."""

    inc: str
    token: bytes
    protocol: int = PROTOCOL
    info: Any = None


class Ignore(_Message, frozen=True, kw_only=True):
    """Instead of Ready: nothing to do here (OTP ``ignore``, rule S3). The process ends by itself."""

    inc: str
    token: bytes


class Failed(_Message, frozen=True, kw_only=True):
    """Instead of Ready: the agent's own start raised. ``error`` in one line, ``trace`` as Python prints it."""

    inc: str
    token: bytes
    error: str
    trace: str = ""


class Stopping(_Message, frozen=True, kw_only=True):
    """Stop was seen; the turn in hand is finished first."""

    inc: str
    id: int


class Expecting(_Message, frozen=True, kw_only=True):
    """The agent's data socket is bound at ``address`` and will accept ``ticket``."""

    inc: str
    ticket: bytes
    address: str


class Seen(_Message, frozen=True, kw_only=True):
    """Down number ``id`` was received."""

    id: int


# ---- agent or client to host


class Lookup(_Message, frozen=True, kw_only=True):
    """Who is at ``path``? Clients leave ``inc`` empty."""

    id: int
    path: str
    inc: str = ""


class Overdue(_Message, frozen=True, kw_only=True):
    """Incarnation ``callee`` of ``path`` has let a deadline pass without a word: the host looks whether its interpreter
    still runs. Not answered; the next deadline says it again."""

    path: str
    callee: str
    inc: str = ""


class Request(_Message, frozen=True, kw_only=True):
    """A client's wish: ``op`` is a word of the table in SPEC.md, ``args`` its arguments by name."""

    id: int
    op: str
    args: dict[str, Any] = {}


# ---- host to agent or client


class Welcome(_Message, frozen=True, kw_only=True):
    """Ready was taken; from here on the agent is reachable."""

    inc: str


class Stop(_Message, frozen=True, kw_only=True):
    """Please end. KILL follows ``grace_s`` seconds after this was sent, never if None."""

    id: int
    reason: str
    grace_s: float | None


class Sleep(_Message, frozen=True, kw_only=True):
    """You said Drowsy ``number``: end, if nothing has come since. Answered over the birth socket: Asleep, or Awake."""

    number: int


class Rest(_Message, frozen=True, kw_only=True):
    """From now on say Drowsy after ``after_s`` seconds with nothing to do; 0 is never. Answered by Seen."""

    id: int
    after_s: float


class Expect(_Message, frozen=True, kw_only=True):
    """Somebody will connect to your data socket with ``ticket``; bind it if it is not yet bound."""

    ticket: bytes
    caller: str
    caller_inc: str


class Found(_Message, frozen=True, kw_only=True):
    """Connect to ``address`` and say Hello with ``ticket``: that is incarnation ``inc`` of ``path``."""

    id: int
    path: str
    inc: str
    address: str
    ticket: bytes


class Refused(_Message, frozen=True, kw_only=True):
    """``code`` of ``errors.py``; ``why`` and ``hint`` are for people."""

    id: int
    code: str
    why: str
    hint: str | None = None


class Down(_Message, frozen=True, kw_only=True):
    """``path``'s incarnation ``inc``, which you looked up or monitor, has ended. ``reason`` is in words; ``well``: it
    was asked to, or ended with status 0. ``code`` is the status that its main process ended with, or ``signal`` the
    signal that ended it, where the host has seen either. Of a tool it is said when its cell is empty."""

    id: int
    path: str
    inc: str
    reason: str
    well: bool = False
    code: int | None = None
    signal: int | None = None
    asleep: bool = False
    """It has fallen asleep, and will be there again when it is looked up."""


class Response(_Message, frozen=True, kw_only=True):
    """The answer to Request ``id``. With ``more``, further Responses of the same ``id`` follow (a stream)."""

    id: int
    result: Any = None
    more: bool = False


class Garbled(_Message, frozen=True, kw_only=True):
    """What you said could not be read. Nothing else came of it; it was counted."""

    why: str


FromPeer = Ready | Ignore | Failed | Stopping | Expecting | Seen | Lookup | Overdue | Request
FromHost = Welcome | Stop | Sleep | Rest | Expect | Found | Refused | Down | Response | Garbled
