"""A journal of either kind, and short words for what tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agenthost.agent import ahead
from agenthost.journal import ops
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.sqlite.store import SqliteStore
from tests.journal.desk import Desk
from tests.journal.test_clerk import Office


@pytest.fixture(params=["memory", "sqlite"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    """Clerk and orders over a fresh journal."""
    store: Any = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "journal")
    one = Office(store)
    yield one
    one.clerk.close()
    store.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no reason to go ahead of fewer turns."""
    monkeypatch.setattr(ahead, "LONGEST_S", 60.0)


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
