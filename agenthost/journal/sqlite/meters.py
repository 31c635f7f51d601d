"""Carries out what is said about meters: charges, grants, how far the host's words have come."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from agenthost.core.budget.amounts import FIELDS, Amounts
from agenthost.core.budget.scope import above
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done, Rejected
from agenthost.journal.values import Metered, Spending

_pack = msgspec.msgpack.Encoder().encode
read_amounts = msgspec.msgpack.Decoder(Amounts).decode


class Meters:
    """Within a transaction that somebody else has begun."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str]) -> None:
        self._run, self._run_many, self._sql = connection.execute, connection.executemany, sql

    def charge(self, op: ops.Charge, now_ms: int) -> Answer:
        amounts = [getattr(op.amounts, name) for name in FIELDS]
        paths = (op.path,) if op.alone else above(op.path)
        self._run_many(self._sql["charge"], [(path, *amounts) for path in paths])
        if (one := op.spending) is not None:
            row = (one.path, *one.incarnation, one.turn, _pack(one.in_turn), one.said, one.seen_turn, _pack(one.seen))
            self._run(self._sql["spending"], row)
        if op.message:
            found = self._run(self._sql["spent"], (op.message,)).fetchone()
            used = op.amounts if found is None else read_amounts(found[0]) + op.amounts
            self._run(self._sql["spend"], (op.message, _pack(used)))
        return Done()

    def counted(self, op: ops.Counted, now_ms: int) -> Answer:
        self._run(self._sql["counted"], (op.boot, op.number))
        return Done()

    def grant(self, op: ops.Grant, now_ms: int) -> Answer:
        self._run(self._sql["grant"], (op.path, op.message, op.meter, op.amount, op.by, now_ms))
        return Done()

    def granting(self, resume: Callable[[ops.Resume, int], Answer]) -> Callable[[ops.Resume, int], Answer]:
        """``resume``, and what goes with it."""

        def both(op: ops.Resume, now_ms: int) -> Answer:
            answer = resume(op, now_ms)
            if op.grant is not None and not isinstance(answer, Rejected):
                self.grant(op.grant, now_ms)
            return answer

        return both


def metered_of(row: tuple[Any, ...]) -> Metered:
    path, *amounts = row
    return Metered(path, Amounts(*amounts))


def spending_of(row: tuple[Any, ...]) -> Spending:
    path, boot, n, turn, in_turn, said, seen_turn, seen = row
    return Spending(path, (boot, n), turn, read_amounts(in_turn), said, seen_turn, read_amounts(seen))
