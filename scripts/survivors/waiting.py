"""Waiting for a fact, never without bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Fact = TypeVar("Fact")

PATIENCE_S = 60.0
"""For what must come true on any machine, however busy."""
LOOK_S = 0.05


class CannotCount(Exception):
    """A supervisor did not get as far as to be counted under. Says why."""


def wait_until(predicate: Callable[[], Fact], what: str, seconds: float = PATIENCE_S) -> Fact:
    """The first true value of ``predicate``. ``CannotCount`` after ``seconds``; it is asked once more after them."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= deadline
        if value := predicate():
            return value
        if late:
            raise CannotCount(f"not within {seconds:g} s: {what}")
        time.sleep(LOOK_S)
