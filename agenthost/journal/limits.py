"""How large anything in a journal may be, and the one place that says no. Names end in their units."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.answers import Rejected
from agenthost.journal.values import Entry

BODY_BYTES = 16 * 1024 * 1024
"""Of a message, a log entry, arguments or an outcome."""

STATE_BYTES = 16 * 1024 * 1024
"""Of a session's state, packed."""

NAME_BYTES = 1024
"""Of a path, session, key, checkpoint or call, in UTF-8."""

SHOWN, SHOWN_BYTES = 64, 64 * 1024
"""Messages that are shown before they are leased, and of their bodies together."""

CRASH_BYTES = 256 * 1024
"""Of the details of something that failed."""

REPEATS_BYTES = 1024 * 1024
"""Of what an agent has counted of what it repeats."""

SENDS, ENTRIES = 10_000, 10_000
"""Of one turn."""

CHECKPOINTS = 64
"""Of one session."""

MAILBOX_MESSAGES = 1_000_000
"""Open in one mailbox, whatever its policy."""

PAGE = 1000
"""Rows of one answer of a reader; who asks for more gets this many."""

ALL_BYTES = 1 << 62
"""For a page without a bound in bytes."""


def too_large(op: ops.Op) -> Rejected | None:
    """The first thing in ``op`` that is beyond a limit; None if nothing is."""
    match op:
        case ops.Accept():
            return _accept(op)
        case ops.CommitTurn():
            return _turn(op)
        case ops.Stash():
            return _names(path=op.path) or _entries(op.entries)
        case ops.Append() | ops.Import():
            found = _names(path=op.path) or _entries(op.entries)
            return found or (_state(op.path, op.state) if isinstance(op, ops.Import) else None)
        case ops.Schedule():
            found = _bytes("message", op.body, BODY_BYTES) or _bytes("meta", op.meta, BODY_BYTES)
            names = _names(name=op.name, receiver=op.receiver, sender=op.sender, session=op.session, cron=op.cron)
            return found or names
        case ops.Intend():
            return _names(call=op.call, tool=op.tool) or _bytes("arguments", op.arguments, BODY_BYTES)
        case ops.Keep():
            return _names(path=op.path) or _bytes("record", op.record, BODY_BYTES)
        case ops.Crash():
            return _names(path=op.path) or _bytes("record of a crash", op.details, CRASH_BYTES)
        case ops.Repeated():
            return _names(path=op.path) or _bytes("count of what is repeated", op.counts, REPEATS_BYTES)
        case ops.Conclude():
            return _bytes("outcome", op.outcome, BODY_BYTES)
        case ops.Own():
            return _names(path=op.path)
        case ops.Checkpoint():
            return _names(name=op.name)
        case ops.Fork():
            return _names(target=op.target)
    return None


def _accept(op: ops.Accept) -> Rejected | None:
    # The usual case in one comparison each: this is asked for every message.
    if len(op.body) > BODY_BYTES or len(op.meta) > BODY_BYTES:
        return _bytes("message", op.body, BODY_BYTES) or _bytes("meta", op.meta, BODY_BYTES)
    if op.logged is not None and (found := _entries((op.logged,))):
        return found
    if len(op.receiver) + len(op.sender) + len(op.session) + len(op.key) < NAME_BYTES // 4:  # UTF-8 is at most 4 bytes
        return None
    return _names(receiver=op.receiver, sender=op.sender, session=op.session, key=op.key)


def _turn(op: ops.CommitTurn) -> Rejected | None:
    if op.state is not None and len(op.state) > STATE_BYTES:
        return _state(op.path, op.state)
    if len(op.sends) > SENDS:
        return Rejected("too_large", f"cannot commit a turn with {len(op.sends)} sends: the limit is {SENDS}", op.path)
    if len(op.outcome) > BODY_BYTES:
        return _bytes("outcome", op.outcome, BODY_BYTES)
    for send in op.sends:
        if found := _accept(send):
            return found
    return (_names(checkpoint=op.checkpoint) if op.checkpoint else None) or _entries(op.entries)


def _entries(entries: tuple[Entry, ...]) -> Rejected | None:
    if len(entries) > ENTRIES:
        return Rejected("too_large", f"cannot append {len(entries)} entries at once: the limit is {ENTRIES}")
    for entry in entries:
        if found := _bytes(f"log entry {entry.type!r}", entry.body, BODY_BYTES):
            return found
    return None


def _state(path: str, state: bytes | None) -> Rejected | None:
    if state is None or len(state) <= STATE_BYTES:
        return None
    why = f"cannot keep a state of {len(state)} bytes: the limit is {STATE_BYTES}; keep large things in files"
    return Rejected("too_large", why, path)


def _bytes(what: str, value: bytes, limit: int) -> Rejected | None:
    if len(value) <= limit:
        return None
    return Rejected("too_large", f"cannot keep a {what} of {len(value)} bytes: the limit is {limit}", what)


def _names(**names: str) -> Rejected | None:
    for what, name in names.items():
        if len(name) * 4 > NAME_BYTES and len(name.encode()) > NAME_BYTES:
            why = f"cannot use a {what} of {len(name.encode())} bytes: the limit is {NAME_BYTES}"
            return Rejected("too_large", why, what)
    return None
