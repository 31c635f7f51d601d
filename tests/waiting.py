"""Waiting for facts in tests. A test never sleeps for a length of time; it says which fact it waits for."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

Fact = TypeVar("Fact")

SOONEST_S, LATEST_S, SHARE = 0.002, 0.02, 0.1
"""Between two looks: a tenth of what was waited so far. Whoever looks takes CPU from those that make the fact true."""


def wait_until(predicate: Callable[[], Fact], seconds: float = 60, what: str = "") -> Fact:
    """Ask ``predicate`` again and again until it is true, return its value; ``AssertionError`` after ``seconds``.

    The predicate is asked once more after the deadline, so a machine that stalled for longer than ``seconds`` does
    not fail a test whose fact has come true meanwhile.
    """
    began = time.monotonic()
    while True:
        waited_s = time.monotonic() - began
        value = predicate()
        if value:
            return value
        if waited_s >= seconds:
            raise AssertionError(f"not within {seconds:g} s: {what or getattr(predicate, '__qualname__', 'the fact')}")
        time.sleep(min(LATEST_S, max(SOONEST_S, SHARE * waited_s)))
