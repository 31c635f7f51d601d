"""Freezing: a process that stands still with all it has started, and for which no time passes until it is thawed.

Only what runs and is not on its way down can be frozen; a new incarnation is not. Who is asked to end is thawed first,
so that it can, and so is who has said that it falls asleep; KILL needs no thaw. Each worker in a subtree is frozen by
itself, so each can be thawed or stopped; but what an agent has started lies in its cell: it is thawed with it, ended by
KILL alone, and not started before.
"""

from __future__ import annotations

from collections.abc import Iterator

from agenthost.core import effects as do
from agenthost.core.life import Life
from agenthost.core.tree import AnyNode, Turn, Worker, owner_of


def freeze(turn: Turn, worker: Worker) -> bool:
    """False if it is frozen already, or has nothing that can be."""
    if worker.frozen_at is not None or worker.life not in (Life.STARTING, Life.READY):
        return False
    worker.frozen_at = turn.now
    turn.effects.extend(do.CancelTimer(timer(kind, worker)) for kind in worker.deadlines)
    turn.effects.append(do.Freeze(worker.path, worker.n))
    turn.effects.append(do.Record("agent.frozen", worker.path, {"incarnation": worker.n}))
    return True


def thaw(turn: Turn, worker: Worker) -> bool:
    """False if it is not frozen. Its deadlines are later by the time it was."""
    if worker.frozen_at is None:
        return False
    stood_still_s, worker.frozen_at = turn.now - worker.frozen_at, None
    worker.deadlines = {kind: at + stood_still_s for kind, at in worker.deadlines.items()}
    turn.effects.extend(do.SetTimer(timer(kind, worker), at) for kind, at in worker.deadlines.items())
    turn.effects.append(do.Thaw(worker.path, worker.n))
    fields = {"incarnation": worker.n, "after_s": round(stood_still_s, 3)}
    turn.effects.append(do.Record("agent.thawed", worker.path, fields))
    return True


def frozen_above(node: AnyNode) -> Worker | None:
    """The nearest frozen agent that it was started by: cells nest, so it stands still as well, whatever it was told."""
    owner = owner_of(node)
    while owner is not None and owner.frozen_at is None:
        owner = owner_of(owner)
    return owner


def timer(kind: str, worker: Worker) -> str:
    """Timers carry the incarnation, so a late one cannot hit the next."""
    return f"{kind}|{worker.n}|{worker.path}"


def workers_at(node: AnyNode) -> Iterator[Worker]:
    """Itself, if it is one, and all below it; owners before what they have started."""
    if isinstance(node, Worker):
        yield node
    for child in node.below:
        yield from workers_at(child)
