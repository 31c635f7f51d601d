"""Retention, giving room back, and reading everything to see that it is whole."""

from __future__ import annotations

import sqlite3
from typing import Any

from agenthost.journal.answers import Retained
from agenthost.journal.ops import Retention
from agenthost.journal.sqlite.boxes import Boxes
from agenthost.journal.sqlite.mail import DEAD, DONE, DROPPED

EVER = 1 << 62
_OF_SESSION = (
    *("remove_checkpoints", "remove_intents", "remove_session"),
    *("remove_meters", "remove_spending", "remove_grants", "remove_repeats"),
)
LOG_SHARE = 10
"""Log entries that go in one step for each thing of ``limit``: they are small."""


class Upkeep:
    """``retain`` works within a transaction that somebody else has begun; the others outside of any."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str], boxes: Boxes) -> None:
        self._connection = connection
        self._run = connection.execute
        self._sql = sql
        self._boxes = boxes

    def retain(self, policy: Retention, now_ms: int, limit: int) -> Retained:
        mail = sum(self._mail(status, _cut(now_ms, policy.mail_ms), limit) for status in (DONE, DROPPED))
        mail += self._mail(DEAD, _cut(now_ms, policy.dead_ms), limit)
        sessions, more = self._sessions(_cut(now_ms, policy.ended_ms), limit)
        events = self._events(_cut(now_ms, policy.events_ms), limit)
        tombstones = self._tombstones(_cut(now_ms, policy.tombstones_ms), limit)
        self._run(self._sql["remove_spent_of_nothing"], {"limit": limit})  # said after its message was removed
        crashes = self._crashes(_cut(now_ms, policy.crashes_ms), policy, limit)
        if not (mail or sessions or events or more) and self._surplus(policy):
            # Nothing is too old: the oldest go, the least dear kind first, until it is small enough.
            mail = sum(self._mail(status, EVER, limit) for status in (DONE, DROPPED))
            if not mail:
                sessions, more = self._sessions(EVER, limit)
            if not mail and not sessions and not more:
                events = self._events(EVER, limit)
        more = more or bool((mail or sessions or events) and self._surplus(policy))
        more = more or max(mail, sessions, events, tombstones, crashes) >= limit
        return Retained(mail, sessions, events, tombstones, crashes, more)

    def vacuum(self, limit_bytes: int) -> int:
        size, before = self._pragma("page_size"), self._pragma("page_count")
        pages = max(1, limit_bytes // size)
        # A script is stepped to its end; ``execute`` takes one step, which frees one page.
        self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
        self._run("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return max(0, before - self._pragma("page_count")) * size

    def _pragma(self, name: str) -> int:
        (value,) = self._run(f"PRAGMA {name}").fetchone()
        return int(value)

    def _surplus(self, policy: Retention) -> bool:
        if policy.size_bytes is None:
            return False
        used = (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")
        return used > policy.size_bytes

    def _mail(self, status: int, until_ms: int | None, limit: int) -> int:
        if until_ms is None:
            return 0
        row = {"status": status, "until_ms": until_ms, "limit": limit}
        ids = self._run(self._sql["old_mail"], row).fetchall()
        self._connection.executemany(self._sql["remove_intents_of_mail"], ids)
        for statement in ("remove_failures", "remove_spent", "remove_grants_of_message"):
            self._connection.executemany(self._sql[statement], ids)
        self._connection.executemany(self._sql["remove_mail"], ids)
        return len(ids)

    def _sessions(self, until_ms: int | None, limit: int) -> tuple[int, bool]:
        """(sessions removed, whether one is left with part of its log)."""
        if until_ms is None:
            return 0, False
        removed, entries = 0, limit * LOG_SHARE
        for session, path in self._run(self._sql["old_sessions"], {"until_ms": until_ms, "limit": limit}).fetchall():
            row = {"session": session, "limit": entries, "path": path}
            entries -= self._run(self._sql["log_head"], row).rowcount
            if entries <= 0:
                self._run(self._sql["log_left"], row)
                return removed, True
            for statement in _OF_SESSION:
                self._run(self._sql[statement], row)
            self._boxes.forget_one(path)
            removed += 1
        return removed, False

    def _events(self, until_ms: int | None, limit: int) -> int:
        if until_ms is None:
            return 0
        found = self._run(self._sql["cut_snapshot"], {"until_ms": until_ms}).fetchone()
        if found is None:
            return 0
        return self._run(self._sql["cut_core"], {"boot": found[0], "number": found[1], "limit": limit}).rowcount

    def _crashes(self, until_ms: int | None, policy: Retention, limit: int) -> int:
        removed = 0
        if until_ms is not None:
            removed += self._run(self._sql["old_crashes"], {"until_ms": until_ms, "limit": limit}).rowcount
        if policy.crashes is not None:
            removed += self._run(self._sql["surplus_crashes"], {"most": policy.crashes, "limit": limit}).rowcount
        if policy.crashes_bytes is not None:
            row = {"most_bytes": policy.crashes_bytes, "limit": limit}
            removed += self._run(self._sql["heavy_crashes"], row).rowcount
        return removed

    def _tombstones(self, until_ms: int | None, limit: int) -> int:
        if until_ms is None:
            return 0
        row: dict[str, Any] = {"until_ms": until_ms, "limit": limit}
        removed = self._run(self._sql["old_tombstones"], row).rowcount
        if removed:
            self._boxes.forget()
        return removed


def _cut(now_ms: int, age_ms: int | None) -> int | None:
    return None if age_ms is None else now_ms - age_ms
