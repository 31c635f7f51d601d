"""Events of the core, in memory."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done, Rejected
from agenthost.journal.memory.data import Data
from agenthost.journal.values import Gap, Noted, Snapshot


def note(data: Data, op: ops.Note, now_ms: int) -> Answer:
    last = data.last_number(op.boot)
    if op.number > last + 1:
        return _missing(op.boot, last)
    if op.number == last + 1:
        fresh = Noted(op.boot, op.number, op.now_s, op.chance, op.event, now_ms, op.effects)
        data.core.setdefault(op.boot, []).append(fresh)
    return Done()


def picture(data: Data, op: ops.Picture, now_ms: int) -> Answer:
    last = data.last_number(op.boot)
    if op.number != last:
        return _missing(op.boot, last)
    kept = data.core.setdefault(op.boot, [])
    if kept and isinstance(kept[-1], Snapshot):
        kept.pop()
    kept.append(Snapshot(op.boot, op.number, op.now_s, op.state, now_ms))
    return Done()


def missed(data: Data, op: ops.Missed, now_ms: int) -> Answer:
    last = data.last_number(op.boot)
    if op.last <= last:
        return _missing(op.boot, last)
    data.core.setdefault(op.boot, []).append(Gap(op.boot, last + 1, op.last, op.why, now_ms))
    return Done()


def number_of(one: Noted | Snapshot | Gap) -> int:
    return one.first if isinstance(one, Gap) else one.number


def _missing(boot: int, last: int) -> Rejected:
    return Rejected("out_of_order", f"cannot write this of boot {boot}: the last one written is {last}", str(last + 1))
