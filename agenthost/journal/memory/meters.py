"""Meters in memory."""

from __future__ import annotations

from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.scope import above
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done, Rejected
from agenthost.journal.memory import mail
from agenthost.journal.memory.data import Data
from agenthost.journal.values import Granted


def charge(data: Data, op: ops.Charge, now_ms: int) -> Answer:
    for path in (op.path,) if op.alone else above(op.path):
        data.meters[path] = data.meters.get(path, Amounts()) + op.amounts
    if op.spending is not None:
        data.spending[op.spending.path] = op.spending
    if op.message:
        data.spent[op.message] = data.spent.get(op.message, Amounts()) + op.amounts
    return Done()


def counted(data: Data, op: ops.Counted, now_ms: int) -> Answer:
    data.counted[op.boot] = max(data.counted.get(op.boot, 0), op.number)
    return Done()


def grant(data: Data, op: ops.Grant, now_ms: int) -> Answer:
    data.grants.append(Granted(op.path, op.message, op.meter, op.amount, op.by, now_ms))
    return Done()


def resume(data: Data, op: ops.Resume, now_ms: int) -> Answer:
    answer = mail.resume(data, op, now_ms)
    if op.grant is not None and not isinstance(answer, Rejected):
        grant(data, op.grant, now_ms)
    return answer


def forget(data: Data, path: str) -> None:
    data.meters.pop(path, None)
    data.spending.pop(path, None)
    data.grants = [one for one in data.grants if one.path != path]


def forget_messages_before(data: Data, message: int, limit: int) -> None:
    """What was said for a message after that was removed."""
    for number in sorted(one for one in data.spent if one < message)[:limit]:
        del data.spent[number]


def forget_message(data: Data, message: int) -> None:
    data.spent.pop(message, None)
    data.grants = [one for one in data.grants if one.message != message]
