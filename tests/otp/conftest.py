"""``play(shape)``: a supervisor under test, in simulation or in a host, whichever form the test runs in.

It is up when ``play`` returns. At the end of every test with real processes none of them is there any more, also not
one that has left its group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conftest import Start, start
from tests.otp.play import Play

__all__ = ["start"]


@pytest.fixture
def play(request: pytest.FixtureRequest, start: Start, places: Path) -> Iterator[Play]:
    one = Play(request.param, start, places)
    yield one
    one.end()
