"""What the end of a process means, by its reason: the one table of which ends somebody wanted. Pure.

The rule it keeps: whoever asks whether an end was wanted asks here.
"""

from __future__ import annotations

from typing import NamedTuple

from agenthost.core.reason import Reason

LATE = "did not stop"
"""So the text begins of a kill because it did not heed that it was asked to end."""


class Meaning(NamedTuple):
    """``look``: one wants to know what it was doing, before it is killed. ``record``: it failed, and a record is kept.
    ``blame``: what it had in hand may have caused that. ``alone``: even where only its turn is interrupted, and that
    was nobody's mail, a record is kept."""

    look: bool = False
    record: bool = False
    blame: bool = False
    alone: bool = False


_WANTED = Meaning()
_FAILED = Meaning(record=True, blame=True)
_ENDED_BY_US = Meaning(look=True, record=True, blame=True)
_OVERRAN = Meaning(look=True, record=True, blame=True, alone=True)
_LATE = Meaning(look=True, record=True)
"""Somebody wanted it gone, so its work is not to blame; but it did not go when it was asked."""

_TABLE: dict[str, Meaning] = {
    "normal": Meaning(blame=True),
    "shutdown": _WANTED,
    "killed": _WANTED,
    "ignore": _WANTED,
    "asleep": _WANTED,
    "escalated": Meaning(record=True),
    "exit": _FAILED,
    "signal": _FAILED,
    "out_of_memory": _FAILED,
    "start_failed": _FAILED,
    "bad_code": _FAILED,
    "gave_up": _FAILED,
    "start_timeout": _ENDED_BY_US,
    "not_live": _ENDED_BY_US,
    "interrupted": _ENDED_BY_US,
    "silent": _OVERRAN,
    "turn_timeout": _OVERRAN,
    "no_progress": _OVERRAN,
    "budget": _OVERRAN,
}


def meaning(kind: str, *, late: bool = False) -> Meaning:
    return _LATE if late else _TABLE.get(kind, _FAILED)


def is_late(reason: Reason) -> bool:
    return reason.kind == "killed" and reason.text.startswith(LATE)


def meaning_of(reason: Reason) -> Meaning:
    return meaning(reason.kind, late=is_late(reason))
