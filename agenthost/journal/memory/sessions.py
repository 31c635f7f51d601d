"""Sessions in memory: logs, checkpoints, the end, removal, copies; intents of tool calls; turns."""

from __future__ import annotations

from dataclasses import replace as replaced

from msgspec.structs import replace

from agenthost.journal import ops
from agenthost.journal.answers import (
    Accepted,
    Answer,
    Appended,
    Committed,
    Done,
    Leased,
    Nothing,
    Rejected,
    Unsendable,
)
from agenthost.journal.limits import CHECKPOINTS, MAILBOX_MESSAGES
from agenthost.journal.memory import mail as post
from agenthost.journal.memory import meters
from agenthost.journal.memory.data import Data
from agenthost.journal.values import Intent, Stashed, State, Tombstone

# ---- turns


def commit_turn(data: Data, op: ops.CommitTurn, now_ms: int) -> Answer:
    if refusal := data.gone(op.path) or data.fence(op.path, op.incarnation):
        return refusal
    mail = data.mail.get(op.message) if op.message else None
    if op.message:
        if mail is None or (mail.receiver, mail.attempt, mail.incarnation) != (op.path, op.attempt, op.incarnation):
            return Rejected("stale", f"cannot commit message {op.message}: not {op.path}'s to handle", str(op.message))
        if mail.status == "done":
            return Committed(_last_seq(data, op.path), next=_next(data, op), twice=True)
        if mail.status != "leased":
            return Rejected("stale", f"cannot commit message {op.message}: it is {mail.status}", str(op.message))
        below = data.mail.get(op.upon)
        if op.upon and (below is None or (below.status, below.incarnation) != ("done", op.incarnation)):
            return Rejected("stale", f"cannot commit message {op.message}: {op.upon} is not done", str(op.message))
    elif 0 < op.turn <= data.turns.get(op.path, 0):
        return Committed(_last_seq(data, op.path), next=_next(data, op), twice=True)
    refused = (_room(data, op.path, op.checkpoint) if op.checkpoint else None) or (
        _refused_send(data, op) if op.unsendable == "refuse" else None
    )
    if refused:
        return refused
    for key in op.cancels:
        post.cancelled(data, op.path, key, now_ms)
    if mail is not None:
        post.finish(data, mail, op.outcome, now_ms)
    else:
        _is_written(data, op.path, op.turn)
    data.intents = [one for one in data.intents if (one.path, one.message) != (op.path, op.message)]
    data.stash.pop(op.path, None)
    if op.state is not None or op.entries or op.checkpoint:
        data.grow(op.path, op.entries, now_ms)
    if op.state is not None:
        held = data.sessions[op.path]
        held.state = op.state
        held.session = replace(held.session, state_bytes=len(op.state), state_version=op.state_version)
    if op.checkpoint:
        _keep_checkpoint(data, op.path, op.checkpoint, now_ms)
    sends = list[Accepted | Unsendable]()
    for send in op.sends:
        answer = post.accept(data, send, now_ms)
        if isinstance(answer, Accepted):
            sends.append(answer)
        else:
            dead = post.accept_dead(data, send, now_ms, answer.why)
            sends.append(Unsendable(dead, answer.code, answer.why))
    return Committed(_last_seq(data, op.path), tuple(sends), _next(data, op))


def _refused_send(data: Data, op: ops.CommitTurn) -> Rejected | None:
    """What would refuse the turn: the sends are gone through in their order, without sending any."""
    cancelled = {number for key in op.cancels if (number := post.cancellable(data, op.path, key))}
    keys = {key for key, number in data.keys.items() if number not in cancelled}
    present = dict[str, int]()
    movable = dict[str, int]()
    for send in op.sends:
        if send.key and (send.sender, send.key) in keys:
            continue
        if refusal := data.gone(send.receiver):
            return refusal
        if send.receiver not in present:
            box = [one for one in data.open_mail(send.receiver) if one.id not in cancelled]
            present[send.receiver] = len(box) - (1 if op.message and send.receiver == op.path else 0)
            movable[send.receiver] = sum(one.status != "leased" for one in box)
        limit = min(send.limit or MAILBOX_MESSAGES, MAILBOX_MESSAGES)
        surplus = present[send.receiver] - limit + 1
        if surplus > 0 and send.when_full == "drop_oldest" and movable[send.receiver] >= surplus:
            present[send.receiver] -= surplus
            movable[send.receiver] -= surplus
        elif surplus > 0 and not (send.when_full == "spill" and present[send.receiver] < MAILBOX_MESSAGES):
            return Rejected("overloaded", f"cannot send to {send.receiver}: its mailbox is full", send.receiver)
        present[send.receiver] += 1
        movable[send.receiver] += 1
        keys.add((send.sender, send.key))
    return None


def _next(data: Data, op: ops.CommitTurn) -> Leased | Nothing | None:
    return post.lease_next(data, op.path, op.lease_until_ms, op.show) if op.lease_until_ms else None


# ---- growing


def append(data: Data, op: ops.Append, now_ms: int) -> Answer:
    refusal = data.gone(op.path) or (data.fence(op.path, op.incarnation) if op.incarnation is not None else None)
    if refusal:
        return refusal
    first = _last_seq(data, op.path) + 1
    if op.incarnation is not None:
        data.stash.pop(op.path, None)
    if op.incarnation is None or not _is_written(data, op.path, op.turn):
        data.grow(op.path, op.entries, now_ms)
    return Appended(first, _last_seq(data, op.path))


def stash(data: Data, op: ops.Stash, now_ms: int) -> Answer:
    if refusal := data.gone(op.path) or data.fence(op.path, op.incarnation):
        return refusal
    if op.entries:
        data.stash[op.path] = Stashed(op.path, op.incarnation, op.entries)
    else:
        data.stash.pop(op.path, None)
    return Done()


def break_off(data: Data, op: ops.BreakOff, now_ms: int) -> Answer:
    if refusal := data.gone(op.path):
        return refusal
    first = _last_seq(data, op.path) + 1
    if op.path in data.stash and data.stash[op.path].incarnation == op.incarnation:
        data.break_off(op.path, now_ms)
    return Appended(first, _last_seq(data, op.path))


def _is_written(data: Data, path: str, turn: int) -> bool:
    """If it is not, it is from here on."""
    if 0 < turn <= data.turns.get(path, 0):
        return True
    if turn:
        data.turns[path] = turn
    return False


def _last_seq(data: Data, path: str) -> int:
    return data.sessions[path].session.last_seq if path in data.sessions else 0


# ---- points to go back to


def _room(data: Data, path: str, name: str) -> Rejected | None:
    kept = data.sessions[path].checkpoints if path in data.sessions else {}
    if len(kept) < CHECKPOINTS or name in kept:
        return None
    return Rejected("too_many", f"cannot keep checkpoint {name!r} of {path}: it has {len(kept)}", path)


def _keep_checkpoint(data: Data, path: str, name: str, now_ms: int) -> None:
    held = data.sessions[path]
    state = State(path, held.state or b"", held.session.state_version, held.session.last_seq, name, now_ms)
    held.checkpoints[name] = (data.next_number(), state, held.state is not None)


def checkpoint(data: Data, op: ops.Checkpoint, now_ms: int) -> Answer:
    if refusal := _absent(data, op.path) or _room(data, op.path, op.name):
        return refusal
    _keep_checkpoint(data, op.path, op.name, now_ms)
    return Done()


def roll_back(data: Data, op: ops.RollBack, now_ms: int) -> Answer:
    if refusal := _absent(data, op.path):
        return refusal
    held = data.sessions[op.path]
    if op.name not in held.checkpoints:
        return Rejected("unknown", f"cannot roll {op.path} back to {op.name!r}: no such checkpoint", op.name)
    _, state, there = held.checkpoints[op.name]
    held.state = state.state if there else None
    held.session = replace(
        held.session, changed_ms=now_ms, state_version=state.state_version, state_bytes=len(state.state)
    )
    return Done()


# ---- the end


def end(data: Data, op: ops.EndSession, now_ms: int) -> Answer:
    if refusal := _absent(data, op.path):
        return refusal
    held = data.sessions[op.path]
    held.session = replace(held.session, ended_ms=held.session.ended_ms or now_ms)
    return Done()


def remove(data: Data, op: ops.RemoveSession, now_ms: int) -> Answer:
    if op.path in data.tombstones:
        return Done()
    data.tombstones[op.path] = Tombstone(op.path, now_ms, _last_seq(data, op.path))
    post.drop_all(data, op.path, now_ms)
    data.crons = {name: cron for name, cron in data.crons.items() if cron.receiver != op.path}
    data.intents = [one for one in data.intents if one.path != op.path]
    data.stash.pop(op.path, None)
    data.sessions.pop(op.path, None)
    data.repeats.pop(op.path, None)
    meters.forget(data, op.path)
    return Done()


def revive(data: Data, op: ops.Revive, now_ms: int) -> Answer:
    buried = data.tombstones.pop(op.path, None)
    if buried is None:
        return Rejected("unknown", f"cannot revive {op.path}: it was not removed", op.path)
    data.grow(op.path, (), now_ms, buried.last_seq)
    return Done()


# ---- copies


def fork(data: Data, op: ops.Fork, now_ms: int) -> Answer:
    if refusal := _absent(data, op.source) or _present(data, op.target):
        return refusal
    source = data.sessions[op.source]
    session, state, made = source.session, source.state, data.counter
    if op.checkpoint:
        if op.checkpoint not in source.checkpoints:
            return Rejected("unknown", f"cannot fork {op.source} at {op.checkpoint!r}: no such one", op.checkpoint)
        made, point, there = source.checkpoints[op.checkpoint]
        state = point.state if there else None
        first_seq = min(session.first_seq, point.seq + 1)
        session = replace(session, first_seq=first_seq, last_seq=point.seq, state_version=point.state_version)
    session = replace(
        session, path=op.target, created_ms=now_ms, changed_ms=now_ms, ended_ms=0, state_bytes=len(state or b"")
    )
    log = {n: replace(one, session=op.target) for n, one in source.log.items() if n <= session.last_seq}
    checkpoints = {
        name: (number, replace(one, path=op.target), there)
        for name, (number, one, there) in source.checkpoints.items()
        if number <= made
    }
    data.sessions[op.target] = replaced(source, session=session, state=state, log=log, checkpoints=checkpoints)
    return Done()


def import_(data: Data, op: ops.Import, now_ms: int) -> Answer:
    if refusal := _present(data, op.path):
        return refusal
    data.grow(op.path, op.entries, now_ms)
    held = data.sessions[op.path]
    held.state = op.state
    held.session = replace(held.session, state_version=op.state_version, state_bytes=len(op.state or b""))
    return Done()


# ---- tool calls


def intend(data: Data, op: ops.Intend, now_ms: int) -> Answer:
    if refusal := data.gone(op.path) or data.fence(op.path, op.incarnation):
        return refusal
    fields = {name: getattr(op, name) for name in op.__struct_fields__ if name != "incarnation"}
    fresh = Intent(**fields, at_ms=now_ms)
    if any(_of(one) == _of(fresh) and one.attempt == op.attempt for one in data.intents):
        return Rejected("conflict", f"cannot intend call {op.call!r} of {op.path}: it is intended", op.call)
    data.intents.append(fresh)
    return Done()


def conclude(data: Data, op: ops.Conclude, now_ms: int) -> Answer:
    if refusal := data.fence(op.path, op.incarnation):
        return refusal
    found = [one for one in data.intents if _of(one) == (op.path, op.message, op.call)]
    if not found:
        return Rejected("unknown", f"cannot conclude call {op.call!r} of {op.path}: it was not intended", op.call)
    latest = max(found, key=lambda one: one.attempt)
    if latest.outcome is None:
        data.intents[data.intents.index(latest)] = replace(latest, outcome=op.outcome, outcome_ms=now_ms)
    return Done()


def _of(intent: Intent) -> tuple[str, int, str]:
    return (intent.path, intent.message, intent.call)


# ---- refusals


def _absent(data: Data, path: str) -> Rejected | None:
    if path in data.sessions:
        return None
    return data.gone(path) or Rejected("unknown", f"cannot use {path}: there is no such session", path)


def _present(data: Data, path: str) -> Rejected | None:
    if path in data.sessions:
        return Rejected("conflict", f"cannot make {path}: there is a session of this name", path)
    return data.gone(path)
