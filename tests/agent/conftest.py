"""A fake host, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.client import Client
from tests.agent.fake_host import FakeHost, fake_host


@pytest.fixture
def host(places: Path) -> Iterator[FakeHost]:
    with fake_host(places / "run") as host:
        yield host


@pytest.fixture
def client(host: FakeHost) -> Iterator[Client]:
    with Client(host.endpoint) as client:
        yield client


@pytest.fixture(params=["Clerk", "AsyncClerk"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
