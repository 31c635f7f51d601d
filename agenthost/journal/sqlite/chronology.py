"""Carries out what is asked about the events of the core: in order, without a hole that is not written down."""

from __future__ import annotations

import sqlite3
from typing import Any

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done, Rejected


class Chronology:
    """Within a transaction that somebody else has begun."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str]) -> None:
        self._run = connection.execute
        self._sql = sql
        self._last: dict[int, int] = {}

    def forget(self) -> None:
        """The batch was rolled back."""
        self._last.clear()

    def note(self, op: ops.Note, now_ms: int) -> Answer:
        last = self._last_of(op.boot)
        if op.number <= last:
            return Done()
        if op.number > last + 1:
            return _missing(f"event {op.number}", op.boot, last)
        row: dict[str, Any] = {"boot": op.boot, "number": op.number, "now_s": op.now_s, "now_ms": now_ms}
        row |= {"chance": op.chance, "body": op.event, "effects": op.effects}
        return self._write("core_note", row, op.boot, op.number)

    def picture(self, op: ops.Picture, now_ms: int) -> Answer:
        last = self._last_of(op.boot)
        if op.number != last:
            return _missing(f"a snapshot after event {op.number}", op.boot, last)
        row = {"boot": op.boot, "number": op.number, "now_s": op.now_s, "now_ms": now_ms, "body": op.state}
        return self._write("core_picture", row, op.boot, op.number)

    def missed(self, op: ops.Missed, now_ms: int) -> Answer:
        last = self._last_of(op.boot)
        if op.last <= last:
            return _missing(f"a gap up to {op.last}", op.boot, last)
        row = {"boot": op.boot, "number": last + 1, "until": op.last, "now_ms": now_ms, "body": op.why.encode()}
        return self._write("core_missed", row, op.boot, op.last)

    def _write(self, statement: str, row: dict[str, Any], boot: int, last: int) -> Answer:
        self._run(self._sql[statement], row)
        self._last[boot] = last
        return Done()

    def _last_of(self, boot: int) -> int:
        if boot not in self._last:
            row = self._run(self._sql["core_last"], {"boot": boot}).fetchone()
            self._last[boot] = 0 if row is None else row[0]
        return self._last[boot]


def _missing(what: str, boot: int, last: int) -> Rejected:
    why = f"cannot write {what} of boot {boot}: the last one written is {last}"
    return Rejected("out_of_order", why, str(last + 1))
