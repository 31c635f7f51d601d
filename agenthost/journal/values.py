"""What a journal keeps, as its readers see it and as ``export`` writes it.

Bodies are opaque bytes (msgpack, packed and read by the two ends alone). Times are milliseconds since 1970 of the
``now_ms`` that came with the batch; the journal has no clock. An incarnation is ``(boot, n)``; the larger is the newer.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from agenthost.core.budget.amounts import Amounts

Incarnation = tuple[int, int]
"""(boot, n), as everywhere in agenthost."""

Status = Literal["delayed", "waiting", "leased", "backing_off", "parked", "done", "dead", "dropped"]
"""Of a message. The first five are *open*: they count against the bound of the mailbox. ``delayed`` has not entered its
lane yet; ``waiting`` to ``parked`` have, and the first of a lane holds back those behind it; the last three are
closed."""

OPEN: tuple[Status, ...] = ("delayed", "waiting", "leased", "backing_off", "parked")


class _Value(msgspec.Struct, frozen=True, tag_field="kind", tag=str.lower):
    pass


class Mail(_Value, frozen=True):
    """A message. ``place`` is its position in its lane, 0 before it entered it; ``attempt`` counts leases so far.

    ``incarnation`` and ``until_ms`` are those of the last lease. ``meta`` is the host's, ``body`` the author's.
    """

    id: int
    place: int
    receiver: str
    sender: str
    session: str
    status: Status
    attempt: int
    accepted_ms: int
    body: bytes
    meta: bytes = b""
    key: str = ""
    due_ms: int = 0
    incarnation: Incarnation | None = None
    until_ms: int = 0
    closed_ms: int = 0
    outcome: bytes = b""


class Failure(_Value, frozen=True):
    """One line of a message's history: an attempt that did not end well, or what somebody did with it.

    ``what``: ``released``, ``backed_off``, ``parked``, ``dead_letter``, ``moved`` (the operations of these names),
    ``answered`` (``Resume``), ``lost`` (a newer incarnation owns the path), ``requeued``, ``dropped``, ``stranded``,
    ``unsendable``. The rest as of ``ops.Mark``.
    """

    message: int
    attempt: int
    at_ms: int
    what: str
    reason: str
    fingerprint: str = ""
    rung: str = ""
    remedy: bytes = b""


class Cron(_Value, frozen=True):
    """A periodic message. ``cron`` is its text as written; the host computes ``due_ms`` from it."""

    name: str
    receiver: str
    sender: str
    cron: str
    body: bytes
    due_ms: int
    session: str = ""
    meta: bytes = b""


class Entry(_Value, frozen=True):
    """One event of a session's log, as it is handed in. ``message`` and ``attempt`` say which turn it is of (0: none).

    ``broken``: the part of an answer that was streamed before its attempt ended; never a whole answer.
    """

    type: str
    body: bytes
    message: int = 0
    attempt: int = 0
    broken: bool = False


class Logged(_Value, frozen=True):
    """An ``Entry`` with its number in the log of ``session``, from 1 without gaps."""

    session: str
    seq: int
    at_ms: int
    type: str
    body: bytes
    message: int = 0
    attempt: int = 0
    broken: bool = False


class LogPage(_Value, frozen=True):
    """``first_seq``: older ones were removed by retention. ``last_seq``: the newest there is, in this page or not."""

    first_seq: int
    last_seq: int
    entries: tuple[Logged, ...]


class Session(_Value, frozen=True):
    """``first_seq`` is the oldest entry kept (``last_seq + 1`` if none is)."""

    path: str
    created_ms: int
    changed_ms: int
    first_seq: int
    last_seq: int
    state_bytes: int
    state_version: int
    ended_ms: int = 0


class State(_Value, frozen=True):
    """A session's state after its last committed turn, or at a checkpoint (``name``); ``seq`` is where its log was."""

    path: str
    state: bytes
    state_version: int
    seq: int
    name: str = ""
    at_ms: int = 0


class Intent(_Value, frozen=True):
    """A tool call of a turn. ``outcome`` None: it was begun, and nobody knows how it ended."""

    path: str
    message: int
    call: str
    attempt: int
    tool: str
    arguments: bytes
    idempotent: bool
    at_ms: int
    outcome: bytes | None = None
    outcome_ms: int = 0


class Noted(_Value, frozen=True):
    """An event of the core, with the ``now_s`` and the chance it was decided with. ``effects``: a CRC-32 of what was
    decided, 0 if that is not known."""

    boot: int
    number: int
    now_s: float
    chance: bytes
    event: bytes
    at_ms: int = 0
    effects: int = 0


class Snapshot(_Value, frozen=True):
    """The core's state after event ``number``; replay may begin here."""

    boot: int
    number: int
    now_s: float
    state: bytes
    at_ms: int = 0


class Gap(_Value, frozen=True):
    """Events ``first`` to ``last`` were never written; ``why`` in words."""

    boot: int
    first: int
    last: int
    why: str
    at_ms: int = 0


class Tombstone(_Value, frozen=True):
    path: str
    removed_ms: int
    last_seq: int


class Kept(_Value, frozen=True):
    """A child of run time that persists; ``record`` is the host's."""

    path: str
    record: bytes
    at_ms: int = 0


class Owner(_Value, frozen=True):
    """Who may write what belongs to ``path``; ``turn``: the last of its turns that was written by its number."""

    path: str
    incarnation: Incarnation
    turn: int = 0


class Stashed(_Value, frozen=True):
    """What a turn in hand has told, should nobody say any more of it."""

    path: str
    incarnation: Incarnation
    entries: tuple[Entry, ...]


class Repeats(_Value, frozen=True):
    """What the agent of ``path`` has counted of what it repeats; what that means is the agent's (``core.loops``)."""

    path: str
    counts: bytes


class Metered(_Value, frozen=True):
    """What was used at ``path`` and below it."""

    path: str
    used: Amounts


class Spending(_Value, frozen=True):
    """Of the latest incarnation that was heard of: what it has said in all (``meters``, packed), and what it has used
    so far in its turn ``turn``, as it counts them itself; and of that what the host has seen, in turn ``seen_turn`` as
    that counts them."""

    path: str
    incarnation: Incarnation
    turn: int = 0
    in_turn: Amounts = Amounts()
    said: bytes = b""
    seen_turn: int = 0
    seen: Amounts = Amounts()


class Spent(_Value, frozen=True):
    """For a message, by all of its attempts."""

    message: int
    used: Amounts


class Granted(_Value, frozen=True):
    """Beyond what the config has; with ``message`` in turns of that one alone."""

    path: str
    message: int
    meter: str
    amount: float
    by: str
    at_ms: int


class Counted(_Value, frozen=True):
    """The last word of the host of that boot on what was used."""

    boot: int
    number: int


class Crash(_Value, frozen=True):
    """Something that failed: ``attempt`` of ``message`` (0: nothing to do with mail), or the process of an incarnation.
    ``cause`` and ``fingerprint`` as of ``core.remedy.failure``, or of ``core.reason`` where a process has ended without
    a message; ``remedy`` is the rung that was chosen, ``why`` that one. ``ended``: what the process ended of, in words,
    "" if it went on; ``fatal``: the attempt's failure ends it. ``details`` are the host's (``journal.crashes``),
    ``number`` that of its word within the boot, 0 without one."""

    id: int
    path: str
    incarnation: Incarnation
    at_ms: int
    cause: str
    reason: str
    fingerprint: str = ""
    message: int = 0
    attempt: int = 0
    remedy: str = ""
    why: str = ""
    ended: str = ""
    fatal: bool = False
    details: bytes = b""
    number: int = 0


class Stats(_Value, frozen=True):
    """``size_bytes`` is what is in use; ``file_bytes`` what it takes on the disk, 0 where there is none."""

    size_bytes: int
    file_bytes: int
    sessions: int
    open_mail: int
    dead_letters: int


Exported = (
    Mail
    | Failure
    | Cron
    | Logged
    | Session
    | State
    | Intent
    | Noted
    | Snapshot
    | Gap
    | Tombstone
    | Owner
    | Kept
    | Stashed
    | Repeats
    | Metered
    | Spending
    | Spent
    | Granted
    | Counted
    | Crash
)
