"""What the tests of the workers share: an endpoint that answers by script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scripted import endpoint as scripted


@pytest.fixture
def endpoint() -> Iterator[scripted.Endpoint]:
    with scripted.running() as running:
        yield running
