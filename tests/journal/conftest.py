"""A journal of either kind, and short words for what tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.journal import ops
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.sqlite.store import SqliteStore
from tests.journal.desk import Desk


@pytest.fixture(params=["sqlite", "memory"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A fresh journal; ``/a`` is owned by incarnation (1, 1)."""
    store = SqliteStore(tmp_path / "journal") if request.param == "sqlite" else MemoryStore()
    desk = Desk(store)
    desk.does(ops.Own("/a", (1, 1)))
    yield desk
    problems = store.check()
    desk.close()
    assert problems == ()
