"""Carries out what is said about children of run time that persist."""

from __future__ import annotations

import sqlite3

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Done


class Keeping:
    """Within a transaction that somebody else has begun."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str]) -> None:
        self._run, self._sql = connection.execute, sql

    def keep(self, op: ops.Keep, now_ms: int) -> Answer:
        self._run(self._sql["keep"], {"path": op.path, "record": op.record, "now_ms": now_ms})
        return Done()

    def unkeep(self, op: ops.Unkeep, now_ms: int) -> Answer:
        self._run(self._sql["unkeep"], {"path": op.path})
        return Done()
