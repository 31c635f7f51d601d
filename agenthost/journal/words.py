"""What host and journal say to each other, on a stream in order; frames as in ``protocol.frames``.

The host numbers its words. Each is named in a Did when it has survived, or could be answered; those that are not are
said again to the next journal, in the same order, so each may come twice. Doors come beside the stream, as descriptors
with the number that ``Own`` names.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.prices import Prices
from agenthost.core.budget.scope import Scope
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.rungs import Ladder

WORD_BYTES = 64 * 1024 * 1024
LISTENER = 0
"""The number of a descriptor beside the stream that is no door: a listening socket for readers of sessions."""


class _Word(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    pass


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """How a receiver's mail is treated: ``attempts`` until it is a dead letter, pauses between them from
    ``initial_ms``, twice as long each time up to ``max_ms``; its mailbox holds ``limit`` messages (0: the most there
    is). ``ladder``: what becomes of failed work, instead of those attempts and pauses."""

    attempts: int = 3
    initial_ms: int = 1000
    max_ms: int = 60_000
    limit: int = 0
    when_full: Literal["refuse", "drop_oldest", "spill"] = "refuse"
    ladder: Ladder | None = None


# ---- host to journal


class Own(_Word, frozen=True):
    """Incarnation (boot, n) has ``path`` from here on, and speaks over that door."""

    id: int
    path: str
    boot: int
    n: int
    door: int
    terms: Terms


class Disown(_Word, frozen=True):
    """Nothing of it is left. ``why`` it ended, if the message in its hand is to count that as a failed attempt. This
    journal may never have heard of it, so the terms are said again."""

    id: int
    path: str
    boot: int
    n: int
    why: str
    terms: Terms
    failure: Failure | None = None


class Clear(_Word, frozen=True):
    """Whoever gets this name next is somebody else: open mail becomes dead letters, the state is forgotten."""

    id: int
    path: str
    why: str


class Known(_Word, frozen=True):
    """Answer to Knows. ``why`` not, if not."""

    id: int
    path: str
    terms: Terms | None
    why: str = ""


class Event(_Word, frozen=True):
    """Of the core, in order; ``chance`` is set where it has changed, ``effects`` a CRC-32 of what was decided."""

    id: int
    boot: int
    number: int
    now_s: float
    event: bytes
    chance: bytes = b""
    effects: int = 0


class Picture(_Word, frozen=True):
    """What the core began with, before its first event."""

    id: int
    boot: int
    now_s: float
    state: bytes


class Send(_Word, frozen=True):
    """Of a client: Answer with the number of the message. ``due_ms``: to be delivered not before; ``by_clock``: also
    after the clock was set. ``in_session``: its log tells of it; ``seat`` is the writing seat of who says it."""

    id: int
    sender: str
    to: str
    body: bytes
    key: str
    terms: Terms
    due_ms: int = 0
    by_clock: bool = False
    in_session: bool = False
    seat: str = ""


class Periodic(msgspec.Struct, frozen=True, array_like=True):
    """A periodic message; ``timetable`` says what names are whose."""

    name: str
    receiver: str
    cron: str
    body: bytes


class Schedule(_Word, frozen=True):
    """Of a client: Answer with the time that it is due next."""

    id: int
    sender: str
    what: Periodic


class Schedules(_Word, frozen=True):
    """All that the config has."""

    id: int
    wanted: tuple[Periodic, ...]


class Keep(_Word, frozen=True):
    """The child at ``path`` is started again by the next host, by ``record``; or no more, if that is nil."""

    id: int
    path: str
    record: bytes | None


class Admit(_Word, frozen=True):
    """Who comes with this ticket may read, once and soon (``protocol.sessions``). Answer."""

    id: int
    ticket: bytes
    who: str


class Budgets(_Word, frozen=True):
    """All that the config has, and what children of run time bring along. Said first to each journal."""

    id: int
    scopes: tuple[Scope, ...]
    prices: Prices = Prices()


class Brings(_Word, frozen=True):
    """All that the child of run time at ``path`` brings along, instead of what was said of that path before; the rest
    stays as it is. None: that child is gone."""

    id: int
    path: str
    scopes: tuple[Scope, ...] = ()


IN_HAND = -1


class Used(msgspec.Struct, frozen=True, array_like=True):
    """By incarnation ``n`` of ``path``; in its turn ``turn``, 0 in none, ``IN_HAND`` in whichever is in hand.
    ``alone``: those above count it themselves."""

    path: str
    n: int
    turn: int
    amounts: Amounts
    alone: bool = False


class Meter(_Word, frozen=True):
    """What the host has counted since it said the last of these; ``number`` counts from 1 in each boot. Nothing used:
    it is there, and how it stands with its budgets is to be said."""

    id: int
    boot: int
    number: int
    used: tuple[Used, ...]


class Crashed(_Word, frozen=True):
    """As ``values.Crash``: what the host knows of the end of a process, or of an attempt that failed, at ``at_ms``
    since 1970. Words with one ``number``, which counts from 1 in each boot, are of one record."""

    id: int
    path: str
    boot: int
    n: int
    number: int
    at_ms: int
    cause: str
    reason: str = ""
    fingerprint: str = ""
    message: int = 0
    attempt: int = 0
    remedy: str = ""
    why: str = ""
    ended: str = ""
    details: bytes = b""


class Ask(_Word, frozen=True):
    """``what``: mailboxes, letters, letter, requeue, drop, asked, answer, cancel, schedules, delayed, unschedule, kept,
    budgets, grant, stats, vacuum; ``questions`` has their arguments."""

    id: int
    what: str
    args: dict[str, Any] = {}


FromHost = (
    Own
    | Disown
    | Clear
    | Known
    | Event
    | Picture
    | Send
    | Schedule
    | Schedules
    | Keep
    | Admit
    | Budgets
    | Brings
    | Meter
    | Crashed
    | Ask
)


# ---- journal to host


class Opened(_Word, frozen=True):
    """The database is open. ``noted``: the last event of this boot that it has."""

    noted: int


class Did(_Word, frozen=True):
    ids: list[int]


class Answer(_Word, frozen=True):
    """``code`` empty: it is ``result``."""

    id: int
    result: Any = None
    code: str = ""
    why: str = ""
    hint: str = ""


class Waits(_Word, frozen=True):
    """There is mail for ``path``, and no door to tell it."""

    path: str


class Knows(_Word, frozen=True):
    """May mail be sent to ``path``? Known answers."""

    path: str


class Trouble(_Word, frozen=True):
    """Nothing can be written; it is tried again. An empty ``why``: it can again."""

    code: str = ""
    why: str = ""


class Remedied(_Word, frozen=True):
    """What was decided after an attempt failed, for ``reason``: which ``rung``, and ``why`` that one. ``escalates``:
    incarnation (boot, n) of ``path`` is to be ended because of it. Not ``failed``: it is decided anew, for a remedy
    could not be applied, or nobody has answered. ``boot`` 0: nothing was attempted: a budget is used up, and asks; or
    nobody has answered. ``question``: a person is asked, and it is that question of this message, from 1."""

    path: str
    boot: int
    n: int
    message: int
    attempt: int
    fingerprint: str
    rung: str
    why: str
    reason: str
    pause_ms: int = 0
    escalates: bool = False
    failed: bool = True
    question: int = 0


class SetAside(_Word, frozen=True):
    """A message has become a dead letter."""

    path: str
    message: int
    sender: str
    attempt: int
    why: str


class Budgeted(_Word, frozen=True):
    """How it stands with the budgets at ``path``, when that has changed: "stopped", "asks" (no turn goes on there or
    below, nor begins), "falls_back" (with ``args``), or "" (all is well). Incarnation (boot, n) of ``by`` has used the
    last of it, in its turn ``turn``."""

    path: str
    state: str
    why: str = ""
    args: dict[str, Any] = {}
    by: str = ""
    boot: int = 0
    n: int = 0
    turn: int = 0


class Overspent(_Word, frozen=True):
    """That turn has used up what a turn may; with ``args`` it goes on with those."""

    path: str
    boot: int
    n: int
    turn: int
    why: str
    args: dict[str, Any] = {}


class Granted(_Word, frozen=True):
    """Somebody lets ``path`` use so much more; with ``message`` in turns of that one alone."""

    path: str
    meter: str
    amount: float
    by: str
    message: int = 0


class Unpriced(_Word, frozen=True):
    """Tokens of ``model`` cost nothing, for no price is known."""

    path: str
    model: str


class Unfired(_Word, frozen=True):
    """A periodic message was due, and could not be sent."""

    path: str
    name: str
    why: str


FromJournal = (
    Budgeted
    | Overspent
    | Granted
    | Unpriced
    | Unfired
    | Opened
    | Did
    | Answer
    | Waits
    | Knows
    | Trouble
    | SetAside
    | Remedied
)
