"""One parameter list and one text for a method that is there twice, plain and ``async def``.

``like`` puts nothing between caller and method: it only says, to the type checker and to ``help()``, what the method
takes. What it returns it says itself.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
Owner = TypeVar("Owner")
R = TypeVar("R")


def like(
    model: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[Concatenate[Owner, ...], R]], Callable[Concatenate[Owner, P], R]]:
    """The decorated method takes what ``model`` takes, and hands it on as it came."""

    def dressed(method: Any) -> Any:
        method.__doc__ = model.__doc__
        method.__wrapped__ = _shown(model, method.__annotations__["return"])
        return method

    return dressed


def _shown(model: Any, returned: Any) -> FunctionType:
    """What ``inspect.signature`` is to see."""
    shown = FunctionType(model.__code__, model.__globals__, model.__name__, model.__defaults__)
    shown.__kwdefaults__ = model.__kwdefaults__
    shown.__annotations__ = {**model.__annotations__, "return": returned}
    return shown
