"""YAML text to nodes that know their place. Nothing here knows any key.

Read from libyaml's events, not its loader: scalars keep the text as written (``NO`` is a country, ``1.10`` a version),
duplicate keys are seen, anchors and aliases are refused where they stand (an alias can double a file at every use), and
depth is bounded before it can exhaust a stack. Plain scalars mean what YAML 1.2's core schema says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from agenthost.config.problem import ConfigProblems, Problem

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 200
"""Of nested lists and maps. A supervisor takes three."""

_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"": None, "~": None} | dict.fromkeys(("null", "Null", "NULL"))
_FLAGS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)


@dataclass(slots=True)
class Scalar:
    line: int
    column: int
    text: str
    plain: bool
    """Not quoted, so it may be a number, a flag or null."""

    def value(self) -> Any:
        """str, int, float, bool or None (YAML 1.2 core schema)."""
        text = self.text
        if not self.plain:
            return text
        if text in _WORDS:
            return None
        if text in _FLAGS:
            return _FLAGS[text]
        if text[0] not in "-+.0123456789":
            return text
        if _INT.fullmatch(text) and len(text) < 4000:  # int() refuses more than 4,300 digits
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text


@dataclass(slots=True)
class Sequence:
    line: int
    column: int
    items: list[Node] = field(default_factory=list)

    def value(self) -> list[Any]:
        return [item.value() for item in self.items]


@dataclass(slots=True)
class Mapping:
    line: int
    column: int
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    """Key to (the key with its place, what it holds), in the order of the file."""

    def value(self) -> dict[str, Any]:
        return {key: node.value() for key, (_, node) in self.entries.items()}


Node = Scalar | Sequence | Mapping


def kind_of(node: Node) -> str:
    """What the file holds here, in words."""
    if isinstance(node, Mapping):
        return "a map"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value()
    names = {str: "text", bool: "a flag", int: "a number", float: "a number"}
    return "nothing" if value is None else names[type(value)]


def line_of(node: Node) -> str:
    """ " at line 5", or nothing of what was in no file."""
    return f" at line {node.line}" if node.line else ""


def decode(raw: bytes, file: str) -> str:
    """Bytes of a file to text that YAML allows. ``ConfigProblems`` names the first byte or character that is not."""
    if len(raw) > MAX_BYTES:
        raise ConfigProblems([Problem(file, 0, 0, "", f"cannot read more than {MAX_BYTES // 2**20} MiB of config")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        what = f"cannot read byte 0x{raw[error.start]:02x}: the file is not UTF-8"
        raise ConfigProblems([_problem(file, before, what, "save it as UTF-8")]) from None
    found = _NOT_TEXT.search(text)
    if found:
        what = f"cannot read the control character U+{ord(found[0]):04X}"
        raise ConfigProblems([_problem(file, text[: found.start()], what, "remove it")])
    return text


def _problem(file: str, before: str, what: str, hint: str) -> Problem:
    return Problem(file, before.count("\n") + 1, len(before) - before.rfind("\n"), "", what, hint)


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The document's root, None if there is none, and the problems that did not stop the reading."""
    reading = _Reading(file)
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml is 20 times as fast, where PyYAML has it
    try:
        for event in yaml.parse(text, Loader=loader):
            reading.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        what = f"cannot read this as YAML: {error.problem or error.context or 'syntax error'}"
        rows = text.splitlines()
        tab = 0 < line <= len(rows) and rows[line - 1][column - 1 : column] == "\t"
        hint = "indent with spaces, not tabs" if tab else _syntax_hint(error)
        raise ConfigProblems([*reading.problems, Problem(file, line, column, "", what, hint)]) from None
    except yaml.YAMLError as error:
        raise ConfigProblems([Problem(file, 0, 0, "", f"cannot read this as YAML: {error}")]) from None
    return reading.root, reading.problems


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    if error.context and error.context_mark:
        return f"{error.context} that began at line {error.context_mark.line + 1}"
    return "values with ': ' or ' #' in them, or that begin with one of {}[]&*!|>'\"%@`, need quotes"


class _Reading:
    """Events to nodes, with a stack of its own instead of recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[tuple[Sequence | Mapping, Scalar | None]] = []
        self._key: Scalar | None = None
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_marks(event)
            line, column = _place(event)
            # a tag "!" says "text", as quotes do
            plain = event.style is None or event.style == ""
            self._add(Scalar(line, column, event.value, plain and event.tag != "!"))
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._refuse_marks(event)
            line, column = _place(event)
            if len(self._open) >= MAX_DEPTH:
                self._stop(event, f"cannot nest deeper than {MAX_DEPTH} levels", "")
            node = Mapping(line, column) if isinstance(event, yaml.MappingStartEvent) else Sequence(line, column)
            if self._wants_key():
                self._stop(event, "cannot use a map or a list as a key", "put it in quotes if it is text")
            self._open.append((node, self._key))
            self._key = None
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            node, self._key = self._open.pop()
            self._add(node)
        elif isinstance(event, yaml.AliasEvent):
            self._stop(event, f"cannot use the alias *{event.anchor}: aliases are refused", "write the value out")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(event, "cannot have a second document in one file", "remove the line '---'")

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], Mapping) and self._key is None

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent, _ = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif self._key is None:
            assert isinstance(node, Scalar)  # take() stopped at any other key
            self._key = node
        else:
            self._enter(parent, self._key, node)
            self._key = None

    def _enter(self, parent: Mapping, key: Scalar, node: Node) -> None:
        if key.plain and key.text == "<<":
            self._say(key, "cannot use the merge key '<<'", "write the keys out")
        elif key.plain and key.value() is None:
            self._say(key, "cannot use an empty key", "")
        elif key.text in parent.entries:
            first = parent.entries[key.text][0].line
            self._say(key, f"the key {key.text!r} stands here twice", f"the first is at line {first}")
        else:
            parent.entries[key.text] = (key, node)

    def _say(self, at: Node, what: str, hint: str) -> None:
        self.problems.append(Problem(self.file, at.line, at.column, "", what, hint))

    def _refuse_marks(self, event: yaml.NodeEvent) -> None:
        line, column = _place(event)
        if event.anchor is not None:
            what = f"cannot use the anchor &{event.anchor}: anchors are refused"
            self.problems.append(Problem(self.file, line, column, "", what, "write the value out where it is used"))
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            what = f"cannot use the tag {tag!r}: tags are refused"
            self.problems.append(Problem(self.file, line, column, "", what, "put text in quotes"))

    def _stop(self, event: yaml.Event, what: str, hint: str) -> None:
        raise ConfigProblems([*self.problems, Problem(self.file, *_place(event), "", what, hint)])


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
