"""What will become of the mail of one receiver, as plain data: what waits for what, what failed last, what comes."""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.core.remedy.ladder import FAILED, Past, since_requeued
from agenthost.journal.remedies import question_of
from agenthost.journal.store import Reader
from agenthost.journal.values import Failure, Mail

LOOKS = frozenset({"outlook"})
MESSAGES, LOOKED_AT, DEAD = 5, 100, 100

_QUIET = ("waiting", "delayed")

_unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode


def look(reader: Reader, what: str, args: dict[str, Any]) -> dict[str, Any]:
    """``open`` counts messages, ``messages`` are the most telling of them; ``dead`` is up to ``DEAD``."""
    path = str(args["path"])
    mailbox = sorted(reader.mailbox(path, limit=LOOKED_AT), key=lambda one: (one.status in _QUIET, one.id))
    dead = [one for one in reader.dead_letters(path, limit=DEAD) if one.receiver == path]
    session, tombstone = reader.session(path), reader.tombstone(path)
    return {
        "open": reader.open_count(path),
        "messages": [_message(reader, one) for one in mailbox[:MESSAGES]],
        "dead": len(dead),
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
        found["question"] = question_of(one, history)["question"]
    return found


def _failed(history: tuple[Failure, ...]) -> int:
    """Attempts that count, since somebody requeued it."""
    past = since_requeued([Past(one.attempt, one.fingerprint, one.rung, one.what) for one in history])
    return len({one.attempt for one in past if one.what in FAILED})


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
