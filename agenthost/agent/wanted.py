"""From what an author hands to ``start`` to what the host is asked: a spec by name where that can be, else code.

A class goes by name if the child can import it under that name: it stands at the top of its module, and the module is
one that can be imported, or a file that a config can name. All else, functions in any case, travels as code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from agenthost.agent.agent import Agent
from agenthost.agent.asking import LARGEST_BYTES
from agenthost.errors import UsageError
from agenthost.launch import modules

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_STEM = 48

What = str | dict[str, Any] | type[Agent] | Callable[..., Any]
"""``module:Class``, the config's keys of a child, an Agent subclass, or a function of (message) or (message, ctx)."""


class Wanted(NamedTuple):
    """``name`` is None where one is to be made from ``stem``."""

    name: str | None
    stem: str
    spec: dict[str, Any]
    code: bytes


def wanted(what: What, name: str | None, args: dict[str, Any] | None, keys: dict[str, Any]) -> Wanted:
    """``UsageError`` if it is none of what can be started, or cannot be sent."""
    spec = dict(keys)
    if args is not None:
        spec["args"] = args
    code = b""
    if isinstance(what, str):
        spec["agent"], stem = what, what.rpartition(":")[2]
    elif isinstance(what, dict):
        spec = {**what, **spec}
        name = name or spec.get("name")
        spec.pop("name", None)
        stem = _stem_of(spec)
    elif isinstance(what, type):
        if not issubclass(what, Agent):
            raise UsageError(f"cannot start {what.__qualname__}: it is no subclass of agenthost.Agent")
        stem, source = what.__name__, source_of(what)
        if source:
            spec["agent"] = f"{source}:{what.__name__}"
    elif callable(what):
        stem = getattr(what, "__name__", type(what).__name__)
    else:
        raise UsageError(
            f"cannot start {what!r}: it is of type {type(what).__name__}",
            hint="give module:Class, a dict with the config's keys, an Agent subclass or a function",
        )
    if name is None and spec.get("persist"):
        raise UsageError(f"cannot let a {clean(stem)} persist without a name: who comes back must be known by one")
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(
            f"cannot start a child named {name!r}: a name has 1 to 64 letters, digits, _ . - and begins with a letter "
            "or digit"
        )
    if not isinstance(what, str | dict) and "agent" not in spec:
        from agenthost.agent.sending import pack_code

        code = pack_code(what, LARGEST_BYTES - 1024)
    return Wanted(name, clean(stem), spec, code)


def source_of(kind: type) -> str:
    """How a config would name the module of ``kind``, if the child finds ``kind`` there; else empty."""
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "__main__" or getattr(module, kind.__qualname__, None) is not kind:
        return ""
    file = getattr(module, "__file__", None)
    if file and modules.module_name(file) == kind.__module__:
        return str(file)
    spec = getattr(module, "__spec__", None)
    return kind.__module__ if spec is not None and spec.name == kind.__module__ else ""


def _stem_of(spec: dict[str, Any]) -> str:
    agent, command = spec.get("agent"), spec.get("command")
    if isinstance(agent, str):
        return agent.rpartition(":")[2]
    first = command[0] if isinstance(command, list) and command else ""
    return first.rpartition("/")[2] if isinstance(first, str) and first else "child"


def clean(stem: str) -> str:
    """A name that the config would take: ``<lambda>`` is "lambda"."""
    return re.sub(r"[^a-z0-9_.-]+", "", stem.lower()).lstrip("_.-")[:_LONGEST_STEM] or "child"
