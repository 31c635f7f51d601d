"""Children of run time that persist, in memory."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done
from agenthost.journal.memory.data import Data
from agenthost.journal.values import Kept


def keep(data: Data, op: ops.Keep, now_ms: int) -> Answer:
    data.kept[op.path] = Kept(op.path, op.record, now_ms)
    return Done()


def unkeep(data: Data, op: ops.Unkeep, now_ms: int) -> Answer:
    data.kept.pop(op.path, None)
    return Done()
