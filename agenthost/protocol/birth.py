"""The birth socket: a SOCK_SEQPACKET pair between the host and each process it starts. One message a packet.

The kernel vouches for who is at the other end, so this is where secrets travel. For a program the descriptor closes at
exec: end of file without BirthFailed means that exec succeeded.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Message(msgspec.Struct, frozen=True, tag_field="t", tag=str.lower, kw_only=True):
    """Base of all; the tag is the class name in lower case."""


class Certificate(_Message):
    """All a Python agent needs to begin; part of the fork order, not a packet of its own."""

    path: str
    inc: str
    token: bytes
    endpoint: str
    """The control plane, ``ipc://...``."""
    data_folder: str
    """Where a data socket is bound, when somebody looks the agent up."""
    agent: str
    """``module:Class`` or ``path/file.py:Class``."""
    args: dict[str, Any] = {}
    beat_s: float = 1.0
    credit: int = 64


# ---- process to host


class Here(_Message):
    """First packet of a process: its sender's pid, by SCM_CREDENTIALS, is the agent's as the host sees it."""


class BirthFailed(_Message):
    """Something between fork and the author's code failed. ``step`` names it."""

    step: str
    error: str
    errno: int = 0
    trace: str = ""


class Beat(_Message):
    """A turn is in hand and the interpreter runs. Sent from the first ``beat_s`` of a turn on, not before."""

    turn: int
    busy_s: float


class Idle(_Message):
    """The turn of which beats were sent is over."""

    turn: int


class Alive(_Message):
    """Answer to Probe."""

    id: int


# ---- host to process


class Go(_Message):
    """You are contained: begin."""


class Probe(_Message):
    id: int


FromProcess = Here | BirthFailed | Beat | Idle | Alive
ToProcess = Go | Probe
