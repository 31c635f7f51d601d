"""What failed, as a value: of one attempt at one message. Light, for agents say it."""

from __future__ import annotations

from typing import Literal

import msgspec

from agenthost.core.reason import Reason, signal_name

Kind = Literal[
    "crash",  # what the author's code raised, or an exit status
    "signal",
    "out_of_memory",
    "silent",  # no sign of life
    "turn_timeout",
    "no_progress",  # its turn did not get on
    "interrupted",
    "budget",
    "loop",
    "rejected",  # the answer was: by check(), schema or judge
    "error",  # an AgenthostError of a turn whose process goes on
    "refused",  # Refuse: nothing that another attempt could change
    "unreadable",  # its body is no message
    "ended",  # anything else that its process ended of
]


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """``type``: an exception, an error's code, a signal. ``place``: module and function. ``tool``: what was called, if
    that is what failed. ``text`` is for people. ``retry_after_s``: not before, says who refused."""

    kind: str
    type: str = ""
    place: str = ""
    tool: str = ""
    text: str = ""
    retry_after_s: float = 0.0


_KINDS: dict[str, Kind] = {
    "exit": "crash",
    "normal": "crash",
    "signal": "signal",
    "out_of_memory": "out_of_memory",
    "silent": "silent",
    "interrupted": "interrupted",
    "turn_timeout": "turn_timeout",
    "budget": "budget",
    "no_progress": "no_progress",
}


def of_end(reason: Reason) -> Failure:
    """Of the turn that a process had in hand when it ended."""
    kind = _KINDS.get(reason.kind, "ended")
    what = ""
    if kind == "crash":
        what = f"exit status {reason.detail or 0}"
    elif kind == "signal":
        what = signal_name(reason.detail or 0)
    elif kind == "ended":
        what = reason.kind
    return Failure(kind, what, text=reason.words())
