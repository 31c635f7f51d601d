"""Retention in memory."""

from __future__ import annotations

from msgspec.structs import replace

from agenthost.journal.answers import Retained
from agenthost.journal.memory import crashes, meters
from agenthost.journal.memory.chronology import number_of
from agenthost.journal.memory.data import Data
from agenthost.journal.memory.reading import size_of
from agenthost.journal.ops import Retention
from agenthost.journal.values import Snapshot, Status

EVER = 1 << 62
LOG_SHARE = 10


def retain(data: Data, policy: Retention, now_ms: int, limit: int) -> Retained:
    mail = sum(_mail(data, status, _cut(now_ms, policy.mail_ms), limit) for status in ("done", "dropped"))
    mail += _mail(data, "dead", _cut(now_ms, policy.dead_ms), limit)
    sessions, more = _sessions(data, _cut(now_ms, policy.ended_ms), limit)
    events = _events(data, _cut(now_ms, policy.events_ms), limit)
    tombstones = _tombstones(data, _cut(now_ms, policy.tombstones_ms), limit)
    meters.forget_messages_before(data, min(data.mail, default=1 << 63), limit)
    crashed = crashes.retain(data, _cut(now_ms, policy.crashes_ms), policy.crashes, policy.crashes_bytes, limit)
    if not (mail or sessions or events or more) and _surplus(data, policy):
        mail = sum(_mail(data, status, EVER, limit) for status in ("done", "dropped"))
        if not mail:
            sessions, more = _sessions(data, EVER, limit)
        if not mail and not sessions and not more:
            events = _events(data, EVER, limit)
    more = more or bool((mail or sessions or events) and _surplus(data, policy))
    most = max(mail, sessions, events, tombstones, crashed)
    return Retained(mail, sessions, events, tombstones, crashed, more or most >= limit)


def _surplus(data: Data, policy: Retention) -> bool:
    return policy.size_bytes is not None and size_of(data) > policy.size_bytes


def _cut(now_ms: int, age_ms: int | None) -> int:
    return -1 if age_ms is None else now_ms - age_ms


def _mail(data: Data, status: Status, until_ms: int, limit: int) -> int:
    old = [one for one in data.mail.values() if one.status == status and one.closed_ms <= until_ms]
    old = sorted(old, key=lambda one: one.closed_ms)[:limit]
    for one in old:
        del data.mail[one.id]
        data.failures.pop(one.id, None)
        meters.forget_message(data, one.id)
        if one.key:
            del data.keys[one.sender, one.key]
        data.intents = [kept for kept in data.intents if (kept.path, kept.message) != (one.receiver, one.id)]
    return len(old)


def _sessions(data: Data, until_ms: int, limit: int) -> tuple[int, bool]:
    old = [held for held in data.sessions.values() if 0 < held.session.ended_ms <= until_ms]
    removed, entries = 0, limit * LOG_SHARE
    for held in sorted(old, key=lambda one: one.session.ended_ms)[:limit]:
        gone = sorted(held.log)[: max(0, entries)]
        for seq in gone:
            del held.log[seq]
        entries -= len(gone)
        if entries <= 0:
            first_seq = min(held.log, default=held.session.last_seq + 1)
            held.session = replace(held.session, first_seq=first_seq)
            return removed, True
        path = held.session.path
        data.intents = [one for one in data.intents if one.path != path]
        del data.sessions[path]
        data.repeats.pop(path, None)
        meters.forget(data, path)
        removed += 1
    return removed, False


def _events(data: Data, until_ms: int, limit: int) -> int:
    cuts = [
        (one.boot, one.number)
        for kept in data.core.values()
        for one in kept
        if isinstance(one, Snapshot) and one.at_ms <= until_ms
    ]
    if not cuts:
        return 0
    cut, removed = max(cuts), 0
    for boot in sorted(data.core):
        for one in list(data.core[boot]):
            before = (boot, number_of(one)) <= cut and not (isinstance(one, Snapshot) and (boot, one.number) == cut)
            if before and removed < limit:
                data.core[boot].remove(one)
                removed += 1
    return removed


def _tombstones(data: Data, until_ms: int, limit: int) -> int:
    old = [path for path, one in sorted(data.tombstones.items()) if one.removed_ms <= until_ms][:limit]
    for path in old:
        del data.tombstones[path]
    return len(old)
