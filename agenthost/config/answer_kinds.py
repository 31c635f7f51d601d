"""``schema``, ``judge`` and ``loops``: what the answers of an agent must be like, and how often it may repeat itself.

A schema is checked here, so that a slip in it is found before the first answer: that it is one, and that it refers to
nothing outside of itself. ``jsonschema`` is imported by the first that is read. The values are in ``core.answers`` and
``core.loops``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from agenthost.config.document import Mapping, Node, Scalar, kind_of, parse
from agenthost.config.kinds import Duration, Reading, Text, Whole, Word
from agenthost.config.problem import ConfigProblems, Refused, nearest
from agenthost.config.process_kinds import Plain
from agenthost.config.recovery_kinds import PATH_PATTERN, below, is_agent, no_agent
from agenthost.config.sections import Found, Key, Section
from agenthost.core.answers import USUAL_QUESTION, Judge
from agenthost.core.loops import MOST_ACROSS, Loops
from agenthost.core.spec import SupervisorSpec

SCHEMA_BYTES, LASTING_SCHEMA_BYTES = 256 * 1024, 32 * 1024
"""As a file is read, and in a host that runs: there checking it takes 50 ms, in which nothing else is done."""
_PLAIN = Plain()
_SOME_ANSWERS: tuple[Any, ...] = (None, True, 0, "", [], {})
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DATA = ("const", "enum", "default", "examples")
_PATH = Text(PATH_PATTERN, "path", "it is no path of an agent", "write it as /team/judge")


@dataclass(frozen=True)
class _Often:
    """How many are too many."""

    words: str = "whole number from 2, or `false`"

    def read(self, node: Node, where: str, reading: Reading) -> int:
        if isinstance(node, Scalar) and node.value() is False:
            return 0
        return Whole(2).read(node, where, reading)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": False}, Whole(2).schema()]}


LOOPS = Section(
    "loops",
    "So many of the same are a loop, and the turn has failed that does it. `false`: nothing is counted.",
    (
        Key("same_call", _Often(), "The same call with equal arguments, by `ctx.call` and the like.", "1000"),
        Key("same_error", _Often(), "The same error of a call, or of a turn.", "1000"),
        Key("same_answer", _Often(), "The same answer in a session, in a row, unless it is a nod.", "100"),
        Key("across", Whole(0, MOST_ACROSS), "So many turns before it count too, for calls and errors.", "10"),
    ),
)
JUDGE = Section(
    "judge",
    "Another agent that says whether an answer is good.",
    (
        Key("agent", _PATH, "Its path.", required=True),
        Key("question", Text(words="text"), "What it is asked.", USUAL_QUESTION),
        Key("timeout", Duration(), "How long it may take.", "30s"),
        Key(
            "when_silent",
            Word(("reject", "accept")),
            "What holds where it has said neither yes nor no, for it is down or late.",
            "reject",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """None: nothing is counted."""

    loops: Loops | None


@dataclass(frozen=True)
class LoopsKind:
    words: str = "map: see [loops](#loops), or `false`"

    def read(self, node: Node, where: str, reading: Reading) -> Allowed:
        if isinstance(node, Scalar):
            if node.value() is not False:
                hint = "write it like {same_call: 20}, or false to count nothing"
                raise Refused(f"a map or false is wanted here, not {kind_of(node)}", hint)
            return Allowed(None)
        found, usual = LOOPS.find(node, where, reading), Loops()
        names = usual.__struct_fields__
        return Allowed(Loops(*(found.get(name, getattr(usual, name)) for name in names)))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": False}, LOOPS.schema()]}


@dataclass(frozen=True, slots=True)
class Named:
    """A judge, and where its path stands."""

    judge: Judge
    node: Node
    where: str


@dataclass(frozen=True)
class JudgeKind:
    words: str = "path, or map: see [judge](#judge)"

    def read(self, node: Node, where: str, reading: Reading) -> Named | None:
        if not isinstance(node, Mapping):
            return Named(Judge(_PATH.read(node, where, reading)), node, where)
        found = JUDGE.find(node, where, reading)
        path = found.get("agent")
        if path is None:
            return None  # the problem was noted
        usual = Judge(path)
        judge = Judge(
            path,
            found.get("question", usual.question),
            found.get("timeout", usual.timeout_s),
            found.get("when_silent", usual.when_silent),
        )
        return Named(judge, found.nodes["agent"], f"{where}.agent")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [_PATH.schema(), JUDGE.schema()]}


def check_judges(tree: SupervisorSpec, judges: Iterable[Named], reading: Reading) -> None:
    """Every judge is an agent of the tree, or a member of a pool of agents; nobody is judged by himself in the end."""
    found = dict(below(tree, ""))
    of = {path: child.birth.judge.agent for path, child in found.items() if is_agent(child) and child.birth.judge}
    for one in judges:
        path = one.judge.agent
        if (why := no_agent(found, path)) is not None:
            agents = [place for place, child in found.items() if is_agent(child) and not place.endswith("*")]
            reading.say(one.node, one.where, f"cannot ask {path}: {why}", nearest(path, agents))
        elif path in (ring := list(_asked(path, of))):
            words = " asks ".join([path, *ring])
            reading.say(one.node, one.where, f"nobody can judge his own answers: {words}", "name another agent")


def _asked(path: str, of: dict[str, str]) -> Iterator[str]:
    """Who is asked about the answers of ``path``, and about theirs."""
    seen = set[str]()
    while path not in seen:
        seen.add(path)
        path = of.get(path) or of.get(f"{path.rpartition('/')[0]}/*") or ""
        if not path:
            return
        yield path


@dataclass(frozen=True)
class SchemaKind:
    """Read by ``schema_of``, which knows the folder."""

    words: str = "JSON schema, or the file that has it"

    def read(self, node: Node, where: str, reading: Reading) -> Node:
        if isinstance(node, Mapping):
            reading.read(_PLAIN, node, where)
        elif not isinstance(node, Scalar) or not isinstance(node.value(), str):
            hint = "write {type: object}, or the name of a file that has it"
            raise Refused(f"a map or the name of a file is wanted here, not {kind_of(node)}", hint)
        else:
            Text().read(node, where, reading)
        return node

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "object"}, {"type": "string", "minLength": 1}]}


def schema_of(found: Found, folder: str, reading: Reading, *, of_agent: bool) -> Any:
    """As plain data; None if there is none, or after a problem was noted. ``of_agent``: it is an agent that says it."""
    node = found.get("schema")
    if node is None:
        return None
    try:
        schema = node.value() if isinstance(node, Mapping) else _of_file(node.text, folder, of_agent=of_agent)
        _check(schema, LASTING_SCHEMA_BYTES if of_agent else SCHEMA_BYTES)
    except Refused as refused:
        reading.say(node, f"{found.where}.schema", refused.what, refused.hint)
        return None
    return schema


def _of_file(name: str, folder: str, *, of_agent: bool) -> Any:
    if of_agent:
        raise Refused("the host reads no files for an agent", "give the schema itself")
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(name)))
    try:
        with open(path, "rb") as file:
            raw = file.read(SCHEMA_BYTES + 1)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}", "it is relative to the config's folder") from None
    if len(raw) > SCHEMA_BYTES:
        raise Refused(f"cannot use {path}: it has more than {SCHEMA_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
        if not path.endswith((".yaml", ".yml")):
            return json.loads(text)
        node, problems = parse(text, path)
        if problems:
            raise Refused(f"cannot read {path}: {problems[0].what}")
        return None if node is None else node.value()
    except (ValueError, RecursionError) as error:
        raise Refused(f"cannot read {path} as JSON: {error}") from None
    except ConfigProblems as error:
        raise Refused(f"cannot read {path} as YAML: {error.problems[0].what}") from None


def _check(schema: Any, most_bytes: int) -> None:
    """``Refused`` if it is no schema by which an answer can be looked at."""
    if not isinstance(schema, dict):
        raise Refused("a JSON schema is a map")
    if len(json.dumps(schema, default=str)) > most_bytes:
        raise Refused(f"a schema has at most {most_bytes // 1024} KiB here")
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    unknown: Any = None
    kind = validator_for(schema, default=unknown) if "$schema" in schema else Draft202012Validator
    if kind is unknown:
        raise Refused(f"there is no draft {schema['$schema']!r}", "leave '$schema' out, or name draft 2020-12")
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        place = ".".join(str(step) for step in error.absolute_path)
        raise Refused(f"this is no JSON schema: {f'{place}: ' if place else ''}{error.message[:200]}") from None
    except RecursionError:
        raise Refused("this schema is nested too deeply") from None
    _check_references(schema)
    _check_end(kind, schema)


def _check_end(kind: Any, schema: Any) -> None:
    """A reference that comes back to itself before it has gone into the answer has no end, as ``{"$ref": "#"}``. What
    shows only in some answers rejects those (``agent.schemas``)."""
    from referencing import Registry

    looking = kind(schema, registry=Registry())
    try:
        for answer in _SOME_ANSWERS:
            next(looking.iter_errors(answer), None)
    except RecursionError:
        raise Refused("this schema refers to itself without end", "let it refer to a part of itself") from None


def _check_references(schema: Any) -> None:
    """Each leads somewhere in ``schema``, from one of its places that have a name."""
    wanted = set(_references(schema))
    if not wanted:
        return
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    base = resource.id() or ""
    registry = Registry().with_resource(base, resource).crawl()
    resolvers = [registry.resolver(name) for name in {base, *registry}]
    for reference in sorted(wanted):
        for resolver in resolvers:
            try:
                resolver.lookup(reference)
                break
            except Unresolvable:
                continue
        else:
            what = f"the reference {reference!r} leads to nothing in this schema"
            raise Refused(what, "nothing is fetched: write it under '$defs'")


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name in _REFERENCES and isinstance(value, str):
                yield value
            elif name not in _DATA:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
