"""One interruption of the turn in hand, and where it may strike.

A plain agent is struck by a real-time signal to its main thread, whose handler raises ``TurnInterrupted``: system calls
return (EINTR), so a sleep, a socket, a subprocess are left at once. It strikes where the author's code runs or where
something is waited for on its behalf; never in the midst of our own book-keeping, and never twice. What cannot be
struck now is struck again soon: a signal that comes just before a system call does not end it. An async agent's task is
cancelled; only if its loop stands still because the handler blocks it, that is left by the signal as well.
"""

from __future__ import annotations

import signal
import time
from types import CodeType, FrameType
from typing import Protocol

from agenthost.errors import TurnInterrupted

SIGNAL = signal.SIGRTMAX - 3
"""Of the real-time signals the low ones are taken by C libraries (signal(7): glibc has the first two)."""
FIRST_AGAIN_MS, LAST_AGAIN_MS = 2, 200
"""How soon it is struck again; twice as long each time."""
BLOCKED_S = 0.25
"""A loop that has run nothing for so long stands still."""

_OURS = "agenthost."
_TRANSPARENT = frozenset({"agenthost.agent.functions", "agenthost.agent.authors_code"})
"""They call the author's function and do nothing else."""
_JUDGING = "agenthost.agent.judging"
"""Waits for another agent on the author's behalf."""


class Interruptible(Protocol):
    """The context of a turn, which stands for that turn."""

    interrupted: bool


class Interruption:
    """``context`` is that of the turn which it hits; that began at ``since``, on the clock of ``time.monotonic``.
    ``kind``: as in ``core.remedy.failure``."""

    __slots__ = ("asked_at", "context", "has_struck", "id", "kind", "since", "why")

    def __init__(self, id: int, why: str, context: Interruptible, since: float, kind: str = "interrupted") -> None:
        self.id, self.why, self.context, self.since, self.kind = id, why, context, since, kind
        self.asked_at = time.monotonic()
        self.has_struck = False

    def error(self) -> TurnInterrupted:
        return TurnInterrupted(self.why, kind=self.kind)


def is_authors(frame: FrameType | None, turns: frozenset[CodeType], open_to: frozenset[CodeType]) -> bool:
    """Whether ``frame`` is the author's code, or what that has called outside of agenthost. ``turns`` are the functions
    that call it; in those of ``open_to`` nothing can be torn."""
    inside = False
    while frame is not None and not _is_ours(frame):
        if frame.f_code.co_name == "__del__":
            return False  # what is raised there is printed and dropped
        frame, inside = frame.f_back, True
    if frame is None:
        return False
    if frame.f_code in open_to or frame.f_globals.get("__name__") in _TRANSPARENT:
        return True
    return inside and frame.f_code in turns


def is_waiting_for_author(frame: FrameType | None, turns: frozenset[CodeType]) -> bool:
    """Of a frame of ours that waits: whether the author's code has asked for that, not the desk by itself."""
    while frame is not None and _is_ours(frame):
        if frame.f_code in turns:
            return False
        if frame.f_globals.get("__name__") == _JUDGING:
            return True  # nothing of ours is open but the call, and that is abandoned
        frame = frame.f_back
    return frame is not None


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_OURS)
