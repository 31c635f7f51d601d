"""Finds the class of an agent by its name: "module:Class", or "/absolute/file.py:Class".

The zygote has imported the module already; then only the class is looked up.
"""

from __future__ import annotations

import inspect

from agenthost.agent.agent import Agent
from agenthost.errors import StartFailed
from agenthost.launch import modules


def load(name: str) -> type[Agent]:
    """Raises ``StartFailed``, with what the module itself raised as its cause."""
    source, colon, class_name = name.rpartition(":")
    if not colon or not source or not class_name:
        raise StartFailed(
            f"cannot load {name!r}: an agent is named module:Class or /path/file.py:Class", permanent=True
        )
    try:
        module = modules.load(source)
    except Exception as error:  # the author's module may raise anything while it is imported
        raise StartFailed(
            f"cannot load {name!r}: importing it raised {type(error).__name__}: {error}", permanent=True
        ) from error
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type) or not issubclass(kind, Agent):
        why = f"{source} has no {class_name}" if kind is None else "it is no subclass of agenthost.Agent"
        raise StartFailed(f"cannot load {name!r}: {why}", permanent=True)
    if kind.__abstractmethods__:
        raise StartFailed(f"cannot load {name!r}: it defines no handle()", permanent=True)
    if not is_async(kind) and any(map(inspect.iscoroutinefunction, (kind.on_start, kind.on_stop))):
        raise StartFailed(
            f"cannot load {name!r}: on_start() or on_stop() is async, handle() is not",
            hint="write async def handle()",
            permanent=True,
        )
    return kind


def is_async(kind: type[Agent]) -> bool:
    return inspect.iscoroutinefunction(kind.handle)
