"""A host per test: ``start(tree, **host_keys)`` gives one that is ready; it is ended, and nothing of it may be left.

``share`` is called in the same way, by tests that leave the host as they found it: see ``sharing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.host.running import Running, running
from tests.host.sharing import SharedHosts

Start = Callable[..., Running]


@pytest.fixture
def start(places: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(config_tree: dict[str, Any], **keys: Any) -> Running:
            return stack.enter_context(running(places, config_tree, **keys))

        yield begin


@pytest.fixture(scope="module")
def shared_hosts() -> Iterator[SharedHosts]:
    with SharedHosts() as hosts:
        yield hosts


@pytest.fixture
def share(shared_hosts: SharedHosts, places: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with ExitStack() as stack:

        def get(config_tree: dict[str, Any], **keys: Any) -> Running:
            return stack.enter_context(shared_hosts.borrowed(places, monkeypatch, config_tree, keys))

        yield get
