"""The data plane: one agent or client with another, directly, DEALER to ROUTER over ipc.

A message is a header frame (a MessagePack map, key ``t`` names the type) and, for Call, Cast and Reply, a second frame:
the body, msgpack, decoded only by the two ends. The first frame on a connection is Hello; whoever says anything else
first, or a ticket that the host did not announce, gets Closed and is counted. Flow is by credit: Accepted grants a
number of open messages, each Reply, Error or Took gives one back; a sender out of credit waits or says Overloaded.
"""

from __future__ import annotations

import msgspec

from agenthost.version import PROTOCOL


class _Message(msgspec.Struct, frozen=True, tag_field="t", tag=str.lower, kw_only=True):
    """Base of all; the tag is the class name in lower case."""


# ---- caller to callee


class Hello(_Message, frozen=True, kw_only=True):
    ticket: bytes
    caller: str
    inc: str
    protocol: int = PROTOCOL


class Call(_Message, frozen=True, kw_only=True):
    """Body frame follows. ``left_ms`` is what is left of the caller's deadline, None for none."""

    id: int
    left_ms: int | None = None


class Cast(_Message, frozen=True, kw_only=True):
    """Body frame follows; nobody waits for an answer. Took says it is in the mailbox."""

    id: int


class Cancel(_Message, frozen=True, kw_only=True):
    """The caller no longer waits for ``id``; if its turn has not begun it need not begin."""

    id: int


# ---- callee to caller


class Accepted(_Message, frozen=True, kw_only=True):
    """The ticket was good; up to ``credit`` messages may be open at once."""

    inc: str
    credit: int


class Closed(_Message, frozen=True, kw_only=True):
    """Not accepted, or no longer; ``why`` in words."""

    why: str


class Took(_Message, frozen=True, kw_only=True):
    id: int


class Reply(_Message, frozen=True, kw_only=True):
    """Body frame follows."""

    id: int


class Error(_Message, frozen=True, kw_only=True):
    """Instead of Reply. ``code`` of ``errors.py``. ``unhandled``: no turn has had it, it can be given to another."""

    id: int
    code: str
    why: str
    trace: str = ""
    unhandled: bool = False


class Asleep(_Message, frozen=True, kw_only=True):
    """The last word of an incarnation: it has fallen asleep. What it has not answered it has not begun; the host has
    another address by the time that it is asked."""


FromCaller = Hello | Call | Cast | Cancel
FromCallee = Accepted | Closed | Took | Reply | Error | Asleep
