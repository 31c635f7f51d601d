"""Waiting for facts in tests. A test never sleeps for a length of time; it says which fact it waits for."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

Fact = TypeVar("Fact")

POLL_S = 0.005


def wait_until(predicate: Callable[[], Fact], seconds: float = 10, what: str = "") -> Fact:
    """Poll ``predicate`` each 5 ms until it is true and return its value; ``AssertionError`` after ``seconds``.

    The predicate is asked once more after the deadline, so a machine that stalled for longer than ``seconds`` does
    not fail a test whose fact has come true meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if late:
            raise AssertionError(f"not within {seconds:g} s: {what or getattr(predicate, '__qualname__', 'the fact')}")
        time.sleep(POLL_S)
