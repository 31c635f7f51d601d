"""Which cell lies in which: the tree of paths, kept by containment because no kernel object of pidns and walk has it.

A cell lies in the nearest open cell above its path: ``/crew/planner/sub`` in ``/crew/planner``, whoever made it. A cell
that is being killed takes no births below it, in every tier.
"""

from __future__ import annotations

from typing import Generic, Protocol, Self, TypeVar

from agenthost.errors import ContainmentError


class Nested(Protocol):
    """What the nest knows of a cell."""

    path: str
    incarnation: str
    parent: Self | None
    nested: dict[str, Self]
    killed: bool


C = TypeVar("C", bound=Nested)


class Nest(Generic[C]):
    def __init__(self) -> None:
        self._open: dict[str, C] = {}

    def parent_for(self, path: str) -> C | None:
        """The cell that a new cell of ``path`` will lie in. ``ContainmentError`` if there can be none now."""
        if not path.startswith("/") or path.endswith("/") or "//" in path:
            raise ContainmentError(f"cannot make a cell for {path!r}: a path looks like /crew/planner")
        if old := self._open.get(path):
            raise ContainmentError(
                f"cannot make a second cell for {path}: that of incarnation {old.incarnation} is open",
                hint="close it when it is empty",
            )
        above = path
        while above := above.rpartition("/")[0]:
            if parent := self._open.get(above):
                if parent.killed:
                    raise ContainmentError(f"cannot make a cell for {path}: {above} is being killed")
                return parent
        return None

    def enter(self, cell: C) -> None:
        self._open[cell.path] = cell
        if cell.parent:
            cell.parent.nested[cell.path] = cell

    def leave(self, cell: C) -> None:
        """Safe to call twice, also when the path has a newer cell."""
        if self._open.get(cell.path) is cell:
            del self._open[cell.path]
        if cell.parent and cell.parent.nested.get(cell.path) is cell:
            del cell.parent.nested[cell.path]

    def cells(self) -> list[C]:
        return list(self._open.values())
