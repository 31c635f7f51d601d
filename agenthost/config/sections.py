"""A section: a map with known keys. The table of keys is the one definition of what a config may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agenthost.config.document import Mapping, Node, Scalar, Sequence, kind_of
from agenthost.config.kinds import Kind, Reading
from agenthost.config.problem import Refused, nearest


@dataclass(frozen=True)
class Key:
    """``default`` is text for people; what it means in values is with the spec that the section becomes."""

    name: str
    kind: Kind
    doc: str
    default: str = ""
    required: bool = False


class Misplaced(NamedTuple):
    """A key that exists, but not here: why, and what to do with it."""

    why: str
    do: str = "remove it"


@dataclass(slots=True)
class Found:
    """What a section of the file said: the good values, and where every key stands that was there at all."""

    node: Mapping
    where: str
    values: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Scalar] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)


@dataclass(frozen=True)
class Section:
    """``one_of``: exactly one of these keys must be there. ``word``: a scalar that may stand instead of the map."""

    name: str
    title: str
    keys: tuple[Key, ...]
    one_of: tuple[str, ...] = ()
    word: str | None = None

    @property
    def words(self) -> str:
        return f"map: see [{self.name}](#{self.name})" + (f", or {self.word}" if self.word else "")

    def find(self, node: Node, where: str, reading: Reading, *, also: dict[str, Misplaced] | None = None) -> Found:
        """Read every key. ``also`` are keys that exist elsewhere."""
        if not isinstance(node, Mapping):
            raise Refused(f"a map is wanted here, not {kind_of(node)}", f"its keys: {', '.join(self.key_names)}")
        found = Found(node, where)
        by_name = self._by_name
        for name, (key, value) in node.entries.items():
            known = by_name.get(name)
            if known is None:
                what = f"unknown key {name!r}"
                if also and name in also:
                    reading.say(key, where, f"the key {name!r} is not for here: {also[name].why}", also[name].do)
                else:
                    reading.say(key, where, what, nearest(name, self.key_names))
                continue
            found.keys[name], found.nodes[name] = key, value
            read = reading.read(known.kind, value, f"{where}.{name}" if where else name)
            if read is not None:
                found.values[name] = read
        for known in self.keys:
            if known.required and known.name not in found.keys:
                reading.say(node, where, f"the key {known.name!r} is missing", known.doc)
        there = [name for name in self.one_of if name in found.keys]
        if self.one_of and not there:
            reading.say(node, where, f"one of {', '.join(self.one_of)} is missing")
        for extra in there[1:]:
            reading.say(found.keys[extra], where, f"cannot have {extra!r} beside {there[0]!r}", "keep one of them")
        return found

    def read(self, node: Node, where: str, reading: Reading) -> Found | str:
        if self.word is not None and isinstance(node, Scalar):
            if node.text != self.word:
                raise Refused(f"a map or the word {self.word} is wanted here, not {node.text!r}")
            return self.word
        return self.find(node, where, reading)

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)

    @property
    def _by_name(self) -> dict[str, Key]:
        return {key.name: key for key in self.keys}

    def schema(self) -> dict[str, Any]:
        body: dict[str, Any] = {"$ref": f"#/$defs/{self.name}"}
        return {"anyOf": [{"const": self.word}, body]} if self.word else body

    def definition(self) -> dict[str, Any]:
        """The body of ``schema()``'s reference."""
        properties = {}
        for key in self.keys:
            default = f" Default: {key.default}." if key.default else ""
            properties[key.name] = {"description": key.doc + default, **key.kind.schema()}
        made: dict[str, Any] = {
            "type": "object",
            "description": self.title,
            "properties": properties,
            "additionalProperties": False,
        }
        required = [key.name for key in self.keys if key.required]
        if required:
            made["required"] = required
        if self.one_of:
            made["oneOf"] = [{"required": [name]} for name in self.one_of]
        return made


@dataclass(frozen=True)
class Children:
    """The children of a supervisor. Their own sections are read by ``build``, which chooses by their keys."""

    words: str = "list of children"

    def read(self, node: Node, where: str, reading: Reading) -> Any:
        if not isinstance(node, Sequence):
            raise Refused(f"a list is wanted here, not {kind_of(node)}", "begin each child with '- name: ...'")
        return node

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"$ref": "#/$defs/child"}}


@dataclass(frozen=True)
class Template:
    """What the members of a pool are. Its own section is read by ``build``, as that of a child."""

    words: str = "map: a child without `name` and `significant`"

    def read(self, node: Node, where: str, reading: Reading) -> Any:
        if not isinstance(node, Mapping):
            raise Refused(f"a map is wanted here, not {kind_of(node)}", "say what a member is, like {agent: chat}")
        return node

    def schema(self) -> dict[str, Any]:
        return {"$ref": "#/$defs/member"}


@dataclass(frozen=True)
class Sub:
    """A supervisor section as a value (``tree``). Read by ``build``."""

    name: str
    words: str = "map: the supervisor at the top"

    def read(self, node: Node, where: str, reading: Reading) -> Node:
        return node

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.name}"}
