"""What there is to see: the tree as rows of plain data, in start order, depth first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agenthost.core.life import Life
from agenthost.core.tree import AnyNode, Doing, State, Supervisor, Worker


@dataclass(frozen=True, slots=True)
class Row:
    path: str
    kind: str
    """"worker" or "supervisor"."""
    state: str
    n: int
    """Incarnation; 0 for a supervisor."""
    restarts: int
    since: float
    """When it came into this state, on the core's clock."""
    reason: str | None
    """Why it last ended, in words."""
    due_at: float | None
    """When its back-off ends."""
    held: bool
    frozen: bool
    restart: str
    strategy: str | None
    pool: bool
    depth: int
    members: int | None = None
    """Of a pool: how many run."""
    live: int | None = None
    """How many may."""


def rows(state: State) -> Iterator[Row]:
    yield from _rows(state.root, 0)


def _rows(node: AnyNode, depth: int) -> Iterator[Row]:
    is_supervisor = isinstance(node, Supervisor)
    yield Row(
        path=node.path,
        kind="supervisor" if is_supervisor else "worker",
        state=shown(node),
        n=0 if isinstance(node, Supervisor) else node.n,
        restarts=node.restarts,
        since=node.since,
        reason=node.reason.words() if node.reason else None,
        due_at=node.due_at,
        held=node.held,
        frozen=isinstance(node, Worker) and node.frozen_at is not None,
        restart=str(node.spec.restart),
        strategy=str(node.spec.strategy) if isinstance(node, Supervisor) else None,
        pool=isinstance(node, Supervisor) and node.is_pool,
        depth=depth,
        members=running(node) if isinstance(node, Supervisor) and node.is_pool else None,
        live=node.spec.live if isinstance(node, Supervisor) else None,
    )
    for child in node.below:
        yield from _rows(child, depth + 1)


def running(pool: Supervisor) -> int:
    return sum(child.alive for child in pool.children.values())


def shown(node: AnyNode) -> str:
    """One of the states of the command line."""
    if not isinstance(node, Supervisor):
        return str(node.life)
    match node.doing:
        case Doing.NOTHING:
            return str(Life.WAITING if node.waiting else node.resting)
        case Doing.REGROUPING:
            return "starting"
        case Doing.STOPPING:
            return "asked"
        case _:
            return str(node.doing)
