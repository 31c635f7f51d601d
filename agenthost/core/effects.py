"""What is to be done: the outputs of ``step``, in order. Each kind has one owner in the host."""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.core.reason import Reason


class _Effect(msgspec.Struct, frozen=True, tag_field="effect", tag=True):
    pass


class Birth(_Effect, frozen=True):
    """Start incarnation ``n`` of ``path``. Answered by Ready, Ignored or Exited, and at the end always by Emptied."""

    path: str
    n: int


class Ask(_Effect, frozen=True):
    """Ask the agent to end; KILL follows after ``grace_s``, never if None."""

    path: str
    n: int
    reason: str
    grace_s: float | None


class Terminate(_Effect, frozen=True):
    """TERM to everything in the cell."""

    path: str
    n: int


class Kill(_Effect, frozen=True):
    """KILL everything in the cell, until it is empty."""

    path: str
    n: int


class Examine(_Effect, frozen=True):
    """Look at what it does, for the record: ``reason`` is why it is about to be killed. The Kill that follows may wait
    for that, for seconds at most."""

    path: str
    n: int
    reason: Reason


class Interrupt(_Effect, frozen=True):
    """Its turn in hand is to end; answered by TurnEnded. ``turn`` names the turn, 0 is whichever is in hand. ``tools``
    are the paths of what is killed with it. ``alone``: it was named itself, not a supervisor above it. ``kind``: what
    kind of failure that is of its turn (``remedy.failure``)."""

    path: str
    n: int
    why: str
    turn: int = 0
    tools: tuple[str, ...] = ()
    alone: bool = True
    kind: str = "interrupted"


class Sleep(_Effect, frozen=True):
    """It is to end if it has still nothing to do; answered by FallsAsleep or Stirred."""

    path: str
    n: int


class Freeze(_Effect, frozen=True):
    """Everything in the cell stands still until Thaw or Kill."""

    path: str
    n: int


class Thaw(_Effect, frozen=True):
    path: str
    n: int


class Adopt(_Effect, frozen=True):
    """The spec of ``path`` has changed in what a running process need not know: heed it from now on."""

    path: str
    n: int


class SetTimer(_Effect, frozen=True):
    """Send ``Due(timer)`` at ``at`` on the clock of ``now``. Setting it again moves it."""

    timer: str
    at: float


class CancelTimer(_Effect, frozen=True):
    timer: str


class Keep(_Effect, frozen=True):
    """A child of run time that persists is to be there after a restart of the host, or no more (``persisting``)."""

    path: str
    kept: bool


class Record(_Effect, frozen=True):
    """Something worth telling people, journal and subscribers: ``name`` is "agent.exited", ``fields`` plain data."""

    name: str
    path: str
    fields: dict[str, Any] = {}


class Answer(_Effect, frozen=True):
    """The end of Command ``op``. ``error`` is a code of ``errors.py`` or None; ``text`` in words."""

    op: int
    error: str | None = None
    text: str = ""


class Ended(_Effect, frozen=True):
    """The root has ended and nothing is left. The host leaves; ``reason`` decides its exit status."""

    reason: Reason


Effect = (
    Birth
    | Ask
    | Terminate
    | Kill
    | Examine
    | Interrupt
    | Sleep
    | Freeze
    | Thaw
    | Adopt
    | SetTimer
    | CancelTimer
    | Keep
    | Record
    | Answer
    | Ended
)
