"""What agents repeat, in memory."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done
from agenthost.journal.memory.data import Data


def repeated(data: Data, op: ops.Repeated, now_ms: int) -> Answer:
    if refusal := data.gone(op.path) or data.fence(op.path, op.incarnation):
        return refusal
    if op.counts:
        data.repeats[op.path] = op.counts
    else:
        data.repeats.pop(op.path, None)
    return Done()
