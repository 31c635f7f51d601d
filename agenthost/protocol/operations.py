"""What ``Request.op`` may say: each operation's arguments as a struct, its result in words. Defined once.

The host reads arguments with ``read_arguments``; ``tables`` writes the table of SPEC.md. Unlike keys of messages,
unknown arguments are refused: a newer client must not believe that an older host heeded what it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from agenthost.errors import UsageError


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all. The word is the class name in lower case; the doc says what the result is."""


class Ping(Operation, frozen=True, kw_only=True):
    """Is anybody there? At once, the boot number of the host: an incarnation "boot.n" of another has ended. With
    ``journal`` a map of ``boot`` and ``journal``: why that does not answer now, "" if it does."""

    journal: bool = False


class Status(Operation, frozen=True, kw_only=True):
    """The tree: what is wanted and what is. A map: ``host``, the host's own state, and ``tree``, an array of maps with
    at least ``path``, ``kind`` (supervisor or worker), ``state``, and of workers ``incarnation``, ``pid`` (as seen
    outside), ``cell`` and the last ``reason``; of pools how many members are ``live``, may be (``live_limit``, or nil)
    and sleep (``asleep``, nil if the journal does not say). ``paths`` are paths, each with all below it, or globs; none
    means all. With ``members`` each worker has the processes of its cell."""

    paths: list[str] = []
    members: bool = False


class Ps(Operation, frozen=True, kw_only=True):
    """The host's own processes: an array of maps with ``path``, ``pid`` (as seen outside), ``what`` and ``since``.
    Those of agents are in ``status``."""


class Inspect(Operation, frozen=True, kw_only=True):
    """One agent or program as it is now: a map with ``path``, ``incarnation``, ``pid``, ``state``, ``frozen``, ``turn``
    (the agent's number of the one in hand, 0 if the host knows of none) and ``turn_s``, ``silent_s`` (since its last
    sign of life in a turn, or nil), ``processes`` of its cell and of cells in it, at most 100 of ``processes_in_all``:
    maps with ``pid``, ``ppid``, ``name``, ``state``, ``cpu_s``, ``memory_bytes``, ``age_s``, ``threads``, ``argv``
    without what looks like a secret. With ``stack`` the text of where its threads stand, and ``stack_means``, how that
    was had or why not. ``not_running`` without a process."""

    path: str
    stack: bool = False


class OnPath(Operation, frozen=True, kw_only=True):
    path: str
    wait: bool = True
    reason: str = ""
    timeout_s: float | None = None


class Start(OnPath, frozen=True, kw_only=True):
    """Start what is stopped, or a new member of the pool above ``path``. With ``wait``, answered when it is ready; a
    map with ``path``, ``state``, ``incarnation`` and ``text``, what there is to say."""


class Stop(OnPath, frozen=True, kw_only=True):
    """Climb the ladder: ask, TERM, KILL. With ``wait``, answered when its cell is empty; a map like that of start."""


class Restart(OnPath, frozen=True, kw_only=True):
    """Stop, then start. With ``wait``, answered when the new incarnation is ready; a map like that of start."""


class Kill(OnPath, frozen=True, kw_only=True):
    """KILL at once; its restart type decides what follows. With ``wait``, answered when the cell is empty; a map
    like that of start."""


class Interrupt(OnPath, frozen=True, kw_only=True):
    """End the turn in hand, not the process; its caller gets ``interrupted``. Of a supervisor: the turns of all agents
    below. A program has no turns: its main process gets SIGINT. Who does not come back in time is ended. Answered when
    all of that is over, or ``not_running`` if no turn is in hand; a map like that of start, ``text`` says what was
    interrupted and killed."""


class Freeze(OnPath, frozen=True, kw_only=True):
    """All at ``path`` and below stands still, and no deadline of the host's passes for it. A map like that of start."""


class Thaw(OnPath, frozen=True, kw_only=True):
    """It goes on, all below included. A map like that of start."""


class Events(Operation, frozen=True, kw_only=True):
    """Records of what happened, as a stream of arrays of maps, each with its ``offset``. Without ``from`` it begins
    with what comes next. With ``follow`` it goes on until the client goes; a hole between offsets is loss: ask again
    from there."""

    start: int | None = msgspec.field(default=None, name="from")
    follow: bool = False


class Plan(Operation, frozen=True, kw_only=True):
    """What reading the config again would do: an array of maps with ``path``, ``what`` (add, remove, restart, replace,
    live, or nothing where it takes a new host) and ``why``. Empty if nothing has changed."""


class Reload(Operation, frozen=True, kw_only=True):
    """Read the config again and become what it says, all or nothing. Answered when all that is new is up and the rest
    is under way: a map with ``changes``, as of plan, and ``text``."""

    timeout_s: float | None = None


class Halt(Operation, frozen=True, kw_only=True):
    """End the host and all below it; nil when it has begun. ``how``: ``ask`` climbs every ladder, ``hurry`` sends TERM
    to all, ``kill`` KILL."""

    how: Literal["ask", "hurry", "kill"] = "ask"


class Doctor(Operation, frozen=True, kw_only=True):
    """What is enforced by what, and what is not and why: an array of maps with ``subject``, ``ok`` and ``text``."""


class Counters(Operation, frozen=True, kw_only=True):
    """Counts since the start, of router, host and core: a map of names to integers."""


class Send(Operation, frozen=True, kw_only=True):
    """Durable mail for the agent at ``path``, running or not: answered when it will not be lost any more. ``body`` is
    msgpack. The same ``key`` of the same user is taken once. ``due_ms``: it is delivered not before (ms since 1970);
    ``by_clock``: also after the clock of the machine was set, else it waits as long as it would have. ``session``: it
    is said in the agent's session, whose log tells it to all readers; then ``seat`` is the writing seat of who says
    it, ``busy`` if another reader has that. A map with ``message``, its number, and ``twice``."""

    path: str
    body: bytes
    key: str = ""
    due_ms: int = 0
    by_clock: bool = False
    session: bool = False
    seat: str = ""


class Attach(Operation, frozen=True, kw_only=True):
    """A way to the logs of sessions ("Doors and sessions"): a map with ``address``, the path of a stream socket, and
    ``ticket``, binary, good for one connection within 30 s. With ``path``, ``unknown_name`` if there is neither an
    agent nor a session of that name."""

    path: str = ""


class Cancel(Operation, frozen=True, kw_only=True):
    """What the same user has sent with ``key``, and nobody has begun to handle, is never delivered; nil.
    ``unknown_name`` if there is no such message."""

    key: str


class Schedule(Operation, frozen=True, kw_only=True):
    """Send ``body`` (msgpack) to ``path`` whenever ``cron`` says; what clients have of that name is replaced. A map
    with ``next``, seconds since 1970."""

    name: str
    cron: str
    path: str
    body: bytes


class Unschedule(Operation, frozen=True, kw_only=True):
    """``name`` as schedules has it, but for those of the config; nil. ``unknown_name``."""

    name: str


class Schedules(Operation, frozen=True, kw_only=True):
    """Periodic messages with a name above ``after``, up to 100: an array of maps with ``name`` ("/path#name" of an
    agent, "config:/path#name" of the config, a plain name of clients), ``receiver``, ``sender``, ``cron``, ``next`` and
    ``body``, nil if it is longer than 1 KiB."""

    after: str = ""
    limit: int = 100


class Delayed(Operation, frozen=True, kw_only=True):
    """Messages that are not due yet, in the order they are due, after ``after`` (``due_ms`` and ``message`` of the last
    one), up to 100: an array of maps with ``message``, ``receiver``, ``sender``, ``key``, ``due_ms`` and ``body`` as in
    schedules."""

    after: tuple[int, int] = (0, 0)
    limit: int = 100


class Undelay(Operation, frozen=True, kw_only=True):
    """A message that is not due yet is never delivered; nil. ``unknown_name`` if there is no such message."""

    message: int


class Letters(Operation, frozen=True, kw_only=True):
    """Dead letters of receivers whose path begins with ``prefix``, numbered above ``after``, in order, up to 100: an
    array of maps like that of letter."""

    prefix: str = ""
    after: int = 0
    limit: int = 100


class Letter(Operation, frozen=True, kw_only=True):
    """A message: a map with ``message``, ``receiver``, ``sender``, ``status``, ``attempt``, ``sent`` (seconds since
    1970), ``body`` (msgpack) and ``history``, an array of maps."""

    message: int


class Requeue(Operation, frozen=True, kw_only=True):
    """A dead letter, or one that waits for its next attempt, waits for its receiver again; nil."""

    message: int


class Drop(Operation, frozen=True, kw_only=True):
    """A message is never to be handled; nil. One in hand is refused; with ``in_hand`` it is dropped if its turn fails,
    by an interrupt for example, and not tried again."""

    message: int
    in_hand: bool = False


class Asked(Operation, frozen=True, kw_only=True):
    """Messages that wait for a person (``ask`` in ``recovery``), of receivers whose path begins with ``prefix``,
    numbered above ``after``, in order, up to 100: an array of maps with ``message``, ``receiver``, ``sender``,
    ``attempt``, ``question``, ``nth`` (which question of this message), ``reason`` (what failed), ``since`` and
    ``until`` (seconds since 1970; 0 for ever), and ``budget``, "cost of /team": those with the same one ask the same,
    and the first yes grants; "" for others."""

    prefix: str = ""
    after: int = 0
    limit: int = 100


class Answer(Operation, frozen=True, kw_only=True):
    """What a person says to a message that waits for one: ``yes`` and it is tried again, with ``text`` in
    ``ctx.attempt.answer``; not ``yes`` and it is a dead letter. ``nth``: to this question alone, 0: to the open
    one. nil; ``unknown_name`` if it does not wait for anybody, or not with that question any more."""

    message: int
    yes: bool
    text: str = ""
    nth: int = 0


class Crashes(Operation, frozen=True, kw_only=True):
    """Records of what failed, at ``path`` and below (all without), newest first, up to 100: attempts at messages, and
    processes that ended though nobody had wanted that. Numbered below ``before`` unless that is 0, not older than
    ``since`` (seconds since 1970). An array of maps like that of crash, without ``details``."""

    path: str = ""
    before: int = 0
    since: float = 0.0
    limit: int = 100


class Crash(Operation, frozen=True, kw_only=True):
    """One: a map with ``number``, ``path``, ``incarnation``, ``at`` (seconds since 1970), ``kind``, ``reason``,
    ``ended`` (what the process ended of; empty if it went on), ``fingerprint``, ``message`` and ``attempt`` (0: none),
    ``remedy`` and ``why`` that one, ``spent`` for the message so far, and ``details``, a map of what is known:
    ``trace``, ``lines`` (the last it printed), ``killed``, ``usage``, ``autopsy``. ``unknown_name``."""

    number: int


class Explain(Operation, frozen=True, kw_only=True):
    """What is known of ``path``, whether it is there or not: a map with at least ``path``, ``is_there``, ``node`` (nil
    if it is not), ``records`` (what happened to it lately, oldest first), ``crashes`` and ``mail`` (nil if the journal
    does not say)."""

    path: str


class Budgets(Operation, frozen=True, kw_only=True):
    """What was used, and of how much. Of ``path`` and those above it that bound it; of all that the config bounds
    without; with ``below`` of all that was metered at ``path`` and below. The last two in order, above ``after``, about
    200 at a time. An array of maps with ``path``, ``used`` (a map of meters), ``bounds`` (an array of maps with
    ``scope``: turn, session, agent or tree; ``meter``, ``used``, ``of``, ``granted``, ``at_limit``, and ``state``: "",
    stopped, asks or falls_back), ``grants`` (an array of maps with ``meter``, ``amount``, ``by``, ``at``) and
    ``currency``."""

    path: str = ""
    below: bool = False
    after: str = ""


class Grant(Operation, frozen=True, kw_only=True):
    """``path`` may use so much more of ``meter``, beyond what the config has; an array as of budgets. ``usage`` if that
    path has no such bound."""

    path: str
    meter: str
    amount: float


class Journal(Operation, frozen=True, kw_only=True):
    """``stats``: a map with sizes and counts. ``vacuum``: give room back to the disk; the bytes given, 0 when there is
    no more to give."""

    what: Literal["stats", "vacuum"]


class Sessions(Operation, frozen=True, kw_only=True):
    """Sessions at ``prefix`` and below (all without), with a path above ``after``, in order, up to 1,000: an array of
    maps with ``path``, ``created`` and ``changed`` (seconds since 1970), ``ended`` (0: it is not), ``first_seq`` and
    ``last_seq`` of its log, ``state_bytes``, ``state_version``."""

    prefix: str = ""
    after: str = ""
    limit: int = 100


class Session(Operation, frozen=True, kw_only=True):
    """One: a map like those of sessions, with ``mail``, the messages that wait, and ``checkpoints``, newest first, an
    array of maps with ``name``, ``at``, ``seq`` and ``state_version``. Of a removed one only ``path``, ``removed``
    (when) and ``last_seq``. ``unknown_name`` if there is neither."""

    path: str


class Log(Operation, frozen=True, kw_only=True):
    """Entries of a session numbered above ``after``, up to 1,000 and about 4 MiB: a map with ``first_seq``,
    ``last_seq`` and ``entries``, an array of maps with ``seq``, ``at``, ``type``, ``body`` (msgpack), ``bytes`` (its
    length), ``message``, ``attempt``, ``broken``. A body longer than that is nil, and had by piece."""

    path: str
    after: int = 0
    limit: int = 100


class Piece(Operation, frozen=True, kw_only=True):
    """Up to 4 MiB from byte ``at`` of the body of entry ``seq``; for 0 of the state, as it was at ``checkpoint`` if
    that is named. A map with ``data``, ``bytes`` (of the whole), ``digest`` (its CRC-32), ``seq`` (where the log was)
    and ``state_version``; nil if there is none."""

    path: str
    seq: int = 0
    checkpoint: str = ""
    at: int = 0


class Upload(Operation, frozen=True, kw_only=True):
    """A piece of something for a later operation, which names it; up to 20 MiB in all. The number of bytes there."""

    name: str
    at: int
    data: bytes


class OnSession(Operation, frozen=True, kw_only=True):
    """``busy`` if the agent of that path runs; with ``stop`` it is stopped for it, and started again."""

    path: str
    stop: bool = False


class Fork(OnSession, frozen=True, kw_only=True):
    """``path`` begins as a copy of session ``source``, or of what that was at ``checkpoint``; nil."""

    source: str
    checkpoint: str = ""


class Import(OnSession, frozen=True, kw_only=True):
    """``path`` begins with a state and entries from elsewhere; or, with ``after``, its log goes on with entries: that
    is the number of the last one. ``state`` and ``entries`` name uploads, "" for none: msgpack, and a msgpack array of
    arrays type, body, message, attempt, broken. The number of the last entry."""

    state: str = ""
    state_version: int = 0
    entries: str = ""
    after: int = 0


class Remove(OnSession, frozen=True, kw_only=True):
    """State, log, checkpoints and open mail of the session go; a tombstone stays, and mail for it is refused until it
    is revived. Not started again; nil."""


class Revive(OnSession, frozen=True, kw_only=True):
    """Lift the tombstone; what was removed does not come back. nil."""


class Rollback(OnSession, frozen=True, kw_only=True):
    """The state becomes that of ``checkpoint``; the log stays. nil."""

    checkpoint: str


class Wait(Operation, frozen=True, kw_only=True):
    """Answered when ``path`` is in the state that ``for`` names, or Refused ``timed_out``; a map like that of start."""

    path: str
    state: str = msgspec.field(default="ready", name="for")
    timeout_s: float | None = None


OPERATIONS: dict[str, type[Operation]] = {
    kind.__name__.lower(): kind
    for kind in (
        Ping,
        Status,
        Ps,
        Inspect,
        Start,
        Stop,
        Restart,
        Kill,
        Interrupt,
        Freeze,
        Thaw,
        Events,
        Wait,
        Plan,
        Reload,
        Halt,
        Doctor,
        Counters,
        Send,
        Attach,
        Cancel,
        Schedule,
        Unschedule,
        Schedules,
        Delayed,
        Undelay,
        Letters,
        Letter,
        Requeue,
        Drop,
        Asked,
        Answer,
        Crashes,
        Crash,
        Explain,
        Budgets,
        Grant,
        Journal,
        Sessions,
        Session,
        Log,
        Piece,
        Upload,
        Fork,
        Import,
        Remove,
        Revive,
        Rollback,
    )
}


def read_arguments(op: str, arguments: dict[str, Any]) -> Operation:
    """A Request's word and arguments as the struct of that operation. ``UsageError`` for a word or argument unknown."""
    return read_from(OPERATIONS, op, arguments)


T = TypeVar("T", bound=msgspec.Struct)


def read_from(table: Mapping[str, type[T]], op: str, arguments: dict[str, Any]) -> T:
    """As ``read_arguments``, by another table of words."""
    kind = table.get(op)
    if kind is None:
        raise UsageError(f"cannot do {op!r}: no such operation", hint=f"there are: {', '.join(table)}")
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"cannot do {op!r}: {error}") from None
