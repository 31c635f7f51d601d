"""Kinds of values for what is read at every start and not kept in a spec: env files and secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from agenthost.config.document import Mapping, Node, Sequence, kind_of
from agenthost.config.kinds import Flag, Reading, Text, Word, text_of
from agenthost.config.problem import Refused, show
from agenthost.config.process_kinds import Command, Environment
from agenthost.config.sections import Found, Key, Section
from agenthost.core.birth import EnvFile, Secret

_PATH = Text(r"[^\u0000]+", "path")
_OPTIONAL_PATH = 'path, as `"x.env?"` if the file need not be there, or [env_file](#env_file)'


ENV_FILE = Section(
    "env_file",
    "A file of `NAME=VALUE` lines.",
    (
        Key("path", _PATH, "Relative to the folder of the config.", required=True),
        Key("optional", Flag(), "Whether it need not be there.", "false"),
    ),
)


@dataclass(frozen=True)
class EnvFiles:
    """One path, or a list of them. Births makes them absolute and looks into them."""

    words: str = f"{_OPTIONAL_PATH}; or a list"

    def read(self, node: Node, where: str, reading: Reading) -> tuple[EnvFile, ...]:
        if isinstance(node, Sequence):
            found = [reading.read(_ONE_FILE, item, f"{where}[{n}]") for n, item in enumerate(node.items)]
            return tuple(one for one in found if one is not None)
        return (_ONE_FILE.read(node, where, reading),)

    def schema(self) -> dict[str, Any]:
        one = _ONE_FILE.schema()
        return {"anyOf": [one, {"type": "array", "items": one}]}


@dataclass(frozen=True)
class _OneFile:
    words: str = _OPTIONAL_PATH

    def read(self, node: Node, where: str, reading: Reading) -> EnvFile:
        if isinstance(node, Mapping):
            found = ENV_FILE.find(node, where, reading)
            return EnvFile(found.get("path", ""), optional=found.get("optional", False))
        text = text_of(node, "a path")
        path = text.removesuffix("?")
        if not path:
            raise Refused(f"cannot use {show(text)}: it is no path")
        return EnvFile(path, optional=path != text)

    def schema(self) -> dict[str, Any]:
        text = {"type": "string", "pattern": r"^(?:[^?\u0000]|[?][^\u0000])[^\u0000]*$"}
        return {"anyOf": [text, ENV_FILE.schema()]}


_ONE_FILE = _OneFile()

SECRET = Section(
    "secret",
    "Where a secret comes from. It is read anew at every start.",
    (
        Key("file", _PATH, "A file that holds it; a line end at its end is left out.", ""),
        Key("env", Text(Environment.PATTERN, "name", "it is no name of a variable"), "A variable of the host.", ""),
        Key("command", Command(), "A program that prints it; a line end at its end is left out.", ""),
        Key(
            "as",
            Word(("env", "file")),
            "`env`: the variable holds it. `file`: the variable holds the path of a file in memory that holds it.",
            "env",
        ),
    ),
    one_of=("file", "env", "command"),
)


@dataclass(frozen=True)
class Secrets:
    """Names of variables to where their values come from."""

    words: str = "map of names to [secret](#secret)"

    def read(self, node: Node, where: str, reading: Reading) -> tuple[Secret, ...]:
        if not isinstance(node, Mapping):
            wanted = "write it like {TOKEN: {file: token.txt}}"
            reading.say(node, where, f"a map is wanted here, not {kind_of(node)}", wanted)
            return ()
        found = []
        for name, (key, value) in sorted(node.entries.items()):
            if not re.fullmatch(Environment.PATTERN, name):
                ours = name.startswith("AGENTHOST_")
                what = "belongs to agenthost itself" if ours else "is no name of an environment variable"
                reading.say(key, where, f"{show(name)} {what}", "choose another name")
                continue
            given = reading.read(SECRET, value, f"{where}.{name}")
            if isinstance(given, Found):
                found.append(_secret(name, given))
        return tuple(one for one in found if one is not None)

    def schema(self) -> dict[str, Any]:
        names = {"pattern": f"^{Environment.PATTERN}$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": SECRET.schema()}


def _secret(name: str, given: Found) -> Secret | None:
    as_file = given.get("as", "env") == "file"
    if (path := given.get("file")) is not None:
        return Secret(name, "file", path, as_file)
    if (variable := given.get("env")) is not None:
        return Secret(name, "env", variable, as_file)
    argv = given.get("command")
    return None if argv is None else Secret(name, "command", argv, as_file)
