"""A child from plain data, by the rules of the file: what an agent that starts another says of it.

Problems are those of the file, without line and column. ``args`` are handed on untouched, whatever MessagePack carries.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from agenthost.config.agents import Agents
from agenthost.config.births import Births, Usual
from agenthost.config.build import Builder
from agenthost.config.document import MAX_DEPTH, Mapping, Node, Scalar, Sequence
from agenthost.config.kinds import NAME, NAME_PATTERN, Reading
from agenthost.config.problem import show
from agenthost.core.spec import ChildSpec
from agenthost.errors import ConfigError

SPEC = "spec"
"""What the place of every problem begins with."""

MAX_SHOWN = 20


@dataclass(slots=True)
class _Given(Mapping):
    """``args``: as it was given, not to be looked into."""

    given: dict[str, Any] = field(default_factory=dict)

    def value(self) -> dict[str, Any]:
        return self.given


@dataclass(slots=True)
class Noting:
    """Resolves as ``agents`` does, and keeps by which short names that was asked."""

    agents: Agents
    short: dict[str, str] = field(default_factory=dict)
    """``module:Class`` to the short name it was called by."""

    def resolve(self, text: str) -> str:
        found = self.agents.resolve(text)
        if ":" not in text:
            self.short[found] = text
        return found


@dataclass(frozen=True, slots=True)
class OwnCode:
    """For code that is sent: the agent is the one it was written in, which runs already."""

    agent: str

    def resolve(self, text: str) -> str:
        return self.agent


def read_child(name: str, given: dict[str, Any], folder: str, agents: Noting | OwnCode, usual: Usual) -> ChildSpec:
    """The spec of a child called ``name``. ``ConfigError`` has all that is wrong, one after the other."""
    reading = Reading("", dict(os.environ))
    if not re.fullmatch(NAME_PATTERN, name):
        reading.say(Scalar(0, 0, name, plain=False), "name", f"cannot use {show(name)}: {NAME.wrong}")
    if isinstance(agents, OwnCode):
        given = _of_code(given)
    spec = Builder(reading, Births(reading, folder, agents, usual)).begun(_node(given, SPEC, 1), SPEC, name)
    if reading.problems or spec is None:
        said = [f"{one.where}: {one.what}" + (f"; {one.hint}" if one.hint else "") for one in reading.problems]
        more = [f"and {len(said) - MAX_SHOWN} more problems"] if len(said) > MAX_SHOWN else []
        raise ConfigError("\n".join([*said[:MAX_SHOWN], *more]))
    return spec


def _of_code(given: dict[str, Any]) -> dict[str, Any]:
    """The code is what it is; then no key may say that it is something else."""
    for key in ("agent", "command", "children", "pool"):
        if key in given:
            raise ConfigError(f"{SPEC}: cannot have {key!r} beside code that is sent", hint="keep one of them")
    return {**given, "agent": "code:sent"}


def _node(value: Any, where: str, depth: int) -> Node:
    """``ConfigError`` for what no file could say."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where}: cannot nest deeper than {MAX_DEPTH} levels")
    match value:
        case dict():
            made = Mapping(0, 0)
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise ConfigError(f"{where}: a key is text, not {key!r}")
                made.entries[key] = (Scalar(0, 0, key, plain=False), _below(key, inner, f"{where}.{key}", depth + 1))
            return made
        case list() | tuple():
            return Sequence(0, 0, [_node(inner, f"{where}[{n}]", depth + 1) for n, inner in enumerate(value)])
        case str():
            return Scalar(0, 0, value, plain=False)
        case None:
            return Scalar(0, 0, "", plain=True)
        case bool():
            return Scalar(0, 0, "true" if value else "false", plain=True)
        case int() | float():
            return Scalar(0, 0, _digits(value), plain=True)
        case _:
            raise ConfigError(f"{where}: a {type(value).__name__} can stand in args only")


def _below(key: str, value: Any, where: str, depth: int) -> Node:
    if key != "args" or not isinstance(value, dict):
        return _node(value, where, depth)
    for name in value:
        if not isinstance(name, str):
            raise ConfigError(f"{where}: an argument has a name, not {name!r}")
    return _Given(0, 0, given=value)


def _digits(value: float) -> str:
    """As YAML writes it."""
    return repr(value).replace("inf", ".inf").replace("nan", ".nan")
