"""Mail in memory: taking, leasing, holding back, setting aside, sending later."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Answer, Done, Leased, Nothing, Rejected, Ripened
from agenthost.journal.limits import MAILBOX_MESSAGES, SHOWN, SHOWN_BYTES
from agenthost.journal.memory.data import Data
from agenthost.journal.values import OPEN, Cron, Failure, Mail, Status

ALL_PLACES = 1 << 62
"""Beyond every place."""


def accept(data: Data, op: ops.Accept, now_ms: int) -> Accepted | Rejected:
    if op.key and (op.sender, op.key) in data.keys:
        return Accepted(data.keys[op.sender, op.key], twice=True)
    if op.receiver in data.tombstones:
        return Rejected("removed", f"cannot send to {op.receiver}: it was removed", op.receiver)
    limit = min(op.limit or MAILBOX_MESSAGES, MAILBOX_MESSAGES)
    present = data.open_mail(op.receiver)
    victims, spilled = list[Mail](), False
    if len(present) >= limit:
        spilled = op.when_full == "spill" and len(present) < MAILBOX_MESSAGES
        if op.when_full == "drop_oldest":
            victims = [one for one in present if one.status != "leased"][: len(present) - limit + 1]
        if not spilled and (not victims or len(present) - len(victims) >= limit):
            why = f"cannot send to {op.receiver}: its mailbox has {len(present)} of {limit} messages"
            return Rejected("overloaded", why, op.receiver)
    for victim in victims:
        _close(data, victim, "dropped", now_ms, "dropped", "the mailbox was full")
    status: Status = "delayed" if op.due_ms > now_ms else "waiting"
    number = _keep(data, op, status, now_ms)
    if op.by_clock and status == "delayed":
        data.by_clock.add(number)
    seq = data.grow(op.receiver, (replace(op.logged, message=number),), now_ms) if op.logged else 0
    return Accepted(number, dropped=tuple(victim.id for victim in victims), spilled=spilled, seq=seq)


def accept_dead(data: Data, op: ops.Accept, now_ms: int, reason: str) -> int:
    number = _keep(data, op, "dead", now_ms)
    _fail(data, number, 0, now_ms, "unsendable", reason)
    return number


def _keep(data: Data, op: ops.Accept, status: Status, now_ms: int) -> int:
    number = data.next_number()
    _put(
        data,
        Mail(
            number,
            number if status == "waiting" else 0,
            op.receiver,
            op.sender,
            op.session,
            status,
            0,
            now_ms,
            op.body,
            op.meta,
            op.key,
            op.due_ms if status == "delayed" else 0,
            closed_ms=now_ms if status == "dead" else 0,
        ),
    )
    if op.key:
        data.keys[op.sender, op.key] = number
    return number


# ---- leasing


def own(data: Data, op: ops.Own, now_ms: int) -> Answer:
    owner = data.owners.get(op.path)
    if owner is not None and owner > op.incarnation:
        return data.fence(op.path, op.incarnation) or Done()
    held = data.held(op.path)
    if held is not None and owner != op.incarnation:
        who = "" if held.incarnation is None else f"incarnation {held.incarnation[0]}.{held.incarnation[1]} "
        _change(data, held, now_ms, "lost", f"{who}ended without a word on it", status="waiting")
    if owner != op.incarnation:
        data.turns.pop(op.path, None)
        data.break_off(op.path, now_ms)
    data.owners[op.path] = op.incarnation
    return Done()


def lease(data: Data, op: ops.Lease, now_ms: int) -> Answer:
    return data.fence(op.path, op.incarnation) or lease_next(data, op.path, op.until_ms, op.show)


def lease_next(data: Data, path: str, until_ms: int, show: int = 0) -> Leased | Nothing:
    if held := data.held(path):
        return Leased(held)
    lanes = dict[str, Mail]()
    for one in data.open_mail(path):
        if one.status == "delayed":
            continue
        lane = _lane_of(one)
        if lane not in lanes or one.place < lanes[lane].place:
            lanes[lane] = one
    ready = [one for one in lanes.values() if one.status == "waiting"]
    if not ready:
        return Nothing()
    first = min(ready, key=lambda one: data.ranks.get(one.id, one.place))
    owner = data.owners[path]
    leased = replace(first, status="leased", attempt=first.attempt + 1, incarnation=owner, until_ms=until_ms)
    _put(data, leased)
    others = [data.ranks.get(one.id, one.place) for one in ready if one is not first]
    return Leased(leased, _shown(data, leased, min(others, default=leased.place + ALL_PLACES), show))


def _shown(data: Data, leased: Mail, before: int, show: int) -> tuple[Mail, ...]:
    """Of those behind it in its lane, up to the place where another lane has its turn."""
    shown, size_bytes = list[Mail](), 0
    behind = [one for one in data.open_mail(leased.receiver) if one.status not in ("delayed", "leased")]
    for one in sorted(behind, key=lambda one: one.place):
        size_bytes += len(one.body) if _lane_of(one) == _lane_of(leased) else 0
        if _lane_of(one) != _lane_of(leased):
            continue
        if len(shown) == min(show, SHOWN) or one.attempt or one.place > before or size_bytes > SHOWN_BYTES:
            break
        shown.append(one)
    return tuple(shown)


def _lane_of(one: Mail) -> str:
    return f"s{one.session}" if one.session else f"f{one.sender}"


def extend(data: Data, op: ops.Extend, now_ms: int) -> Answer:
    if refusal := data.fence(op.path, op.incarnation):
        return refusal
    held = data.held(op.path)
    if held is None or (held.id, held.attempt) != (op.message, op.attempt):
        return Rejected("stale", f"cannot extend the lease of message {op.message}: it is not held", op.path)
    _put(data, replace(held, until_ms=op.until_ms))
    return Done()


def finish(data: Data, mail: Mail, outcome: bytes, now_ms: int) -> None:
    _put(data, replace(mail, status="done", closed_ms=now_ms, outcome=outcome))


# ---- what the host says


def settle(data: Data, op: ops.Release | ops.BackOff | ops.Park | ops.DeadLetter | ops.Move, now_ms: int) -> Answer:
    mail = data.mail.get(op.message)
    is_parked = mail is not None and mail.status == "parked" and not isinstance(op, ops.Release)
    is_next = mail is not None and isinstance(op, ops.Park) and _is_next(data, mail)
    if mail is None or not (mail.status == "leased" or is_parked or is_next) or mail.attempt != op.attempt:
        why = f"cannot settle attempt {op.attempt} of message {op.message}: it is not leased for it"
        return Rejected("stale", why, str(op.message))
    match op:
        case ops.Release():
            _change(data, mail, now_ms, "released", op.reason, status="waiting")
        case ops.BackOff():
            until_ms = op.until_ms
            _change(data, mail, now_ms, "backed_off", op.reason, op.mark, status="backing_off", due_ms=until_ms)
        case ops.Park():
            _change(data, mail, now_ms, "parked", op.reason, op.mark, status="parked", due_ms=op.until_ms)
        case ops.DeadLetter():
            _close(data, mail, "dead", now_ms, "dead_letter", op.reason, op.mark)
        case ops.Move():
            return _move(data, mail, op, now_ms)
    return Done()


def _is_next(data: Data, mail: Mail) -> bool:
    """It waits, and is the first of its lane."""
    if mail.status != "waiting":
        return False
    before = (one for one in data.open_mail(mail.receiver) if one.place and one.place < mail.place)
    return all(_lane_of(one) != _lane_of(mail) for one in before)


def _move(data: Data, mail: Mail, op: ops.Move, now_ms: int) -> Answer:
    if refusal := data.gone(op.receiver):
        return refusal
    data.boxes[mail.receiver].discard(mail.id)
    for number, intent in enumerate(data.intents):
        if (intent.path, intent.message) == (mail.receiver, mail.id):
            data.intents[number] = replace(intent, path=op.receiver)
    moved = replace(mail, receiver=op.receiver)
    data.ranks.pop(mail.id, None)
    place = data.next_number()
    _change(data, moved, now_ms, "moved", op.reason, op.mark, status="waiting", due_ms=0, place=place)
    return Done()


def resume(data: Data, op: ops.Resume, now_ms: int) -> Answer:
    mail = data.mail.get(op.message)
    if mail is None:
        return Rejected("unknown", f"cannot resume message {op.message}: there is none", str(op.message))
    if mail.status != "parked":
        return Rejected("conflict", f"cannot resume message {op.message}: it is {mail.status}", str(op.message))
    data.ranks[mail.id] = data.next_number()
    _change(data, mail, now_ms, "answered", op.reason, op.mark, status="waiting", due_ms=0)
    return Done()


def requeue(data: Data, op: ops.Requeue, now_ms: int) -> Answer:
    mail = data.mail.get(op.message)
    if mail is None:
        return Rejected("unknown", f"cannot requeue message {op.message}: there is none", str(op.message))
    if mail.status in ("parked", "backing_off"):
        _change(data, mail, now_ms, "requeued", op.reason, status="waiting", due_ms=0)
    elif mail.status == "dead":
        if refusal := data.gone(mail.receiver):
            return refusal
        place = data.next_number()
        _change(data, mail, now_ms, "requeued", op.reason, status="waiting", closed_ms=0, place=place)
    else:
        return Rejected("conflict", f"cannot requeue message {op.message}: it is {mail.status}", str(op.message))
    return Done()


def drop(data: Data, op: ops.Drop, now_ms: int) -> Answer:
    mail = data.mail.get(op.message)
    if mail is None:
        return Rejected("unknown", f"cannot drop message {op.message}: there is none", str(op.message))
    if mail.status in ("leased", "done", "dropped"):
        return Rejected("conflict", f"cannot drop message {op.message}: it is {mail.status}", str(op.message))
    _close(data, mail, "dropped", now_ms, "dropped", op.reason)
    return Done()


def cancel(data: Data, op: ops.Cancel, now_ms: int) -> Answer:
    if cancelled(data, op.sender, op.key, now_ms):
        return Done()
    return Rejected("unknown", f"cannot cancel {op.key!r}: there is no such message that nobody has begun", op.key)


def cancelled(data: Data, sender: str, key: str, now_ms: int) -> bool:
    number = cancellable(data, sender, key)
    if number:
        _close(data, replace(data.mail[number], key=""), "dropped", now_ms, "dropped", "cancelled by its sender")
        del data.keys[sender, key]
    return bool(number)


def cancellable(data: Data, sender: str, key: str) -> int:
    """0 if nobody can cancel it."""
    mail = data.mail.get(data.keys.get((sender, key), 0))
    return 0 if mail is None or mail.attempt or mail.status not in ("delayed", "waiting") else mail.id


def strand(data: Data, op: ops.Strand, now_ms: int) -> Answer:
    for mail in data.open_mail(op.path):
        _close(data, mail, "dead", now_ms, "stranded", op.reason)
    return Done()


def drop_all(data: Data, path: str, now_ms: int) -> None:
    for mail in data.open_mail(path):
        _put(data, replace(mail, status="dropped", due_ms=0, closed_ms=now_ms))


# ---- later


def ripen(data: Data, op: ops.Ripen, now_ms: int) -> Answer:
    limit = max(1, op.limit)
    ripe = (one for one in data.mail.values() if 0 < one.due_ms <= now_ms and one.status != "parked")
    due = sorted((one.due_ms, one.id) for one in ripe)
    receivers = dict[str, None]()
    for _, number in due[:limit]:
        mail = data.mail[number]
        if mail.status == "delayed":
            mail = replace(mail, place=data.next_number())
        else:
            data.ranks[number] = data.next_number()
        _put(data, replace(mail, status="waiting", due_ms=0))
        data.by_clock.discard(number)
        receivers[mail.receiver] = None
    return Ripened(tuple(receivers), len(due) > limit)


def shift(data: Data, op: ops.Shift, now_ms: int) -> Answer:
    for mail in list(data.mail.values()):
        if mail.due_ms and mail.id not in data.by_clock:
            _put(data, replace(mail, due_ms=max(1, mail.due_ms + op.by_ms)))
    return Done()


def schedule(data: Data, op: ops.Schedule, now_ms: int) -> Answer:
    data.crons[op.name] = Cron(**{name: getattr(op, name) for name in Cron.__struct_fields__})
    return Done()


def unschedule(data: Data, op: ops.Unschedule, now_ms: int) -> Answer:
    if data.crons.pop(op.name, None) is None:
        return Rejected("unknown", f"cannot unschedule {op.name!r}: there is no such periodic message", op.name)
    return Done()


def fire(data: Data, op: ops.Fire, now_ms: int) -> Answer:
    cron = _due(data, op)
    if isinstance(cron, Rejected):
        return cron
    send = ops.Accept(cron.receiver, cron.sender, cron.body, cron.session, meta=cron.meta, limit=op.limit)
    return accept(data, send, now_ms)


def skip(data: Data, op: ops.Skip, now_ms: int) -> Answer:
    cron = _due(data, op)
    return cron if isinstance(cron, Rejected) else Done()


def _due(data: Data, op: ops.Fire | ops.Skip) -> Cron | Rejected:
    """The periodic message, which is due next when ``op`` says."""
    cron = data.crons.get(op.name)
    if cron is None or cron.due_ms != op.due_ms:
        return Rejected("stale", f"cannot fire {op.name!r} of {op.due_ms}: it is not due then", op.name)
    if op.next_due_ms:
        data.crons[op.name] = replace(cron, due_ms=op.next_due_ms)
    else:
        del data.crons[op.name]
    return cron


# ---- moves


def _put(data: Data, mail: Mail) -> None:
    data.mail[mail.id] = mail
    box = data.boxes.setdefault(mail.receiver, set())
    if mail.status in OPEN:
        box.add(mail.id)
    else:
        box.discard(mail.id)
        data.ranks.pop(mail.id, None)


def _close(
    data: Data, mail: Mail, status: Status, now_ms: int, what: str, reason: str, mark: ops.Mark = ops.NO_MARK
) -> None:
    _change(data, mail, now_ms, what, reason, mark, status=status, due_ms=0, closed_ms=now_ms)


def _change(
    data: Data, mail: Mail, now_ms: int, what: str, reason: str, mark: ops.Mark = ops.NO_MARK, **changes: Any
) -> None:
    _put(data, replace(mail, **changes))
    _fail(data, mail.id, mail.attempt, now_ms, what, reason, mark)


def _fail(
    data: Data, number: int, attempt: int, now_ms: int, what: str, reason: str, mark: ops.Mark = ops.NO_MARK
) -> None:
    line = Failure(number, attempt, now_ms, what, reason, mark.fingerprint, mark.rung, mark.remedy)
    data.failures.setdefault(number, []).append(line)
