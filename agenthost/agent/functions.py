"""An agent made from a function: ``f(message)`` or ``f(message, ctx)``, plain or ``async``, is its handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from agenthost.agent.agent import Agent
from agenthost.errors import UsageError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def agent_of(function: Callable[..., Any]) -> type[Agent]:
    """``UsageError`` if it takes neither one nor two arguments."""
    takes_ctx = check_takes(function)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

        async def handle_async(self: Agent, message: Any, ctx: Any) -> Any:
            return await (function(message, ctx) if takes_ctx else function(message))

        methods: dict[str, Any] = {"handle": handle_async}
    else:

        def handle(self: Agent, message: Any, ctx: Any) -> Any:
            return function(message, ctx) if takes_ctx else function(message)

        methods = {"handle": handle}
    name = getattr(function, "__name__", type(function).__name__)
    return type(name, (Agent,), {"__doc__": function.__doc__, "__module__": function.__module__, **methods})


def check_takes(function: Callable[..., Any]) -> bool:
    """True if it takes (message, ctx), False if (message); ``UsageError`` otherwise."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # built in, says nothing about itself
        return False
    places = sum(one.kind in _POSITIONAL for one in parameters)
    needed = sum(one.kind in _POSITIONAL and one.default is one.empty for one in parameters)
    words = any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in parameters)
    many = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    if needed > 2 or words or (places == 0 and not many):
        name = getattr(function, "__qualname__", repr(function))
        raise UsageError(
            f"cannot start {name}{inspect.signature(function)}: a handler takes (message) or (message, ctx)"
        )
    # A second parameter with a default is the author's own (``lambda message, n=n: ...``), unless it is called ctx.
    if needed == 2 or many:
        return True
    return places >= 2 and parameters[1].name == "ctx"
