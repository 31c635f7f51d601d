"""Coroutines for those who block: what both desks do is written once, as a coroutine.

A plain agent's is never suspended in it, because the waiting that it is lent blocks by itself.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine whose waiting blocks."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a plain agent awaited something of asyncio")
