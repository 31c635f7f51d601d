"""What will become of the mail of one receiver, as plain data: what waits for what, what failed last, what comes."""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.core.remedy.ladder import attempts, since_requeued
from agenthost.journal.remedies import past_of, question_of
from agenthost.journal.store import Reader
from agenthost.journal.values import Failure, Mail

LOOKS = frozenset({"outlook"})
MESSAGES, LOOKED_AT, DEAD = 5, 100, 100

_QUIET = ("waiting", "delayed")

_unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode


def look(reader: Reader, what: str, args: dict[str, Any]) -> dict[str, Any]:
    """``open`` counts messages, ``messages`` are the most telling of them; ``dead`` is up to ``DEAD``."""
    path = str(args["path"])
    mailbox = sorted(reader.glance(path, LOOKED_AT), key=lambda one: (one.status in _QUIET, one.id))
    session, tombstone = reader.session(path), reader.tombstone(path)
    return {
        "open": reader.open_count(path),
        "messages": [_message(reader, one) for one in mailbox[:MESSAGES]],
        "dead": reader.dead_count(path, DEAD),
        "session": session is not None,
        "removed": 0 if tombstone is None else tombstone.removed_ms / 1000,
    }


def _message(reader: Reader, one: Mail) -> dict[str, Any]:
    history = reader.history(one.id)
    found = {
        "message": one.id,
        "sender": one.sender,
        "status": one.status,
        "attempt": one.attempt,
        "sent": one.accepted_ms / 1000,
        "due": one.due_ms / 1000,
        "failed": _failed(history),
        "last": next((_line(line) for line in reversed(history) if line.rung), None),
    }
    if one.status == "parked":
        asked = question_of(one, history)
        found |= {"question": asked["question"], "nth": asked["nth"]}
    return found


def _failed(history: tuple[Failure, ...]) -> int:
    """Attempts that count, since somebody requeued it."""
    return len(attempts(since_requeued(past_of(history))))


def _line(line: Failure) -> dict[str, Any]:
    kept = _unpack(line.remedy) if line.remedy else {}
    return {
        "attempt": line.attempt,
        "at": line.at_ms / 1000,
        "reason": line.reason,
        "fingerprint": line.fingerprint,
        "remedy": line.rung,
        "why": str(kept.get("why", "")),
    }
