"""The end of a turn, as one: acknowledgement, state after, sends, log entries, outcome."""

from __future__ import annotations

import sqlite3

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Answer, Committed, Leased, Nothing, Rejected, Unsendable
from agenthost.journal.sqlite.boxes import Box, Boxes
from agenthost.journal.sqlite.mail import DONE, STATUS, Post
from agenthost.journal.sqlite.sessions import Sessions


class Turns:
    """Within a transaction that somebody else has begun."""

    def __init__(
        self, connection: sqlite3.Connection, sql: dict[str, str], boxes: Boxes, post: Post, sessions: Sessions
    ) -> None:
        self._run = connection.execute
        self._sql = sql
        self._boxes = boxes
        self._post = post
        self._sessions = sessions

    def commit(self, op: ops.CommitTurn, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        refusal = box.gone("commit a turn of") or box.fence(op.incarnation, "commit a turn of")
        if refusal is not None:
            return refusal
        lane = ""
        if op.message:
            if box.leased != op.message or box.lease is None or box.lease[:3] != (op.attempt, *op.incarnation):
                return self._not_leased(op, box)
            if op.upon and op.upon != box.last_done and (refusal := self._upon(op)):
                return refusal
            lane = box.lease[3]
        elif 0 < op.turn <= box.turn:
            return Committed(box.last_seq, next=self._next(box, op), twice=True)
        if op.checkpoint and (refusal := self._sessions.room_for_checkpoint(box, op.checkpoint)):
            return refusal
        if op.sends and op.unsendable == "refuse":
            return self._try(op, box, lane, now_ms)
        sends = self._write(op, box, lane, now_ms)
        return sends if isinstance(sends, Rejected) else Committed(box.last_seq, sends, self._next(box, op, lane))

    def _upon(self, op: ops.CommitTurn) -> Rejected | None:
        self._boxes.settle()
        row = self._run(self._sql["brief"], {"id": op.upon}).fetchone()
        if row is not None and row[2] == DONE and (row[5], row[6]) == op.incarnation:
            return None
        return Rejected("stale", f"cannot commit message {op.message}: {op.upon} is not done", str(op.message))

    def _not_leased(self, op: ops.CommitTurn, box: Box) -> Answer:
        """It was committed before, or it is somebody else's."""
        self._boxes.settle()
        row = self._run(self._sql["brief"], {"id": op.message}).fetchone()
        if row is None or row[0] != op.path or (row[4], row[5], row[6]) != (op.attempt, *op.incarnation):
            why = f"cannot commit message {op.message}: attempt {op.attempt} of it is not {op.path}'s to handle"
            return Rejected("stale", why, str(op.message))
        if row[2] == DONE:
            return Committed(box.last_seq, next=self._next(box, op), twice=True)
        return Rejected("stale", f"cannot commit message {op.message}: it is {STATUS[row[2]]}", str(op.message))

    def _try(self, op: ops.CommitTurn, box: Box, lane: str, now_ms: int) -> Answer:
        """A send that is refused takes back the turn, and the turn alone."""
        self._boxes.settle()
        mark = self._boxes.mark
        self._run("SAVEPOINT turn")
        sends = self._write(op, box, lane, now_ms)
        if isinstance(sends, Rejected):
            self._run("ROLLBACK TO turn")
            self._boxes.rewind(mark)
        self._run("RELEASE turn")
        return sends if isinstance(sends, Rejected) else Committed(box.last_seq, sends, self._next(box, op, lane))

    def _write(
        self, op: ops.CommitTurn, box: Box, lane: str, now_ms: int
    ) -> tuple[Accepted | Unsendable, ...] | Rejected:
        for key in op.cancels:
            self._post.cancelled(op.path, key, now_ms)
        if op.message:
            self._post.finish(box, op.message, op.outcome, now_ms)
        else:
            self._sessions.is_written(box, op.turn)
        self._sessions.settle_intents(box, op.message)
        self._sessions.drop_stash(box)
        if op.state is not None:
            self._sessions.change(box, op.state, op.state_version, op.entries, now_ms)
        elif op.entries or op.checkpoint:
            self._sessions.grow(box, op.entries, now_ms)
        if op.checkpoint:
            self._sessions.keep_checkpoint(box, op.checkpoint, now_ms)
        sends = list[Accepted | Unsendable]()
        for send in op.sends:
            answer = self._post.accept(send, now_ms)
            if isinstance(answer, Accepted):
                sends.append(answer)
            elif op.unsendable == "refuse":
                return answer
            else:
                dead = self._post.accept_dead(send, now_ms, answer.why)
                sends.append(Unsendable(dead, answer.code, answer.why))
        return tuple(sends)

    def _next(self, box: Box, op: ops.CommitTurn, lane: str = "") -> Leased | Nothing | None:
        """``lane`` is that of the message which is finished."""
        if lane and op.lease_until_ms:
            return self._post.lease_after(box, lane, op.lease_until_ms, op.show)
        if lane:
            self._post.go_on(box, lane)
        return self._post.lease_next(box, op.lease_until_ms, op.show) if op.lease_until_ms else None
