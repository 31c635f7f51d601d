"""What becomes of an operation. A refusal is a value: in a batch, one agent's mistake is nobody else's."""

from __future__ import annotations

from typing import Literal

import msgspec

from agenthost.journal.values import Mail

Code = Literal[
    "stale", "removed", "overloaded", "too_large", "too_many", "unknown", "conflict", "out_of_order", "failed"
]


class _Answer(msgspec.Struct, frozen=True, tag_field="answer", tag=str.lower):
    pass


class Done(_Answer, frozen=True):
    pass


class Rejected(_Answer, frozen=True):
    """Nothing of this operation was written. ``why`` says "cannot X: why"; ``about`` is the offending value.

    ``stale``         a newer incarnation or attempt has taken over, or none was announced
    ``removed``       there is a tombstone
    ``overloaded``    the mailbox of ``about`` is full
    ``too_large``     see ``limits``
    ``too_many``      see ``limits``
    ``unknown``       there is no such thing
    ``conflict``      there is one already, or it is in a status where this makes no sense
    ``out_of_order``  an event of the core is missing; ``about`` is the number expected
    ``failed``        the store broke on this one; others of the batch were written
    """

    code: Code
    why: str
    about: str = ""


class Accepted(_Answer, frozen=True):
    """``twice``: it was taken before, by its key. ``dropped``: who had to go. ``spilled``: beyond the bound. ``seq``:
    of the log entry that tells of it, 0 if none does."""

    message: int
    twice: bool = False
    dropped: tuple[int, ...] = ()
    spilled: bool = False
    seq: int = 0


class Unsendable(_Answer, frozen=True):
    """A send of a committed turn that became the dead letter ``message``."""

    message: int
    code: Code
    why: str


class Leased(_Answer, frozen=True):
    """``shown``: what would be leased after it, as far as that was asked for; none where it was held already."""

    mail: Mail
    shown: tuple[Mail, ...] = ()


class Nothing(_Answer, frozen=True):
    """No message may be handled now."""


class Committed(_Answer, frozen=True):
    """``last_seq`` is the end of the session's log. ``sends`` in the order of the turn's. ``twice``: it was committed
    before; ``sends`` is then empty."""

    last_seq: int
    sends: tuple[Accepted | Unsendable, ...] = ()
    next: Leased | Nothing | None = None
    twice: bool = False


class Ripened(_Answer, frozen=True):
    """``receivers`` have mail that waits; ``more``: not everything that is due has been looked at."""

    receivers: tuple[str, ...]
    more: bool = False


class Appended(_Answer, frozen=True):
    """Numbers of the entries; ``first`` is ``last + 1`` if there were none."""

    first: int
    last: int


class Retained(_Answer, frozen=True):
    """How many were removed by one step of retention; ``more``: another step would remove more."""

    mail: int = 0
    sessions: int = 0
    events: int = 0
    tombstones: int = 0
    crashes: int = 0
    more: bool = False


Answer = Done | Rejected | Accepted | Leased | Nothing | Committed | Ripened | Appended
