"""Carries out what is said about what failed: attempts, and ends of processes that nobody had wanted."""

from __future__ import annotations

import sqlite3
from typing import Any

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done, Rejected
from agenthost.journal.values import Crash


class Crashes:
    """Within a transaction that somebody else has begun."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str]) -> None:
        self._run, self._sql = connection.execute, sql

    def note(self, op: ops.Crash, now_ms: int) -> Answer:
        boot, n = op.incarnation
        row: dict[str, Any] = {"path": op.path, "boot": boot, "n": n, "at_ms": op.at_ms or now_ms, "cause": op.cause}
        row |= {"reason": op.reason, "fingerprint": op.fingerprint, "message": op.message, "attempt": op.attempt}
        row |= {"remedy": op.remedy, "why": op.why, "ended": op.ended, "fatal": op.fatal, "details": op.details}
        row["number"] = op.number
        if op.number and not op.message and (known := self._id("crash_said", row)):
            self._run(self._sql["crash_details"], row | {"id": known})
            return Done()
        if not op.message:
            known = self._id("crash_to_end", row) if op.ended else 0
        elif self._id("crash_failed", row):
            known = self._id("crash_of_attempt", row) or (self._id("crash_of_end", row) if op.fatal else 0)
        else:
            return _unknown(op, "did not fail")
        if not known and op.adds:
            return _unknown(op, "has no record")
        told = "crash_end" if not op.message else "crash_details" if op.adds else "crash_attempt"
        self._run(self._sql[told if known else "crash_insert"], row | {"id": known})
        return Done()

    def _id(self, statement: str, row: dict[str, Any]) -> int:
        found = self._run(self._sql[statement], row).fetchone()
        return 0 if found is None else int(found[0])


def _unknown(op: ops.Crash, why: str) -> Rejected:
    return Rejected("unknown", f"cannot note attempt {op.attempt} of message {op.message}: it {why}", str(op.message))


def crash_of(row: tuple[Any, ...]) -> Crash:
    row_id, path, boot, n, at_ms, cause, reason, *rest = row
    fingerprint, message, attempt, remedy, why, ended, fatal, details, number = rest
    of_attempt = (fingerprint, message, attempt, remedy, why)
    return Crash(row_id, path, (boot, n), at_ms, cause, reason, *of_attempt, ended, bool(fatal), details, number)
