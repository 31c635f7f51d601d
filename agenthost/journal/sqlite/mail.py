"""Carries out what is asked about mail: taking, leasing, holding back, setting aside, sending later.

An operation looks first and writes when nothing can refuse it any more. Statuses are indices of ``STATUS``; the SQL
knows them by number.
"""

from __future__ import annotations

import sqlite3
from typing import Any, get_args

from msgspec.structs import replace

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Answer, Done, Leased, Nothing, Rejected, Ripened
from agenthost.journal.limits import MAILBOX_MESSAGES, SHOWN, SHOWN_BYTES
from agenthost.journal.sqlite.boxes import Box, Boxes
from agenthost.journal.sqlite.sessions import Sessions
from agenthost.journal.values import Cron, Mail, Status

STATUS: tuple[Status, ...] = get_args(Status)
DELAYED, WAITING, LEASED, BACKING_OFF, PARKED, DONE, DEAD, DROPPED = range(8)


def lane_of(session: str, sender: str) -> str:
    return f"s{session}" if session else f"f{sender}"


def mail_of(row: tuple[Any, ...]) -> Mail:
    """Of the columns of the statement ``message``, in its order."""
    number, place, receiver, sender, lane, status, attempt, accepted_ms, body, meta, key, due_ms, boot, n, *rest = row
    until_ms, closed_ms, outcome = rest
    return Mail(
        number,
        place or 0,
        receiver,
        sender,
        lane[1:] if lane[0] == "s" else "",
        STATUS[status],
        attempt,
        accepted_ms,
        body,
        meta or b"",
        key or "",
        due_ms or 0,
        None if boot is None else (boot, n),
        until_ms or 0,
        closed_ms or 0,
        outcome or b"",
    )


class Post:
    """Mail, within a transaction that somebody else has begun."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str], boxes: Boxes, sessions: Sessions) -> None:
        self._run = connection.execute
        self._sql = sql
        self._boxes = boxes
        self._sessions = sessions

    # ---- taking

    def accept(self, op: ops.Accept, now_ms: int) -> Accepted | Rejected:
        if op.key:
            row = self._run(self._sql["key"], {"sender": op.sender, "key": op.key}).fetchone()
            if row is not None:
                return Accepted(row[0], twice=True)
        box = self._boxes.of(op.receiver)
        if box.removed:
            return Rejected("removed", f"cannot send to {op.receiver}: it was removed", op.receiver)
        limit = min(op.limit or MAILBOX_MESSAGES, MAILBOX_MESSAGES)
        dropped: tuple[int, ...] = ()
        spilled = False
        if box.open >= limit:
            if op.when_full == "drop_oldest":
                dropped = self._oldest(box, limit)
            elif op.when_full == "spill" and box.open < MAILBOX_MESSAGES:
                spilled = True
            if not dropped and not spilled:
                why = f"cannot send to {op.receiver}: its mailbox has {box.open} of {limit} messages"
                return Rejected("overloaded", why, op.receiver)
        for message in dropped:
            self._close(message, DROPPED, now_ms, "dropped", "the mailbox was full")
        number = self._insert(op, box, now_ms)
        if op.logged is not None:
            self._sessions.grow(box, (replace(op.logged, message=number),), now_ms)
        return Accepted(number, dropped=dropped, spilled=spilled, seq=box.last_seq if op.logged is not None else 0)

    def accept_dead(self, op: ops.Accept, now_ms: int, reason: str) -> int:
        """A send that nobody can take, kept as a dead letter."""
        number = self._boxes.next_number()
        self._run(self._sql["accept_dead"], self._row(op, number, now_ms))
        self._fail(number, 0, now_ms, "unsendable", reason)
        return number

    def _oldest(self, box: Box, limit: int) -> tuple[int, ...]:
        """So many that the mailbox has room for one; none if that cannot be done."""
        self._boxes.settle()
        surplus = box.open - limit + 1
        rows = self._run(self._sql["oldest"], {"receiver": box.path, "limit": surplus}).fetchall()
        return tuple(number for (number,) in rows) if len(rows) == surplus else ()

    def _insert(self, op: ops.Accept, box: Box, now_ms: int) -> int:
        number = self._boxes.next_number()
        if op.due_ms > now_ms:
            times = {"due_ms": op.due_ms, "by_clock": op.by_clock}
            self._run(self._sql["accept_delayed"], self._row(op, number, now_ms) | times)
        else:
            lane = f"s{op.session}" if op.session else f"f{op.sender}"
            row = (number, number, op.receiver, op.sender, lane, now_ms, op.key or None, op.meta or None, op.body)
            if box.open:
                self._run(self._sql["accept"], (*row, op.receiver, lane))
            else:
                self._run(self._sql["accept_first"], row)
        box.open += 1
        return number

    @staticmethod
    def _row(op: ops.Accept, id: int, now_ms: int) -> dict[str, Any]:
        return {
            "id": id,
            "receiver": op.receiver,
            "sender": op.sender,
            "lane": f"s{op.session}" if op.session else f"f{op.sender}",
            "now_ms": now_ms,
            "key": op.key or None,
            "meta": op.meta or None,
            "body": op.body,
        }

    # ---- leasing

    def own(self, op: ops.Own, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        if box.owner is not None and box.owner >= op.incarnation:
            return Done() if box.owner == op.incarnation else box.fence(op.incarnation, "own") or Done()
        boot, n = op.incarnation
        self._boxes.settle()
        self._sessions.break_stash(box, now_ms)
        self._run(self._sql["own"], {"path": op.path, "boot": boot, "n": n})
        if box.leased:
            mail = self.held(box)
            held_by = "" if mail.incarnation is None else f"incarnation {mail.incarnation[0]}.{mail.incarnation[1]} "
            self._wait_again(box, mail.id, mail.attempt, now_ms, "lost", f"{held_by}ended without a word on it")
        box.owner, box.turn, box.last_done = op.incarnation, 0, 0
        return Done()

    def lease(self, op: ops.Lease, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        return box.fence(op.incarnation, "lease mail of") or self.lease_next(box, op.until_ms, op.show)

    def lease_next(self, box: Box, until_ms: int, show: int) -> Leased | Nothing:
        """For the owner of ``box``, which somebody has checked."""
        if box.leased:
            return Leased(self.held(box))
        if not box.open:
            return Nothing()
        row = self._run(self._sql["first_ready"], {"path": box.path}).fetchone()
        return self._lease(box, row, until_ms, show)

    def lease_after(self, box: Box, lane: str, until_ms: int, show: int) -> Leased | Nothing:
        """As ``lease_next``, where the message of ``lane`` that was in hand is finished, and the lane has not gone on
        yet: who is first in it may be leased without having been ready, which spares two changes of an index."""
        if not box.open:
            return Nothing()
        if box.coming and box.coming_at == self._boxes.disturbances:
            return self._lease(box, box.coming.pop(), until_ms, show)
        row = self._run(self._sql["first_after"], (box.path, box.path, lane)).fetchone()
        if row is not None and row[4] != lane:
            self._promote(box, lane)
        return self._lease(box, row, until_ms, show)

    def _lease(self, box: Box, row: tuple[Any, ...] | None, until_ms: int, show: int) -> Leased | Nothing:
        if row is None or box.owner is None:
            return Nothing()
        boot, n = box.owner
        box.leased, box.lease = row[0], (row[6] + 1, boot, n, row[4])
        if not box.late_lease_ms:
            self._boxes.late(box)
        box.late_lease_ms = until_ms
        leased = (*row[:5], LEASED, row[6] + 1, *row[7:12], boot, n, until_ms, *row[15:])
        return Leased(mail_of(leased), self._shown(box, row, show) if show else ())

    def _shown(self, box: Box, leased: tuple[Any, ...], show: int) -> tuple[Mail, ...]:
        """What comes behind it. It is remembered, so that those need not be looked for again."""
        coming, size_bytes = list[tuple[Any, ...]](), 0
        for row in self._run(
            self._sql["behind"], (box.path, leased[4], leased[1], box.path, leased[0], min(show, SHOWN))
        ):
            size_bytes += len(row[8])
            if row[6] or size_bytes > SHOWN_BYTES:
                break
            coming.append(row)
        box.coming, box.coming_at = coming[::-1], self._boxes.disturbances
        return tuple(map(mail_of, coming))

    def held(self, box: Box) -> Mail:
        self._boxes.settle()
        return mail_of(self._run(self._sql["message"], {"id": box.leased}).fetchone())

    def extend(self, op: ops.Extend, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        refusal = box.fence(op.incarnation, "extend a lease of")
        if refusal is None and (box.leased != op.message or self.held(box).attempt != op.attempt):
            why = f"cannot extend the lease of message {op.message}: {op.path} does not hold its attempt {op.attempt}"
            refusal = Rejected("stale", why, op.path)
        if refusal is not None:
            return refusal
        self._run(self._sql["extend"], {"id": op.message, "until_ms": op.until_ms})
        return Done()

    def finish(self, box: Box, id: int, outcome: bytes, now_ms: int) -> None:
        """Acknowledged. ``id`` is leased to the owner of ``box``, which somebody has checked. Its lane is to go on:
        ``lease_after``, or ``go_on``."""
        if box.late_lease_ms and box.lease is not None:
            attempt, boot, n, _ = box.lease
            row = (attempt, boot, n, box.late_lease_ms, now_ms, outcome or None, id)
            self._run(self._sql["finish_at_once"], row)
            box.late_lease_ms = 0
        else:
            self._run(self._sql["finish"], (now_ms, outcome or None, id))
        box.leased, box.last_done = 0, id
        box.open -= 1

    def go_on(self, box: Box, lane: str) -> None:
        """Who is first in it now is ready."""
        self._promote(box, lane)

    # ---- what the host says of a leased message

    def settle(self, op: ops.Release | ops.BackOff | ops.Park | ops.DeadLetter | ops.Move, now_ms: int) -> Answer:
        row = self._run(self._sql["brief"], {"id": op.message}).fetchone()
        settled = (LEASED,) if isinstance(op, ops.Release) else (LEASED, PARKED)
        is_next = isinstance(op, ops.Park) and row is not None and row[2] == WAITING and row[3]
        if row is None or not (row[2] in settled or is_next) or row[4] != op.attempt:
            is_ = "there is no such message" if row is None else f"it is {STATUS[row[2]]}, attempt {row[4]}"
            why = f"cannot settle attempt {op.attempt} of message {op.message}: {is_}"
            return Rejected("stale", why, str(op.message))
        box = self._boxes.of(row[0])
        match op:
            case ops.Release():
                self._wait_again(box, op.message, op.attempt, now_ms, "released", op.reason)
            case ops.BackOff():
                self._hold(box, op, BACKING_OFF, op.until_ms, now_ms, "backed_off")
            case ops.Park():
                self._hold(box, op, PARKED, op.until_ms or None, now_ms, "parked")
            case ops.DeadLetter():
                self._close(op.message, DEAD, now_ms, "dead_letter", op.reason, op.mark)
            case ops.Move():
                return self._move(box, op, row[1], now_ms)
        return Done()

    def resume(self, op: ops.Resume, now_ms: int) -> Answer:
        row = self._run(self._sql["brief"], {"id": op.message}).fetchone()
        if row is None:
            return Rejected("unknown", f"cannot resume message {op.message}: there is none", str(op.message))
        if row[2] != PARKED:
            why = f"cannot resume message {op.message}: it is {STATUS[row[2]]}"
            return Rejected("conflict", why, str(op.message))
        self._wait_behind(op.message)
        self._fail(op.message, row[4], now_ms, "answered", op.reason, op.mark)
        return Done()

    def requeue(self, op: ops.Requeue, now_ms: int) -> Answer:
        row = self._run(self._sql["brief"], {"id": op.message}).fetchone()
        if row is None:
            return Rejected("unknown", f"cannot requeue message {op.message}: there is none", str(op.message))
        receiver, lane, status, _, attempt, _, _ = row
        if status in (PARKED, BACKING_OFF):
            self._run(self._sql["wait"], {"id": op.message})
        elif status == DEAD:
            box = self._boxes.of(receiver)
            if refusal := box.gone(f"requeue message {op.message} for"):
                return refusal
            self._enter(op.message, receiver, lane)
            box.open += 1
        else:
            why = f"cannot requeue message {op.message}: it is {STATUS[status]}"
            return Rejected("conflict", why, str(op.message))
        self._fail(op.message, attempt, now_ms, "requeued", op.reason)
        return Done()

    def drop(self, op: ops.Drop, now_ms: int) -> Answer:
        row = self._run(self._sql["brief"], {"id": op.message}).fetchone()
        if row is None:
            return Rejected("unknown", f"cannot drop message {op.message}: there is none", str(op.message))
        if row[2] in (LEASED, DONE, DROPPED):
            why = f"cannot drop message {op.message}: it is {STATUS[row[2]]}"
            return Rejected("conflict", why, str(op.message))
        self._close(op.message, DROPPED, now_ms, "dropped", op.reason)
        return Done()

    def cancel(self, op: ops.Cancel, now_ms: int) -> Answer:
        if self.cancelled(op.sender, op.key, now_ms):
            return Done()
        why = f"cannot cancel {op.key!r}: {op.sender} has sent no such message that nobody has begun to handle"
        return Rejected("unknown", why, op.key)

    def cancelled(self, sender: str, key: str, now_ms: int) -> bool:
        self._boxes.settle()
        row = self._run(self._sql["cancellable"], {"sender": sender, "key": key}).fetchone()
        if row is None or row[1] not in (DELAYED, WAITING) or row[2]:
            return False
        self._close(row[0], DROPPED, now_ms, "dropped", "cancelled by its sender")
        self._run(self._sql["free_key"], {"id": row[0]})
        return True

    def strand(self, op: ops.Strand, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        row = {"path": op.path, "now_ms": now_ms}
        for number, attempt in self._run(self._sql["open_box"], row).fetchall():
            self._fail(number, attempt, now_ms, "stranded", op.reason)
        self._run(self._sql["strand_box"], row)
        box.open = box.leased = 0
        return Done()

    # ---- later

    def ripen(self, op: ops.Ripen, now_ms: int) -> Answer:
        limit = max(1, op.limit)
        rows = self._run(self._sql["ripe"], {"now_ms": now_ms, "limit": limit + 1}).fetchall()
        for number, receiver, lane, status in rows[:limit]:
            if status == DELAYED:
                self._enter(number, receiver, lane)
            else:
                self._wait_behind(number)
        return Ripened(tuple(dict.fromkeys(row[1] for row in rows[:limit])), len(rows) > limit)

    def shift(self, op: ops.Shift, now_ms: int) -> Answer:
        self._run(self._sql["shift"], {"by_ms": op.by_ms})
        return Done()

    def schedule(self, op: ops.Schedule, now_ms: int) -> Answer:
        row = {name: getattr(op, name) for name in op.__struct_fields__}
        self._run(self._sql["schedule"], row)
        return Done()

    def unschedule(self, op: ops.Unschedule, now_ms: int) -> Answer:
        if self._run(self._sql["unschedule"], {"name": op.name}).rowcount:
            return Done()
        return Rejected("unknown", f"cannot unschedule {op.name!r}: there is no such periodic message", op.name)

    def fire(self, op: ops.Fire, now_ms: int) -> Answer:
        cron = self._due(op)
        if isinstance(cron, Rejected):
            return cron
        send = ops.Accept(cron.receiver, cron.sender, cron.body, cron.session, meta=cron.meta, limit=op.limit)
        return self.accept(send, now_ms)

    def skip(self, op: ops.Skip, now_ms: int) -> Answer:
        cron = self._due(op)
        return cron if isinstance(cron, Rejected) else Done()

    def _due(self, op: ops.Fire | ops.Skip) -> Cron | Rejected:
        """The periodic message, which is due next when ``op`` says."""
        row = self._run(self._sql["cron"], {"name": op.name}).fetchone()
        cron = None if row is None else Cron(*row)
        if cron is None or cron.due_ms != op.due_ms:
            is_ = "there is none" if cron is None else f"it is due at {cron.due_ms}"
            return Rejected("stale", f"cannot fire {op.name!r} of {op.due_ms}: {is_}", op.name)
        if op.next_due_ms:
            self._run(self._sql["cron_due"], {"name": op.name, "due_ms": op.next_due_ms})
        else:
            self._run(self._sql["unschedule"], {"name": op.name})
        return cron

    # ---- moves

    def _wait_again(self, box: Box, id: int, attempt: int, now_ms: int, what: str, reason: str) -> None:
        self._boxes.disturb()
        self._run(self._sql["wait"], {"id": id})
        box.leased = 0
        self._fail(id, attempt, now_ms, what, reason)

    def _wait_behind(self, id: int) -> None:
        """It is the first of its lane, and comes again: after those that wait already in other lanes."""
        self._run(self._sql["wait_behind"], {"id": id, "rank": self._boxes.next_number()})

    def _hold(
        self, box: Box, op: ops.BackOff | ops.Park, status: int, due_ms: int | None, now_ms: int, what: str
    ) -> None:
        self._boxes.disturb()
        self._run(self._sql["hold"], {"id": op.message, "status": status, "due_ms": due_ms})
        if box.leased == op.message:
            box.leased = 0
        self._fail(op.message, op.attempt, now_ms, what, op.reason, op.mark)

    def _move(self, box: Box, op: ops.Move, lane: str, now_ms: int) -> Answer:
        target = self._boxes.of(op.receiver)
        if refusal := target.gone(f"move message {op.message} to"):
            return refusal
        self._run(self._sql["move"], {"id": op.message, "receiver": op.receiver})
        if box.intents and target is not box:
            self._run(self._sql["move_intents"], {"id": op.message, "path": box.path, "receiver": op.receiver})
            target.intents = True
        box.open -= 1
        if box.leased == op.message:
            box.leased = 0
        self._promote(box, lane)
        self._enter(op.message, op.receiver, lane)
        target.open += 1
        self._fail(op.message, op.attempt, now_ms, "moved", op.reason, op.mark)
        return Done()

    def _close(self, id: int, status: int, now_ms: int, what: str, reason: str, mark: ops.Mark = ops.NO_MARK) -> None:
        self._boxes.disturb()
        receiver, lane, was, ready, attempt, _, _ = self._run(self._sql["brief"], {"id": id}).fetchone()
        box = self._boxes.of(receiver)  # before the row changes: it may be counted only now
        self._run(self._sql["close"], {"id": id, "status": status, "now_ms": now_ms})
        self._fail(id, attempt, now_ms, what, reason, mark)
        if was == DEAD:
            return
        box.open -= 1
        if was == LEASED:
            box.leased = 0
        if ready or was in (LEASED, BACKING_OFF, PARKED):  # it was the first of its lane
            self._promote(box, lane)

    def _promote(self, box: Box, lane: str) -> None:
        if box.open:
            self._run(self._sql["promote"], {"receiver": box.path, "lane": lane})

    def _enter(self, id: int, receiver: str, lane: str) -> None:
        place = self._boxes.next_number()
        self._run(self._sql["enter"], {"id": id, "place": place, "receiver": receiver, "lane": lane})

    def _fail(self, id: int, attempt: int, now_ms: int, what: str, reason: str, mark: ops.Mark = ops.NO_MARK) -> None:
        row = {"id": id, "attempt": attempt, "now_ms": now_ms, "what": what, "reason": reason}
        row |= {"fingerprint": mark.fingerprint, "rung": mark.rung, "remedy": mark.remedy}
        self._run(self._sql["fail"], row)
