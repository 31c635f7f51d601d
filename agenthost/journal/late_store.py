"""A SQLite journal that is opened when it can be. Until then every use of it says why not, and tries again.

So a host whose disk is full, read-only or damaged, or whose journal is somebody else's, goes on without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agenthost.errors import JournalDamaged, JournalForeign, JournalUnavailable
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Retained
from agenthost.journal.sqlite.opening import Durability
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.store import Reader


class LateStore:
    """``on_open`` is called once, before the first use of the open store."""

    def __init__(self, path: Path, durability: Durability, on_open: Callable[[], None]) -> None:
        self._path, self._durability, self._on_open = path, durability, on_open
        self._store: SqliteStore | None = None

    @property
    def is_open(self) -> bool:
        return self._store is not None

    def commit(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        return self._open().commit(batch, now_ms)

    def reader(self) -> Reader:
        return self._open().reader()

    def retain(self, policy: ops.Retention, now_ms: int, limit: int = 1000) -> Retained:
        return self._open().retain(policy, now_ms, limit)

    def vacuum(self, limit_bytes: int = 1 << 24) -> int:
        return self._open().vacuum(limit_bytes)

    def check(self) -> tuple[str, ...]:
        return self._open().check()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _open(self) -> SqliteStore:
        if self._store is None:
            try:
                self._store = SqliteStore(self._path, self._durability)
            except (JournalForeign, JournalDamaged) as error:
                # It may be moved away while we run; then the next try makes a new one.
                raise JournalUnavailable(error.message, hint=error.hint) from error
            self._on_open()
        return self._store
