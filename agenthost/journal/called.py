"""Tool calls of turns that are not committed, between what agents say (``protocol.mail``) and what a store keeps."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.store import Reader
from agenthost.journal.values import Incarnation, Intent
from agenthost.protocol import mail as say

PAGE_BYTES = 8 * 1024 * 1024
"""Of one Recalled; a single call may be longer."""


def intents(path: str, inc: Incarnation, message: say.Intend) -> tuple[ops.Intend, ...]:
    return tuple(
        ops.Intend(path, inc, message.message, one.attempt, one.key, one.tool, one.arguments, one.idempotent)
        for one in message.calls
    )


def recalled(reader: Reader, path: str, message: say.Recall) -> say.Recalled:
    """A page of what is known of the attempts before, and why the last of them ended."""
    kept = reader.intents(path, message.message)[message.after :]
    page, left = list[say.Called](), PAGE_BYTES
    for one in kept:
        left -= len(one.arguments) + len(one.outcome or b"") + len(one.call) + len(one.tool) + 64
        if page and left < 0:
            break
        page.append(_called(one))
    held, why = reader.held(path), ""
    if held is not None and held.id == message.message:  # what became of others' mail is not its business
        why = next((line.reason for line in reversed(reader.history(held.id)) if line.what != "requeued"), "")
    return say.Recalled(message.id, tuple(page), len(page) < len(kept), why)


def _called(one: Intent) -> say.Called:
    return say.Called(one.call, one.tool, one.attempt, one.at_ms, one.arguments, one.idempotent, one.outcome or b"")
