"""Finds the class of an agent by its name: "module:Class", or "/absolute/file.py:Class".

The zygote has imported the module already, and has found its classes once for all agents: ``prepare``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from agenthost.agent.agent import Agent
from agenthost.errors import StartFailed
from agenthost.launch import modules
from agenthost.protocol.birth import Certificate

_prepared: dict[str, type[Agent]] = {}
_is_async: dict[type[Agent], bool] = {}


def prepare(sources: Iterable[str]) -> bool:
    """Find the agents in modules that are loaded, so that ``load`` need not; True if any of them needs asyncio."""
    for source in sources:
        for name, value in list(vars(modules.load(source)).items()):
            if isinstance(value, type) and issubclass(value, Agent):
                try:
                    kind = load(f"{source}:{name}")
                except StartFailed:
                    continue  # an abstract one, or one that will be refused by name when it is wanted
                _prepared[f"{source}:{name}"] = kind
                _is_async[kind] = is_async(kind)
    return any(_is_async.values())


def load(name: str) -> type[Agent]:
    """Raises ``StartFailed``, with what the module itself raised as its cause."""
    if name in _prepared:
        return _prepared[name]
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
    return _checked(name, source, class_name, getattr(module, class_name, None))


def load_code(certificate: Certificate) -> type[Agent]:
    """The agent that was sent as code. What it refers to by name is that of the code it was written in."""
    source, _, class_name = certificate.agent.rpartition(":")
    try:
        modules.load(source)
    except Exception as error:  # as in load
        raise StartFailed(f"cannot load {source!r}: importing it raised {type(error).__name__}: {error}") from error
    from agenthost.agent.sending import unpack_agent

    kind = unpack_agent(certificate.code)
    return _checked(f"the code sent by {source}", source, class_name, kind)


def _checked(name: str, source: str, class_name: str, kind: Any) -> type[Agent]:
    """Raises ``StartFailed`` if it is no agent."""
    if not isinstance(kind, type) or not issubclass(kind, Agent):
        why = f"{source} has no {class_name}" if kind is None else "it is no subclass of agenthost.Agent"
        raise StartFailed(f"cannot load {name!r}: {why}", permanent=True)
    if kind.__abstractmethods__:
        raise StartFailed(f"cannot load {name!r}: it defines no handle()", permanent=True)
    others = ("on_start", "on_stop", "on_down", "check")
    if not is_async(kind) and any(inspect.iscoroutinefunction(getattr(kind, other, None)) for other in others):
        raise StartFailed(
            f"cannot load {name!r}: on_start(), on_stop(), on_down() or check() is async, handle() is not",
            hint="write async def handle()",
            permanent=True,
        )
    return kind


def is_async(kind: type[Agent]) -> bool:
    known = _is_async.get(kind)
    return inspect.iscoroutinefunction(kind.handle) if known is None else known
