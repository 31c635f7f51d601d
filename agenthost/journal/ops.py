"""What can be asked of a journal, as frozen values. Each is atomic: it is written as a whole or answered ``Rejected``.

Operations of an agent carry its incarnation, and only the newest one that was announced by ``Own`` may write.
Operations of the host on a leased message carry the attempt they are about, so that a late word on attempt 1 cannot
hit attempt 2.

Order: a *lane* is all mail of one receiver and session, or of one receiver and sender where the mail has no session. A
lane is handled one message at a time, oldest first; a message that backs off or is parked holds back its lane alone.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from agenthost.core.budget.amounts import Amounts
from agenthost.journal.values import Entry, Incarnation, Spending

WhenFull = Literal["refuse", "drop_oldest", "spill"]


class _Op(msgspec.Struct, frozen=True, tag_field="op", tag=True):
    pass


# ---- who may write


class Own(_Op, frozen=True):
    """``incarnation`` is the only one that may write for ``path`` from here on. Leases of older ones end: their
    messages wait again. Saying it twice changes nothing. ``stale`` if a newer one was announced."""

    path: str
    incarnation: Incarnation


# ---- mail


class Accept(_Op, frozen=True):
    """Take a message for ``receiver``. Answer: ``Accepted``, after which it is never lost.

    ``key``: the sender's own name for it; the same sender and key get the same answer and nothing is stored again, as
    long as the first one is kept. ``due_ms``: it enters its lane not before; ``by_clock``: at that time of the
    clock, also after that was set (see ``Shift``). ``limit``: the most open messages the
    mailbox may have, 0 for the largest there is; then ``when_full``: ``refuse`` is ``overloaded``; ``drop_oldest``
    drops the oldest that is not leased; ``spill`` takes it all the same and says so. ``logged``: the receiver's log
    gets this entry, about this message (its ``message`` is set), unless it was taken before.
    ``too_large``, ``overloaded``, ``removed``.
    """

    receiver: str
    sender: str
    body: bytes
    session: str = ""
    key: str = ""
    meta: bytes = b""
    due_ms: int = 0
    limit: int = 0
    when_full: WhenFull = "refuse"
    by_clock: bool = False
    logged: Entry | None = None


class Lease(_Op, frozen=True):
    """The oldest message that may be handled now, for this incarnation alone: ``Leased`` or ``Nothing``. ``stale``.

    Who holds one gets the same again, its attempt and its ``until_ms`` unchanged: an agent has one turn at a time, and
    an answer that got lost can be asked for again.

    A lease ends by what is said of the message, or by ``Own`` of a newer incarnation; never by the clock alone. Past
    ``until_ms`` it is listed as overdue, so that the host ends whoever holds it.

    ``show``: tell of up to so many that will be leased after it, if nothing else happens: those behind it in its lane
    that nobody has had, as far as no other lane comes between, with bodies of ``limits.SHOWN_BYTES`` together. That
    they are shown promises nothing.
    """

    path: str
    incarnation: Incarnation
    until_ms: int
    show: int = 0


class Extend(_Op, frozen=True):
    """The holder needs longer. ``stale``."""

    path: str
    incarnation: Incarnation
    message: int
    attempt: int
    until_ms: int


class CommitTurn(_Op, frozen=True):
    """The end of a turn, as one: acknowledgement, state after, sends, log entries, outcome. Answer: ``Committed``.

    ``message`` 0: a turn that no durable message began. ``state`` None: unchanged. ``checkpoint``: the state after is
    kept under this name too. ``cancels``: as ``Cancel`` of these keys, before the sends; what cannot be cancelled is
    passed over. A send that cannot be taken (``overloaded``, ``removed``) refuses the whole turn, or with
    ``unsendable="dead_letter"`` becomes a dead letter in it. ``lease_until_ms``: lease the next message in the same
    breath; ``show`` as with ``Lease``. ``upon``: ``stale`` unless this incarnation has committed that message. The same
    turn of a message committed again is answered again and changes
    nothing; so is one that no message began, by its ``turn``, which grows with each turn of an incarnation. With
    ``turn`` 0 it is a new turn each time, but for its sends with a key, which are taken once. ``stale``, ``removed``,
    ``too_large``.
    """

    path: str
    incarnation: Incarnation
    message: int = 0
    attempt: int = 0
    state: bytes | None = None
    state_version: int = 0
    sends: tuple[Accept, ...] = ()
    entries: tuple[Entry, ...] = ()
    outcome: bytes = b""
    checkpoint: str = ""
    unsendable: Literal["refuse", "dead_letter"] = "refuse"
    lease_until_ms: int = 0
    cancels: tuple[str, ...] = ()
    turn: int = 0
    show: int = 0
    upon: int = 0


class Release(_Op, frozen=True):
    """A leased message waits again, at its place. ``stale`` if it is not leased for this attempt, or where that is
    said parked after it (so the next four)."""

    message: int
    attempt: int
    reason: str


class Mark(msgspec.Struct, frozen=True):
    """What is kept of a failure beside its reason: which one it was, what was decided, and that in bytes which are
    read again by whoever wrote them."""

    fingerprint: str = ""
    rung: str = ""
    remedy: bytes = b""


NO_MARK = Mark()


class BackOff(_Op, frozen=True):
    """A leased message, or a parked one, waits until ``until_ms``; its lane with it."""

    message: int
    attempt: int
    until_ms: int
    reason: str
    mark: Mark = NO_MARK


class Park(_Op, frozen=True):
    """A leased message, a parked one, or one that waits as the first of its lane, waits for ``Resume``, ``Requeue`` or
    ``Drop``; its lane with it. ``until_ms``: since when it is listed as lapsed; 0 never."""

    message: int
    attempt: int
    reason: str
    until_ms: int = 0
    mark: Mark = NO_MARK


class DeadLetter(_Op, frozen=True):
    """A leased message, or a parked one, is set aside with its history; its lane goes on."""

    message: int
    attempt: int
    reason: str
    mark: Mark = NO_MARK


class Move(_Op, frozen=True):
    """A leased message, or a parked one, is another's from here on: it waits at the end of its lane there, beyond any
    bound, with its history, its attempts and its tool calls. ``removed``."""

    message: int
    attempt: int
    receiver: str
    reason: str
    mark: Mark = NO_MARK


class Resume(_Op, frozen=True):
    """A parked message waits again at its place, with what was said to it. ``unknown``, ``conflict`` in any other
    status."""

    message: int
    reason: str
    mark: Mark = NO_MARK
    grant: Grant | None = None
    """Goes with it."""


class Requeue(_Op, frozen=True):
    """A parked message, or one that backs off, waits again at its place; a dead letter at the end of its lane, beyond
    any bound. ``unknown``, ``conflict`` in any other status; ``removed``."""

    message: int
    reason: str = ""


class Drop(_Op, frozen=True):
    """Never to be handled. ``unknown``; ``conflict`` if it is leased or done."""

    message: int
    reason: str = ""


class Cancel(_Op, frozen=True):
    """What ``sender`` has sent with this key, and nobody has begun to handle, is dropped, and the key is free again.
    ``unknown`` if there is no such message."""

    sender: str
    key: str


class Strand(_Op, frozen=True):
    """Every open message of the mailbox, the leased one too, becomes a dead letter: who should have handled it is gone
    for good, and its name may be used again."""

    path: str
    reason: str


class Ripen(_Op, frozen=True):
    """What was delayed or backs off and is due by now waits: up to ``limit`` messages, in the order they are due.
    Answer: ``Ripened``."""

    limit: int = 1000


class Shift(_Op, frozen=True):
    """The clock was set by so much: what was delayed or backs off waits as long as it would have, but for what is due
    ``by_clock``."""

    by_ms: int


class Schedule(_Op, frozen=True):
    """Keep a periodic message, or replace the one of that name. ``too_large``."""

    name: str
    receiver: str
    sender: str
    cron: str
    body: bytes
    due_ms: int
    session: str = ""
    meta: bytes = b""


class Unschedule(_Op, frozen=True):
    """``unknown``."""

    name: str


class Fire(_Op, frozen=True):
    """The periodic message that is due at ``due_ms`` is sent, and is due next at ``next_due_ms`` (0: it is over).
    ``stale`` if it is not due at ``due_ms``: it was fired already. The rest as ``Accept``, whose answer it has; if that
    is a refusal the next time is set all the same."""

    name: str
    due_ms: int
    next_due_ms: int
    limit: int = 0


class Skip(_Op, frozen=True):
    """The periodic message that is due at ``due_ms`` is not sent, and is due next at ``next_due_ms`` (0: it is over).
    ``stale`` if it is not due at ``due_ms``."""

    name: str
    due_ms: int
    next_due_ms: int


# ---- tool calls


class Intend(_Op, frozen=True):
    """Written before a tool call of a turn begins. ``call`` is unique within the turn. ``stale``, ``too_large``;
    ``conflict`` if this call has been intended by this attempt."""

    path: str
    incarnation: Incarnation
    message: int
    attempt: int
    call: str
    tool: str
    arguments: bytes = b""
    idempotent: bool = False


class Conclude(_Op, frozen=True):
    """How it ended. ``stale``; ``unknown`` without an intent; ``too_large``. The first outcome stays."""

    path: str
    incarnation: Incarnation
    message: int
    call: str
    outcome: bytes


# ---- sessions


class Append(_Op, frozen=True):
    """Entries to a session's log: ``Appended``. ``incarnation`` None: the host itself writes. ``turn`` as of
    ``CommitTurn``: appended again, nothing is. ``stale``, ``removed``, ``too_large``."""

    path: str
    entries: tuple[Entry, ...]
    incarnation: Incarnation | None = None
    turn: int = 0


class Stash(_Op, frozen=True):
    """What the turn in hand has told so far, instead of what was stashed before; without entries, nothing. It becomes
    broken entries of the log by ``BreakOff``, or ``Own`` of a newer incarnation; it is dropped by the turn's
    ``CommitTurn``, or an ``Append`` of the incarnation. ``stale``, ``removed``, ``too_large``."""

    path: str
    incarnation: Incarnation
    entries: tuple[Entry, ...]


class BreakOff(_Op, frozen=True):
    """Nobody will say any more of what ``incarnation`` has stashed: it becomes broken entries. ``Appended``; of none,
    if nothing is stashed, or somebody else's. ``removed``."""

    path: str
    incarnation: Incarnation


class Checkpoint(_Op, frozen=True):
    """The present state under ``name``, replacing what had it. ``unknown`` without a session; ``too_many``."""

    path: str
    name: str


class RollBack(_Op, frozen=True):
    """The state becomes that of the checkpoint. The log is append-only and stays. ``unknown``."""

    path: str
    name: str


class EndSession(_Op, frozen=True):
    """It is over, retention may remove it; a later turn or entry opens it again. ``unknown``."""

    path: str


class RemoveSession(_Op, frozen=True):
    """State, log, checkpoints, intents and open mail go; a tombstone stays: mail, turns and entries for ``path`` are
    ``removed`` until ``Revive``. Removing twice, or what never was, is no error."""

    path: str


class Revive(_Op, frozen=True):
    """Lift the tombstone; the log goes on with the next number. ``unknown`` without one."""

    path: str


class Fork(_Op, frozen=True):
    """``target`` begins as a copy of ``source``: state, checkpoints and log; at a ``checkpoint``, what was there then.
    ``unknown``; ``conflict`` if there is a target; ``removed`` if it was removed."""

    source: str
    target: str
    checkpoint: str = ""


class Import(_Op, frozen=True):
    """A session from elsewhere, as ``Reader.session``, ``state`` and ``log`` told it; the rest of a long log follows by
    ``Append``. ``conflict``, ``removed``, ``too_large``."""

    path: str
    state: bytes | None = None
    state_version: int = 0
    entries: tuple[Entry, ...] = ()


# ---- children of run time


class Keep(_Op, frozen=True):
    """A child that persists: the next host starts it again, by what the host has written in ``record``. Replaces what
    was kept of ``path``. ``too_large``."""

    path: str
    record: bytes


class Unkeep(_Op, frozen=True):
    """No more. Of what is not kept it is no error."""

    path: str


class Repeated(_Op, frozen=True):
    """What the agent has counted of what it repeats, instead of what was kept; empty: nothing. ``stale``, ``removed``,
    ``too_large``."""

    path: str
    incarnation: Incarnation
    counts: bytes


# ---- meters


class Charge(_Op, frozen=True):
    """So much was used at ``path``: it is added to the meters of it and, unless ``alone``, of all above it.
    ``spending``: how far that has come, instead of what was kept. ``message``: whose turn it was for."""

    path: str
    amounts: Amounts
    spending: Spending | None = None
    message: int = 0
    alone: bool = False


class Counted(_Op, frozen=True):
    """The host's words on what was used have been taken up to ``number``; each boot counts anew."""

    boot: int
    number: int


class Grant(_Op, frozen=True):
    """``path`` may use so much more of ``meter``; with ``message`` in turns of that one alone."""

    path: str
    meter: str
    amount: float
    by: str
    message: int = 0


# ---- what failed


class Crash(_Op, frozen=True):
    """As ``values.Crash``. Said again, of the same attempt, the same end, or with the same ``number`` of the
    incarnation's boot, it adds what was not known. The end of a process and the attempt that it ended of are one; what
    is neither is a record of its own. ``unknown`` for an attempt that is not noted as failed. With ``adds`` details are
    added to the record of an attempt, and nothing else; ``unknown`` without one. Without ``at_ms`` it happens now."""

    path: str
    incarnation: Incarnation
    cause: str
    reason: str = ""
    fingerprint: str = ""
    message: int = 0
    attempt: int = 0
    remedy: str = ""
    why: str = ""
    ended: str = ""
    fatal: bool = False
    details: bytes = b""
    adds: bool = False
    number: int = 0
    at_ms: int = 0


# ---- the core, in order


class Note(_Op, frozen=True):
    """The next event of the core. ``number`` counts from 1 in each boot. One that is kept already is passed over;
    ``out_of_order`` if one before it is missing: write the ``Missed`` first."""

    boot: int
    number: int
    now_s: float
    event: bytes
    chance: bytes = b""
    effects: int = 0


class Picture(_Op, frozen=True):
    """A snapshot of the core after event ``number``, the last one written. ``out_of_order``."""

    boot: int
    number: int
    now_s: float
    state: bytes


class Missed(_Op, frozen=True):
    """Events from the next one up to ``last`` will never come. ``out_of_order`` if ``last`` is written already."""

    boot: int
    last: int
    why: str


Op = (
    Own
    | Accept
    | Lease
    | Extend
    | CommitTurn
    | Release
    | BackOff
    | Park
    | DeadLetter
    | Move
    | Resume
    | Requeue
    | Drop
    | Cancel
    | Strand
    | Ripen
    | Shift
    | Schedule
    | Unschedule
    | Fire
    | Skip
    | Intend
    | Conclude
    | Append
    | Stash
    | BreakOff
    | Checkpoint
    | RollBack
    | EndSession
    | RemoveSession
    | Revive
    | Fork
    | Import
    | Keep
    | Unkeep
    | Repeated
    | Charge
    | Counted
    | Grant
    | Crash
    | Note
    | Picture
    | Missed
)


class Retention(msgspec.Struct, frozen=True):
    """What ``Store.retain`` may remove: what is older, and the oldest while the journal holds more than ``size_bytes``.

    None keeps for ever; ``crashes`` is how many there may be, ``crashes_bytes`` of their details. Open mail and live
    sessions are never removed, dead letters and tombstones only by age; events of the core only up to a snapshot. A
    closed message takes its idempotency key and its history with it.
    """

    mail_ms: int | None = 7 * 86_400_000
    events_ms: int | None = 7 * 86_400_000
    ended_ms: int | None = 30 * 86_400_000
    dead_ms: int | None = None
    tombstones_ms: int | None = None
    crashes_ms: int | None = 30 * 86_400_000
    crashes: int | None = 5000
    crashes_bytes: int | None = 256 * 1024 * 1024
    size_bytes: int | None = None
