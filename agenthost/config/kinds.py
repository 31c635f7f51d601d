"""Kinds of values: how each is read, strictly, and what the JSON schema says of it. Two faces of one definition.

``read`` returns the value, or raises ``Refused``; a kind that holds others reports their problems itself, at their own
places, and returns what was good. What a schema cannot say (a pattern that must compile) is checked in ``read`` alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from agenthost.config import units
from agenthost.config.document import Node, Scalar, Sequence, kind_of
from agenthost.config.expand import expand
from agenthost.config.problem import Problem, Refused, nearest, show

NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


@dataclass(slots=True)
class Reading:
    """One file being read: where problems are gathered."""

    file: str
    environment: dict[str, str]
    problems: list[Problem] = field(default_factory=list)

    def say(self, at: Node, where: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, at.line, at.column, where, what, hint))

    def read(self, kind: Kind, node: Node, where: str) -> Any:
        """The value, or None after a problem was noted."""
        try:
            return kind.read(node, where, self)
        except Refused as refused:
            self.say(node, where, refused.what, refused.hint)
            return None


class Kind(Protocol):
    @property
    def words(self) -> str:
        """For the documentation: "duration", "one of: end, report"."""

    def read(self, node: Node, where: str, reading: Reading) -> Any: ...

    def schema(self) -> dict[str, Any]: ...


def text_of(node: Node, wanted: str) -> str:
    """The text of a scalar that is text. Numbers and flags are not: ``name: 5`` is a slip as often as not."""
    if not isinstance(node, Scalar):
        raise Refused(f"{wanted} is wanted here, not {kind_of(node)}")
    value = node.value()
    if value is None:
        raise Refused(f"{wanted} is missing here", "write it after the colon")
    if not isinstance(value, str):
        hint = f'put it in quotes if it is meant: "{node.text}"'
        raise Refused(f"{wanted} is wanted here, not {kind_of(node)}", hint)
    if "\0" in value:
        raise Refused("a NUL character cannot be passed on", "remove it")
    return value


NO_NUL = r"[^\u0000]*"  # no NUL: neither the environment nor exec takes one


@dataclass(frozen=True)
class Text:
    """Text that matches ``pattern`` as a whole, and passes ``check``."""

    pattern: str = r"[^\u0000]+"
    words: str = "text"
    wrong: str = "cannot be empty"
    hint: str = ""
    check: Callable[[str], None] | None = None
    expands: bool = False
    """``${NAME}`` is taken from the environment first."""

    def read(self, node: Node, where: str, reading: Reading) -> str:
        text = text_of(node, self.words)
        if self.expands:
            text = expand(text, reading.environment)
        if not re.fullmatch(self.pattern, text):
            raise Refused(f"cannot use {show(text)}: {self.wrong}", self.hint)
        if self.check:
            self.check(text)
        return text

    def schema(self) -> dict[str, Any]:
        pattern = rf"{self.pattern}|[^\u0000]*\$[^\u0000]*" if self.expands else self.pattern
        return {"type": "string", "pattern": f"^(?:{pattern})$"}


NAME = Text(
    NAME_PATTERN,
    "name",
    "a name has letters, digits, '_', '.', '-', begins with a letter or digit, and ends at 64 characters",
)


@dataclass(frozen=True)
class Word:
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def words(self) -> str:
        return "one of: " + ", ".join(self.choices)

    def read(self, node: Node, where: str, reading: Reading) -> str:
        text = node.text if isinstance(node, Scalar) else text_of(node, "a word")
        if text not in self.choices:
            raise Refused(f"cannot use {show(text)}", nearest(text, self.choices))
        return text

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class Flag:
    words: str = "true or false"

    def read(self, node: Node, where: str, reading: Reading) -> bool:
        value = node.value() if isinstance(node, Scalar) else node
        if not isinstance(value, bool):
            raise Refused(f"true or false is wanted here, not {kind_of(node)}", "write true or false, without quotes")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Yes:
    """A flag that can only be true: the key is left out otherwise."""

    words: str = "true"

    def read(self, node: Node, where: str, reading: Reading) -> bool:
        if not isinstance(node, Scalar) or node.value() is not True:
            raise Refused(f"true is wanted here, not {_found(node)}", "remove the key if it is not wanted")
        return True

    def schema(self) -> dict[str, Any]:
        return {"const": True}


@dataclass(frozen=True)
class Whole:
    """A whole number, written with digits."""

    least: int = 0
    most: int = 2**31 - 1

    @property
    def words(self) -> str:
        return f"whole number from {self.least}" + (f" to {self.most}" if self.most < 2**31 - 1 else "")

    def read(self, node: Node, where: str, reading: Reading) -> int:
        value = node.value() if isinstance(node, Scalar) else None
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused(f"a whole number is wanted here, not {_found(node)}")
        if not self.least <= value <= self.most:
            raise Refused(f"cannot use {value}", f"write a whole number from {self.least} to {self.most}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Share:
    """A number between two bounds; fractions are fine."""

    words: str
    least: float = 0.0
    most: float = 1e6
    above: bool = False
    """``least`` itself is refused."""

    def read(self, node: Node, where: str, reading: Reading) -> float:
        value = node.value() if isinstance(node, Scalar) else None
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise Refused(f"{self.words} is wanted here, not {_found(node)}")
        if not self.least <= value <= self.most or (self.above and value == self.least):
            raise Refused(f"cannot use {node.text if isinstance(node, Scalar) else value}", f"write {self.words}")
        return float(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "exclusiveMinimum" if self.above else "minimum": self.least, "maximum": self.most}


def _found(node: Node) -> str:
    return show(node.text) if isinstance(node, Scalar) and node.text else kind_of(node)


@dataclass(frozen=True)
class Duration:
    """Seconds as a float; or one of ``others``, words with a meaning of their own, as that word."""

    positive: bool = True
    others: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return ", or ".join(["duration", *self.others])

    def read(self, node: Node, where: str, reading: Reading) -> float | str:
        if not isinstance(node, Scalar) or node.value() is None:
            raise Refused(f"a duration is wanted here, not {kind_of(node)}", "write it like 250ms, 5s or 1m30s")
        if node.text in self.others:
            return node.text
        if self.others and node.text[:1].isalpha():
            raise Refused(f"cannot use {show(node.text)}", nearest(node.text, self.others) + " (or a duration)")
        return units.duration_s(node.text, positive=self.positive)

    def schema(self) -> dict[str, Any]:
        pattern = units.POSITIVE_DURATION_PATTERN if self.positive else units.DURATION_PATTERN
        return {"type": "string", "pattern": f"^(?:{'|'.join([*self.others, pattern])})$"}


@dataclass(frozen=True)
class Size:
    words: str = "size"

    def read(self, node: Node, where: str, reading: Reading) -> int:
        if not isinstance(node, Scalar) or node.value() is None:
            raise Refused(f"a size is wanted here, not {kind_of(node)}", "write it like 512MiB or 2GiB")
        return units.size_bytes(node.text)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^(?:{units.SIZE_PATTERN})$"}


@dataclass(frozen=True)
class ListOf:
    """A list of one kind."""

    kind: Kind
    words: str

    def read(self, node: Node, where: str, reading: Reading) -> tuple[Any, ...]:
        if not isinstance(node, Sequence):
            raise Refused(f"a list is wanted here, not {kind_of(node)}", "write it like [first, second]")
        found = [reading.read(self.kind, item, f"{where}[{n}]") for n, item in enumerate(node.items)]
        return tuple(value for value in found if value is not None)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.kind.schema()}
