"""A door: the stream between one incarnation and the journal, which the host has made and given to both.

Who speaks is the socket, so nothing here says who. Frames as in ``frames``. Every request has a number and is answered
once, in no promised order; after the end of a door the agent asks the host for another (WantDoor) and says again what
was not answered. What is said twice is done once: mail in a turn of a message by that message and its attempt, all
else by its ``key``. Bodies and states are msgpack that only the two ends of them read.
"""

from __future__ import annotations

import msgspec

from agenthost.core.remedy.failure import Failure
from agenthost.version import PROTOCOL

MESSAGE_BYTES = 64 * 1024 * 1024
"""The longest frame of a door."""

UNDONE = "undone"
"""Code of Refused: see ``Commit.upon``."""

STALE = "stale"
"""Code of Refused: a newer incarnation has taken over. Whoever hears it ends, with status 75."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag_field="word", tag=str.lower):
    """Base of all; an array that begins with the class name in lower case."""


class Sending(msgspec.Struct, frozen=True, array_like=True):
    """One message of a Commit. ``key``: the same sender and key are taken once; "" in a turn of durable mail, which is
    known by its message. ``due_ms``: it is delivered not before (ms since 1970); ``by_clock``: also after the clock was
    set, else it waits as long as it would have."""

    to: str
    body: bytes
    key: str = ""
    due_ms: int = 0
    by_clock: bool = False


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One entry of a Commit for the log of the agent's session. ``body``: msgpack, a map. ``part``: that of the Deltas
    that told of it. ``broken``: its end was not reached, though that of the turn was."""

    type: str
    body: bytes
    part: int
    broken: bool = False


# ---- agent to journal


class Load(_Message, frozen=True):
    """The state after the last turn that was committed, or as it was at ``checkpoint``: State; Refused
    ``unknown_name`` without such a checkpoint. ``back``: as it was so many committed turns before, if that is kept."""

    id: int
    protocol: int = PROTOCOL
    checkpoint: str = ""
    back: int = 0


class Knows(_Message, frozen=True):
    """May mail be sent to ``path``? Done, or Refused ``unknown_name``."""

    id: int
    path: str


class Send(_Message, frozen=True):
    """A message by itself: Done when it will not be lost any more."""

    id: int
    to: str
    body: bytes
    key: str
    due_ms: int = 0
    by_clock: bool = False


class Cancel(_Message, frozen=True):
    """What was sent with this key, and nobody has begun to handle, is never delivered. Done, also if there is none."""

    id: int
    key: str


class Schedule(_Message, frozen=True):
    """Keep a periodic message, or replace the agent's own of that name: Done."""

    id: int
    name: str
    cron: str
    to: str
    body: bytes


class Unschedule(_Message, frozen=True):
    """Done, or Refused ``unknown_name``."""

    id: int
    name: str


class Take(_Message, frozen=True):
    """The next message for this agent, if there is one: Leased, with up to ``show`` that are shown."""

    id: int
    show: int = 0


class Commit(_Message, frozen=True):
    """The end of a turn. ``message`` 0: no durable mail began it. ``state`` nil: unchanged. ``take``: and the next
    message. Leased when all of it is true, or Refused and nothing is. ``turn``: a number that grows; with entries, what
    tells a turn that no mail began from the next one. ``checkpoint``: the state after is kept under this name too."""

    id: int
    message: int = 0
    attempt: int = 0
    state: bytes | None = None
    state_version: int = 0
    sends: tuple[Sending, ...] = ()
    take: bool = False
    entries: tuple[Entry, ...] = ()
    turn: int = 0
    checkpoint: str = ""
    cancels: tuple[str, ...] = ()
    """As Cancel of these keys, before ``sends``."""
    next: int = 0
    """The message that was shown, and that the agent begins with before this is answered."""
    show: int = 0
    """As in Take."""
    upon: int = 0
    """The message whose turn came before it, if its Commit was not answered when this one began: if that is not true,
    or ours is not leased now, this is Refused as ``undone``, and its turn is done anew."""
    loops: bytes | None = None
    """What the agent has counted of what it repeats, for its next incarnation; nil: unchanged."""


class Called(msgspec.Struct, frozen=True, array_like=True):
    """One try of a tool call. ``key`` is the agent's name for it, unique within its attempt; ``arguments`` and
    ``outcome`` are msgpack, empty where they were too large to keep, or there is none yet."""

    key: str
    tool: str
    attempt: int
    at_ms: int
    arguments: bytes = b""
    idempotent: bool = False
    outcome: bytes = b""


class Intend(_Message, frozen=True):
    """These calls are about to be made in the turn of ``message``: Done when that is kept, Refused and none of them
    need be. Said twice it is done once."""

    id: int
    message: int
    calls: tuple[Called, ...]


class Conclude(_Message, frozen=True):
    """How a call of the latest attempt ended. Done, also where it is not wanted any more."""

    id: int
    message: int
    key: str
    outcome: bytes


class Recall(_Message, frozen=True):
    """The calls of the attempts before, after the first ``after`` of them: Recalled."""

    id: int
    message: int
    after: int = 0


class Fail(_Message, frozen=True):
    """The turn of ``message`` has failed: it comes again, later, or becomes a dead letter; at once if ``final``.
    ``unused``: no turn has had it, it goes back to its place. ``skipped``: its remedy could not be applied, the next
    one is wanted. ``failure`` without its text, which is ``why``. What it has told by Delta becomes broken entries.
    ``loops`` as in Commit. Done."""

    id: int
    message: int
    attempt: int
    why: str
    final: bool = False
    unused: bool = False
    failure: Failure | None = None
    skipped: bool = False
    loops: bytes | None = None


class Delta(_Message, frozen=True):
    """Not answered. What the turn in hand has to tell: part ``part`` of this incarnation, numbered up. ``fields``:
    msgpack, all of its fields as they are now; empty: as before. ``text`` goes on at character ``at``; 0 begins anew.
    ``at`` -1: a part without a text. It is said to those who look on, and kept until the turn's Commit, Fail or Break;
    so all of it is said again at the next door."""

    part: int
    message: int
    attempt: int
    type: str
    fields: bytes
    at: int
    text: str


class Spent(_Message, frozen=True):
    """Not answered; said again at the next door. What this incarnation has used since it began, all in all, as far as
    it says so itself. What has come since the last one was used in its turn ``turn`` (as Beat has it), and for
    ``message``. ``models``: tokens in and out of each, to be priced; ``others`` those that are not."""

    turn: int
    message: int
    turns: int = 0
    tool_calls: int = 0
    wall_s: float = 0.0
    cost: float = 0.0
    others: tuple[int, int] = (0, 0)
    models: dict[str, tuple[int, int]] = {}
    id: int = 0
    """Always."""


class Break(_Message, frozen=True):
    """A turn that no mail began has failed: its parts, those up to ``part``, become broken entries. ``turn`` as in
    Commit. Done."""

    id: int
    turn: int
    part: int


# ---- journal to agent


class Waiting(_Message, frozen=True):
    """Unasked: there is mail; Take it when you are free."""


class State(_Message, frozen=True):
    """Nil: there is none yet. ``state_version`` is that of the Commit which it was said with."""

    id: int
    state: bytes | None = None
    state_version: int = 0


class Recalled(_Message, frozen=True):
    """In the order they were intended; ``more`` follow. ``why`` the attempt before ended."""

    id: int
    calls: tuple[Called, ...] = ()
    more: bool = False
    why: str = ""


class Remedy(msgspec.Struct, frozen=True, array_like=True):
    """What was decided after the attempt before. ``rung`` is the step with its parameters, ``word`` what kind it is,
    ``parameters`` msgpack, a map. ``answer``: what a person has said, ``by`` whom."""

    rung: str
    word: str
    parameters: bytes
    answer: str = ""
    by: str = ""


class Mail(msgspec.Struct, frozen=True, array_like=True):
    """``attempt`` counts from 1; ``sent_ms`` is when it was taken, in ms since 1970. ``in_session``: it was said in the
    agent's session, and what the turn returns is said there too."""

    message: int
    sender: str
    body: bytes
    attempt: int
    sent_ms: int
    in_session: bool = False
    remedy: Remedy | None = None


class Leased(_Message, frozen=True):
    """Nil: there is none now; Waiting tells of the next. ``loops``: what was kept of that last, with the first mail of
    a door. ``same``: it is the one that was named as ``next``, and is not said again. ``shown``: what would be leased
    after it if nothing else happens; that promises nothing."""

    id: int
    mail: Mail | None = None
    loops: bytes = b""
    same: bool = False
    shown: tuple[Mail, ...] = ()


class Done(_Message, frozen=True):
    id: int


class Refused(_Message, frozen=True):
    """``code`` of ``errors.py``, or ``stale``."""

    id: int
    code: str
    why: str
    hint: str = ""


Request = (
    Load | Knows | Send | Cancel | Schedule | Unschedule | Take | Commit | Fail | Intend | Conclude | Recall | Break
)
"""What is answered."""
FromAgent = Request | Delta | Spent
FromJournal = Waiting | State | Leased | Done | Refused | Recalled
