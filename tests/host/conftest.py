"""A host per test: ``start(tree, **host_keys)`` gives one that is ready; it is ended, and nothing of it may be left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.host.running import Running, running

Start = Callable[..., Running]


@pytest.fixture
def start(places: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(config_tree: dict[str, Any], **keys: Any) -> Running:
            return stack.enter_context(running(places, config_tree, **keys))

        yield begin
