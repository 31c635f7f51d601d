"""What failed, in memory."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done, Rejected
from agenthost.journal.memory.data import Data
from agenthost.journal.values import Crash


def note(data: Data, op: ops.Crash, now_ms: int) -> Answer:
    of_it = (op.path, op.incarnation)
    known = _said_before(data, op)
    if known is not None:
        data.crashes[known.id] = replace(known, details=op.details or known.details)
        return Done()
    if not op.message:
        if op.ended:
            known = _newest(data, lambda one: (one.path, one.incarnation) == of_it and (one.ended != "" or one.fatal))
    elif any(line.attempt == op.attempt for line in data.failures.get(op.message, ())):
        known = _newest(data, lambda one: (one.message, one.attempt) == (op.message, op.attempt))
        if known is None and op.fatal:
            known = _newest(
                data, lambda one: (one.path, one.incarnation) == of_it and one.ended != "" and not one.message
            )
    else:
        return _unknown(op, "did not fail")
    if known is None and op.adds:
        return _unknown(op, "has no record")
    if known is None:
        data.crash_count += 1
        told = {name: getattr(op, name) for name in op.__struct_fields__ if name not in ("adds", "at_ms")}
        data.crashes[data.crash_count] = Crash(id=data.crash_count, at_ms=op.at_ms or now_ms, **told)
    elif op.message and op.adds:
        data.crashes[known.id] = replace(known, details=op.details or known.details)
    elif op.message:
        about = {name: getattr(op, name) for name in _OF_ATTEMPT}
        fatal, details = known.fatal or op.fatal, op.details or known.details
        data.crashes[known.id] = replace(known, **about, fatal=fatal, details=details)
    else:
        number = known.number or op.number
        data.crashes[known.id] = replace(known, ended=op.ended, details=op.details or known.details, number=number)
    return Done()


def _said_before(data: Data, op: ops.Crash) -> Crash | None:
    key = (op.incarnation[0], op.number)
    return _newest(data, lambda one: (one.incarnation[0], one.number) == key) if op.number and not op.message else None


def _unknown(op: ops.Crash, why: str) -> Rejected:
    return Rejected("unknown", f"cannot note attempt {op.attempt} of message {op.message}: it {why}", str(op.message))


_OF_ATTEMPT = ("cause", "reason", "fingerprint", "message", "attempt", "remedy", "why")


def _newest(data: Data, is_it: Callable[[Crash], bool]) -> Crash | None:
    return next((one for _, one in sorted(data.crashes.items(), reverse=True) if is_it(one)), None)


def retain(data: Data, until_ms: int, most: int | None, most_bytes: int | None, limit: int) -> int:
    old = sorted((one.at_ms, one.id) for one in data.crashes.values() if one.at_ms <= until_ms)[:limit]
    gone = [number for _, number in old]
    if most is not None:
        left = sorted(data.crashes.keys() - set(gone))
        gone += left[: min(limit, max(0, len(left) - most))]
    if most_bytes is not None:
        left, total = sorted(data.crashes.keys() - set(gone), reverse=True), 0
        over = [number for number in left if (total := total + len(data.crashes[number].details)) > most_bytes]
        gone += over[::-1][:limit]
    for number in gone:
        del data.crashes[number]
    return len(gone)
