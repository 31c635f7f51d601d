"""What a bound holds for, and which bounds hold for an agent: its own, and those of all that it stands in.

A path counts what is used there and everywhere below it, so a bound of a supervisor is one of the sum. Of a pool,
``session`` and ``turn`` are each member's own, ``agent`` is the pool as a whole. ``*`` in a path stands for any name.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from agenthost.core.budget.budget import AtLimit, Budget
from agenthost.core.spec import ChildSpec, SupervisorSpec

Kind = Literal["turn", "session", "agent", "tree"]
ANY = "*"
REMEMBERED = 10_000
"""Paths of which is kept what was found once."""


class Scope(msgspec.Struct, frozen=True, array_like=True):
    path: str
    kind: Kind
    bounds: dict[str, float]
    at_limit: AtLimit = "stop"
    args: dict[str, Any] = {}


def scopes_of(path: str, budget: Budget, of_members: str = "") -> Iterator[Scope]:
    """``of_members``: it is that of the members of this pool."""
    for kind, bounds in (
        ("turn", budget.turn),
        ("session", budget.session),
        ("agent", budget.agent),
        ("tree", budget.tree),
    ):
        if bounds:
            at = of_members if of_members and kind == "agent" else path
            yield Scope(at, kind, bounds, budget.at_limit, budget.args)  # type: ignore[arg-type]


def scopes_of_tree(spec: ChildSpec, path: str = "/", of_members: str = "") -> Iterator[Scope]:
    """Of ``spec`` and all below it."""
    budget = spec.budget if isinstance(spec, SupervisorSpec) else getattr(spec.birth, "budget", None)
    if budget is not None:
        yield from scopes_of(path, budget, of_members)
    if isinstance(spec, SupervisorSpec):
        above = path.rstrip("/")
        for child in spec.children:
            yield from scopes_of_tree(child, f"{above}/{child.name}")
        if spec.template is not None:
            yield from scopes_of_tree(spec.template, f"{above}/{ANY}", path)


@functools.lru_cache(REMEMBERED)
def above(path: str) -> tuple[str, ...]:
    """``path`` and every path that it is below, up to "/"."""
    found = []
    while path != "/":
        found.append(path)
        path = path.rpartition("/")[0] or "/"
    return (*found, path)


class _Place:
    """Where scopes stand, by the names of a path."""

    __slots__ = ("below", "scopes")

    def __init__(self) -> None:
        self.below: dict[str, _Place] = {}
        self.scopes: list[Scope] = []


class Scopes:
    """All that there are, found by path."""

    def __init__(self, scopes: Iterable[Scope] = ()) -> None:
        self._root = _Place()
        self._by_path: dict[str, list[Scope]] = {}
        for one in scopes:
            place = self._root
            for name in _names(one.path):
                place = place.below.setdefault(name, _Place())
            place.scopes.append(one)
            self._by_path[one.path] = place.scopes
        self._at: dict[str, tuple[Scope, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_path)

    @property
    def all(self) -> tuple[Scope, ...]:
        return tuple(one for scopes in self._by_path.values() for one in scopes)

    def put(self, path: str, scopes: Sequence[Scope]) -> None:
        """All of exactly this path, which has no ``*``, instead of those that it had."""
        places = [self._root]
        for name in _names(path):
            places.append(places[-1].below.setdefault(name, _Place()))
        places[-1].scopes = list(scopes)
        self._by_path.pop(path, None)
        if scopes:
            self._by_path[path] = places[-1].scopes
        for name, place, over in zip(_names(path)[::-1], places[:0:-1], places[-2::-1], strict=True):
            if not (place.scopes or place.below):  # names of run time would never end
                del over.below[name]
        self._at.pop(path, None)

    def at(self, path: str) -> tuple[Scope, ...]:
        """Those of exactly this path."""
        found = self._at.get(path)
        if found is None:
            if len(self._at) >= REMEMBERED:
                self._at.clear()
            found = self._at[path] = tuple(scope for place, scope in self._along(path) if place == path)
        return found

    def holding(self, path: str) -> list[tuple[str, Scope]]:
        """Of an agent: (path that counts, scope), its own first. A turn is nobody's but its agent's."""
        found = [(place, scope) for place, scope in self._along(path) if scope.kind != "turn" or place == path]
        return found[::-1]

    def is_metered(self, path: str) -> bool:
        return bool(self) and bool(self.holding(path))

    def _along(self, path: str) -> Iterator[tuple[str, Scope]]:
        """From "/" down."""
        there, at = [self._root], ""
        yield from (("/", scope) for scope in self._root.scopes)
        for name in _names(path):
            there = [one.below[key] for one in there for key in (name, ANY) if key in one.below]
            at = f"{at}/{name}"
            yield from ((at, scope) for one in there for scope in one.scopes)


def _names(path: str) -> list[str]:
    return [] if path == "/" else path.strip("/").split("/")
