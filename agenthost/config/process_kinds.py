"""Kinds of values that say how a process is wanted: its command, environment, arguments, checks and user."""

from __future__ import annotations

import pwd
import re
import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agenthost.config.document import Mapping, Node, Scalar, Sequence, kind_of
from agenthost.config.expand import expand
from agenthost.config.kinds import NO_NUL, Reading, text_of
from agenthost.config.problem import Refused, nearest, show

_WRITTEN = ["string", "number", "boolean"]


def written(node: Node, wanted: str) -> str:
    """A scalar as it is written: ``[sleep, 5]`` and ``[true]`` mean what they say. Nothing is not a word."""
    if not isinstance(node, Scalar):
        raise Refused(f"{wanted} is wanted here, not {kind_of(node)}")
    if node.value() is None:
        raise Refused(f"{wanted} is missing here", 'write "" for an empty one')
    if "\0" in node.text:
        raise Refused("a NUL character cannot be passed on", "remove it")
    return node.text


@dataclass(frozen=True)
class Command:
    """A program and its arguments, as a list, or as one text that is split as a shell splits, and no more."""

    words: str = "list of words, or text"

    def read(self, node: Node, where: str, reading: Reading) -> tuple[str, ...]:
        if isinstance(node, Sequence):
            parts = [reading.read(_AS_WRITTEN, item, f"{where}[{n}]") for n, item in enumerate(node.items)]
            if not parts:
                raise Refused("cannot run an empty command", "write the program, then its arguments")
            if parts[0] == "":
                raise Refused("cannot run a program without a name")
            return tuple(part for part in parts if part is not None)
        text = written(node, "a command")
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise Refused(f"cannot split {show(text)}: {str(error).lower()}", "write it as a list of words") from None
        if not words or not words[0]:
            raise Refused("cannot run an empty command", "write the program, then its arguments")
        return tuple(words)

    def schema(self) -> dict[str, Any]:
        item = {"type": _WRITTEN, "pattern": f"^{NO_NUL}$"}
        first = {"type": _WRITTEN, "pattern": r"^[^\u0000]+$"}
        listed = {"type": "array", "prefixItems": [first], "items": item, "minItems": 1}
        return {"anyOf": [{"type": _WRITTEN, "pattern": rf"^(?=[^\u0000]*[^\u0000\s]){NO_NUL}$"}, listed]}


@dataclass(frozen=True)
class _AsWritten:
    words: str = "a word"

    def read(self, node: Node, where: str, reading: Reading) -> str:
        return written(node, self.words)

    def schema(self) -> dict[str, Any]:
        return {"type": _WRITTEN, "pattern": f"^{NO_NUL}$"}


_AS_WRITTEN = _AsWritten()


@dataclass(frozen=True)
class Environment:
    """Names to values; ``${NAME}`` and ``${NAME:-default}`` are taken from the environment the file is read in."""

    words: str = "map of names to text"

    PATTERN = "(?!AGENTHOST_)[A-Za-z_][A-Za-z0-9_]*"

    def read(self, node: Node, where: str, reading: Reading) -> dict[str, str]:
        if not isinstance(node, Mapping):
            raise Refused(f"a map is wanted here, not {kind_of(node)}", "write it like {PORT: 8080}")
        found: dict[str, str] = {}
        for name, (key, value) in node.entries.items():
            place = f"{where}.{name}"
            if not re.fullmatch(self.PATTERN, name):
                ours = name.startswith("AGENTHOST_")
                what = "belongs to agenthost itself" if ours else "is no name of an environment variable"
                reading.say(key, where, f"{show(name)} {what}", "choose another name")
                continue
            try:
                found[name] = expand(written(value, "a value"), reading.environment)
            except Refused as refused:
                reading.say(value, place, refused.what, refused.hint)
        return found

    def schema(self) -> dict[str, Any]:
        value = {"type": _WRITTEN, "pattern": f"^{NO_NUL}$"}
        return {"type": "object", "propertyNames": {"pattern": f"^{self.PATTERN}$"}, "additionalProperties": value}


@dataclass(frozen=True)
class Plain:
    """Any data, handed on to the author's code. Whole numbers are those that MessagePack carries."""

    words: str = "map"

    def read(self, node: Node, where: str, reading: Reading) -> dict[str, Any]:
        if not isinstance(node, Mapping):
            raise Refused(f"a map is wanted here, not {kind_of(node)}", "write it like {model: small}")
        self._check(node, where, reading)
        return node.value()

    def _check(self, node: Node, where: str, reading: Reading) -> None:
        if isinstance(node, Mapping):
            for key, (_, value) in node.entries.items():
                self._check(value, f"{where}.{key}", reading)
        elif isinstance(node, Sequence):
            for number, item in enumerate(node.items):
                self._check(item, f"{where}[{number}]", reading)
        else:
            value = node.value()
            if isinstance(value, int) and not -(2**63) <= value < 2**64:
                reading.say(node, where, "a whole number here must fit into 64 bits", "put it in quotes")

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"$ref": "#/$defs/data"}}


def check_regex(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise Refused(f"cannot use {show(text)} as a regular expression: {error}") from None


def check_url(text: str) -> None:
    try:
        split = urlsplit(text)
        good = bool(split.hostname) and split.port != 0
    except ValueError:  # a port beyond 65535, or brackets without an address
        good = False
    if not good:
        raise Refused(f"cannot use {show(text)} as a URL", "write it like http://127.0.0.1:8080/health")


@dataclass(frozen=True)
class User:
    """A user of this machine, by name or number, as the number."""

    words: str = "uid or user name"

    PATTERN = "[A-Za-z_][A-Za-z0-9_.-]{0,31}[$]?"

    def read(self, node: Node, where: str, reading: Reading) -> int:
        value = node.value() if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value < 2**32 - 1:  # (uid_t) -1 means "no change" to the kernel
                raise Refused(f"cannot use {value} as a uid")
            return value
        text = text_of(node, self.words)
        if not re.fullmatch(self.PATTERN, text):
            raise Refused(f"{show(text)} is no user name")
        try:
            return pwd.getpwnam(text).pw_uid
        except KeyError:
            raise Refused(f"there is no user {text!r} on this machine", nearest_user(text)) from None

    def schema(self) -> dict[str, Any]:
        name = {"type": "string", "pattern": f"^(?:{self.PATTERN})$"}
        return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**32 - 2}, name]}


USER = User()


def nearest_user(text: str) -> str:
    near = nearest(text, [entry.pw_name for entry in pwd.getpwall()])
    return near if near.startswith("did") else "create the user, or remove the line"
