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
from agenthost.config.problem import Problem, show
from agenthost.core.spec import ChildSpec
from agenthost.errors import ConfigError

SPEC = "spec"
"""What the place of every problem begins with."""

MAX_SHOWN = 20
MAX_VALUES, LONGEST_SAID = 5_000, 400
"""Maps, lists and scalars outside of ``args``: the host does nothing else while it reads (10 us each). Characters of
what is said of one problem: it is kept, and must not be as long as what was asked."""
_LONGEST = {"command": 16_384, "line": 1_024}
"""Characters of text that is split as a shell splits, and of a regular expression: both take long."""


class _Enough(Exception):
    """More problems than are told."""


@dataclass(slots=True)
class _Bounded(Reading):
    """Each problem costs a look for what may have been meant: it stops where no more are told."""

    def say(self, at: Node, where: str, what: str, hint: str = "") -> None:
        if len(self.problems) == MAX_SHOWN:
            raise _Enough
        self.problems.append(Problem(self.file, at.line, at.column, where, what, hint))


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

    def check_function(self, path: str, name: str) -> None:
        self.agents.check_function(path, name)


@dataclass(frozen=True, slots=True)
class OwnCode:
    """For code that is sent: the agent is the one it was written in, which runs already."""

    agent: str

    def resolve(self, text: str) -> str:
        return self.agent

    def check_function(self, path: str, name: str) -> None:
        """It is seen when it is called: the host reads no files for code that was sent."""


def read_child(name: str, given: dict[str, Any], folder: str, agents: Noting | OwnCode, usual: Usual) -> ChildSpec:
    """The spec of a child called ``name``. ``ConfigError`` has all that is wrong, one after the other."""
    reading = _Bounded("", dict(os.environ))
    if not re.fullmatch(NAME_PATTERN, name):
        reading.say(Scalar(0, 0, name, plain=False), "name", f"cannot use {show(name)}: {NAME.wrong}")
    if isinstance(agents, OwnCode):
        given = _of_code(given)
    node = _Nodes().node(given, SPEC, 1)
    more: list[str] = []
    spec = None
    try:
        spec = Builder(reading, Births(reading, folder, agents, usual)).begun(node, SPEC, name)
    except _Enough:
        more = ["and more problems"]
    if reading.problems or spec is None:
        said = [
            _cut(f"{one.where}: {one.what}") + (f"; {_cut(one.hint)}" if one.hint else "") for one in reading.problems
        ]
        raise ConfigError("\n".join([*said, *more]))
    return spec


def count_workers(given: dict[str, Any], most: int) -> int:
    """How many it would start, as far as that can be told before it is read; at once, and not beyond ``most``."""
    found, left = 0, [given]
    while left and found <= most:
        children = left.pop().get("children")
        if not isinstance(children, list | tuple):
            found += 1
            continue
        plain = sum(isinstance(one, dict) and "children" not in one for one in children)
        found += plain
        left += [one for one in children if isinstance(one, dict) and "children" in one]
    return found


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SAID else text[: LONGEST_SAID - 3] + "..."


def _of_code(given: dict[str, Any]) -> dict[str, Any]:
    """The code is what it is; then no key may say that it is something else."""
    for key in ("agent", "command", "children", "pool"):
        if key in given:
            raise ConfigError(f"{SPEC}: cannot have {key!r} beside code that is sent", hint="keep one of them")
    return {**given, "agent": "code:sent"}


@dataclass(slots=True)
class _Nodes:
    """The nodes of one spec. ``ConfigError`` for what no file could say, and for what is too much to read at once."""

    count: int = 0

    def node(self, value: Any, where: str, depth: int) -> Node:
        self.count += 1
        if self.count > MAX_VALUES:
            raise ConfigError(
                f"{SPEC}: cannot be longer than {MAX_VALUES} values, args aside", hint="start it in parts"
            )
        if depth > MAX_DEPTH:
            raise ConfigError(f"{_cut(where)}: cannot nest deeper than {MAX_DEPTH} levels")
        match value:
            case dict():
                made = Mapping(0, 0)
                for key, inner in value.items():
                    if not isinstance(key, str):
                        raise ConfigError(f"{_cut(where)}: a key is text, not {_cut(repr(key))}")
                    found = self._below(key, inner, f"{where}.{_cut(key)}", depth + 1)
                    made.entries[key] = (Scalar(0, 0, key, plain=False), found)
                return made
            case list() | tuple():
                return Sequence(0, 0, [self.node(inner, f"{where}[{n}]", depth + 1) for n, inner in enumerate(value)])
            case str():
                return Scalar(0, 0, value, plain=False)
            case None:
                return Scalar(0, 0, "", plain=True)
            case bool():
                return Scalar(0, 0, "true" if value else "false", plain=True)
            case int() | float():
                return Scalar(0, 0, _digits(value), plain=True)
            case _:
                raise ConfigError(f"{_cut(where)}: a {type(value).__name__} can stand in args only")

    def _below(self, key: str, value: Any, where: str, depth: int) -> Node:
        if isinstance(value, str) and len(value) > _LONGEST.get(key, len(value)):
            hint = "write it as a list of words" if key == "command" else ""
            raise ConfigError(f"{where}: cannot be longer than {_LONGEST[key]} characters", hint=hint)
        if key != "args" or not isinstance(value, dict):
            return self.node(value, where, depth)
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(f"{where}: an argument has a name, not {_cut(repr(name))}")
        return _Given(0, 0, given=value)


def _digits(value: float) -> str:
    """As YAML writes it."""
    return repr(value).replace("inf", ".inf").replace("nan", ".nan")
