"""Hosts as the tests of the host have them, and agents for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.conftest import share, shared_hosts, start

__all__ = ["share", "shared_hosts", "start"]


@pytest.fixture
def agents() -> str:
    """The file of this folder's agents: ``f"{agents}:Echo"``."""
    return str(Path(__file__).resolve().with_name("actors.py"))
