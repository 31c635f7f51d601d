"""Carries out what is said about what agents repeat."""

from __future__ import annotations

import sqlite3

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done
from agenthost.journal.sqlite.boxes import Boxes


class Repeating:
    """Within a transaction that somebody else has begun."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str], boxes: Boxes) -> None:
        self._run, self._sql, self._boxes = connection.execute, sql, boxes

    def repeated(self, op: ops.Repeated, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        refusal = box.gone("keep what is repeated by") or box.fence(op.incarnation, "keep what is repeated by")
        if refusal is not None:
            return refusal
        self._run(self._sql["repeat" if op.counts else "remove_repeats"], {"path": op.path, "counts": op.counts})
        return Done()
