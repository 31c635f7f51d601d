"""A scenario: a tree, what its children's starts do, and actions. Written once, read by both sides.

The part that Erlang reads is a term on one line: ``term`` writes it. To add a field of a spec, add it to ``Leaf`` or
``Branch``, to ``_spec`` or ``_flags`` and to ``stage.spec_of``; to add a verb, one clause ``act`` in
``supervisors.escript`` and one entry in ``actions.ACTIONS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

WhenAsked = Literal["obeys", "stubborn", "crashes"]
"""What a child does on a stop request: ends as asked; stays until it is killed; ends with another reason (S10)."""

Behaviour = str
"""What a start does: "ready", "fail", "ignore", or "crash PATH": that sibling crashes meanwhile, then it is ready."""


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    restart: str = "permanent"
    shutdown: int | Literal["infinity", "brutal_kill"] = 5000
    """Milliseconds."""
    when_asked: WhenAsked = "obeys"
    significant: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    name: str
    children: tuple[Leaf | Branch, ...] = ()
    strategy: str = "one_for_one"
    intensity: int = 1
    period_s: int = 3600
    """Far from every border unless a test is about time."""
    restart: str = "permanent"
    significant: bool = False
    auto_shutdown: str = "never"
    template: Leaf | Branch | None = None
    """Makes it a pool; its members are added as ``MEMBERS``."""


Shape = Leaf | Branch

MEMBERS = ("m0", "m1", "m2")


@dataclass(frozen=True, slots=True)
class Action:
    """``verb`` is one of ``actions.ACTIONS``; ``other`` is what else it needs."""

    verb: str
    path: str = ""
    other: str | int | tuple[Behaviour, ...] | Shape = ""

    def __str__(self) -> str:
        other = _words(self.other) if isinstance(self.other, Leaf | Branch) else self.other
        return " ".join(str(part) for part in (self.verb, self.path, other) if part != "")


@dataclass(frozen=True, slots=True)
class Scenario:
    tree: Branch
    starts: Mapping[str, tuple[Behaviour, ...]] = field(default_factory=dict)
    """What the first starts of a path do; later ones are ready."""
    actions: tuple[Action, ...] = ()

    def __str__(self) -> str:
        shapes = [f"  {path} {_words(shape)}" for path, shape in walk(self.tree)]
        starts = [f"  starts of {path}: {', '.join(todo)}" for path, todo in self.starts.items()]
        actions = [f"  {number}. {action}" for number, action in enumerate(self.actions, 1)]
        return "\n".join(shapes + starts + actions)


def walk(shape: Shape, path: str = "/") -> Iterator[tuple[str, Shape]]:
    """All paths, depth first; those of a pool's members as well."""
    yield path, shape
    if isinstance(shape, Branch):
        for child in children_of(shape):
            yield from walk(child, path.rstrip("/") + "/" + child.name)


def children_of(branch: Branch) -> tuple[Shape, ...]:
    """A pool's members that can be."""
    if branch.template is None:
        return branch.children
    return tuple(replace(branch.template, name=name) for name in MEMBERS)


def shapes_of(scenario: Scenario) -> dict[str, Shape]:
    """What can be at a path: of the tree, or added at run time."""
    shapes = dict(walk(scenario.tree))
    for action in scenario.actions:
        if isinstance(action.other, Leaf | Branch):
            shapes.update(walk(action.other, action.path))
    return shapes


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


# ---- as an Erlang term


def term(scenario: Scenario) -> str:
    starts = ",".join(f"{{{_text(path)},{_behaviours(todo)}}}" for path, todo in scenario.starts.items())
    actions = ",".join(_action(action) for action in scenario.actions)
    return f"{{{_shape(scenario.tree)},[{starts}],[{actions}]}}."


def _shape(shape: Shape) -> str:
    what = f"name=>{_text(shape.name)},spec=>{_spec(shape)}"
    if isinstance(shape, Leaf):
        return f"#{{{what},when_asked=>{shape.when_asked}}}"
    if shape.template is not None:
        return f"#{{{what},flags=>{_flags(shape)},template=>{_shape(shape.template)}}}"
    return f"#{{{what},flags=>{_flags(shape)},children=>[{','.join(_shape(child) for child in shape.children)}]}}"


def _spec(shape: Shape) -> str:
    shared = f"restart=>{shape.restart},significant=>{str(shape.significant).lower()}"
    if isinstance(shape, Leaf):
        return f"#{{{shared},shutdown=>{shape.shutdown},type=>worker}}"
    return f"#{{{shared},shutdown=>infinity,type=>supervisor}}"


def _flags(shape: Branch) -> str:
    strategy = shape.strategy if shape.template is None else "simple_one_for_one"
    patience = f"intensity=>{shape.intensity},period=>{shape.period_s}"
    return f"#{{strategy=>{strategy},{patience},auto_shutdown=>{shape.auto_shutdown}}}"


def _action(action: Action) -> str:
    path, other = _text(action.path), action.other
    match action.verb:
        case "crash":
            return f"{{leave,{path},crash}}"
        case "end":
            return f"{{leave,{path},normal}}"
        case "quit":
            return f"{{leave,{path},shutdown}}"
        case "quit_with_term":
            return f"{{leave,{path},{{shutdown,bye}}}}"
        case "both":
            return f"{{both,{path},{_text(str(other))}}}"
        case "next":
            assert isinstance(other, tuple)
            return f"{{next,{path},{_behaviours(other)}}}"
        case "add":
            assert isinstance(other, Leaf | Branch)
            return f"{{add,{path},{_shape(other)}}}"
        case "wait":
            return f"{{wait,{other}}}"
        case verb:
            return f"{{{verb},{path}}}"


def _behaviours(todo: tuple[Behaviour, ...]) -> str:
    return "[" + ",".join(_behaviour(one) for one in todo) + "]"


def _behaviour(one: Behaviour) -> str:
    word, _, path = one.partition(" ")
    return f"{{{word},{_text(path)}}}" if path else word


def _text(text: str) -> str:
    return f'"{text}"'


def _words(shape: Shape) -> str:
    significant = "significant " if shape.significant else ""
    if isinstance(shape, Leaf):
        return f"{significant}{shape.restart} worker, shutdown {shape.shutdown}, {shape.when_asked}"
    kind = "supervisor" if shape.template is None else "pool"
    end = "" if shape.auto_shutdown == "never" else f", {shape.auto_shutdown}"
    return f"{significant}{shape.restart} {kind}, {shape.strategy}, {shape.intensity} in {shape.period_s} s{end}"
