"""Calls the author's code from where none is expected: ``compact``, a rung of his own. Does nothing else, so that an
interruption may strike in it (``interruption``), as in a handler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def called(function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
    return function(*arguments, **keywords)
