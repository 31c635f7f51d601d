"""The birth socket: a SOCK_SEQPACKET pair between the host and each process it starts. One message a packet.

The kernel vouches for who is at the other end, so this is where secrets travel. For a program the descriptor closes at
exec: end of file without BirthFailed means that exec succeeded.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Message(msgspec.Struct, frozen=True, tag_field="t", tag=str.lower, kw_only=True):
    """Base of all; the tag is the class name in lower case."""


class Certificate(_Message, frozen=True, kw_only=True):
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
    code: bytes = b""
    """A class or function as dill wrote it, which is the agent; ``agent`` then names the code it was written in."""
    beat_s: float = 1.0
    credit: int = 64


# ---- process to host


class Here(_Message, frozen=True, kw_only=True):
    """First packet of a process: its sender's pid, by SCM_CREDENTIALS, is the agent's as the host sees it."""


class Up(_Message, frozen=True, kw_only=True):
    """A Python agent can work. It says Ready on the control plane as well, which may still have to connect: until then
    the host keeps what is asked of it."""


class BirthFailed(_Message, frozen=True, kw_only=True):
    """Something between fork and the author's code failed. ``step`` names it."""

    step: str
    error: str
    errno: int = 0
    trace: str = ""


class Beat(_Message, frozen=True, kw_only=True):
    """A turn is in hand and the interpreter runs. Sent from the first ``beat_s`` of a turn on, not before."""

    turn: int
    busy_s: float


class Idle(_Message, frozen=True, kw_only=True):
    """The turn of which beats were sent is over."""

    turn: int


class Alive(_Message, frozen=True, kw_only=True):
    """Answer to Probe."""

    id: int


class Execed(_Message, frozen=True, kw_only=True):
    """From the init of a PID namespace, which keeps the socket open: its program's exec succeeded."""


class Ended(_Message, frozen=True, kw_only=True):
    """From the init of a PID namespace, last packet: how the agent below it ended, as waitid(2) tells it."""

    code: int
    by_signal: bool


# ---- host to process


class Go(_Message, frozen=True, kw_only=True):
    """You are contained: begin."""


class Probe(_Message, frozen=True, kw_only=True):
    id: int


FromProcess = Here | Up | BirthFailed | Beat | Idle | Alive | Execed | Ended
ToProcess = Go | Probe
