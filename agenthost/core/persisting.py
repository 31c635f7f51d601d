"""Children of run time that come back with their supervisor (``persist``, deviation D6), and with the next host.

Without it a supervisor that is started again has the children of its spec alone (T8). What persists is kept by whoever
outlives it: a pool, or the agent that has started it. It is kept no more once it has ended for good while its
supervisor goes on: stopped by somebody, or by its restart type. The host keeps it too, and says it again after its own
restart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from agenthost.core import effects as do
from agenthost.core.brood import brood_of, takes_children
from agenthost.core.events import Restore
from agenthost.core.tree import AnyNode, Doing, Kept, Supervisor, Turn, Worker

Begin = Callable[[Turn, AnyNode], None]


def keep(turn: Turn, parent: Supervisor, child: AnyNode) -> None:
    """It was added at run time."""
    if child.spec.persist:
        parent.kept[child.name] = Kept(child.spec, child.kept)
        turn.effects.append(do.Keep(child.path, kept=True))


def restore(turn: Turn, wanted: Restore, begin: Begin) -> None:
    """What an earlier host has kept."""
    path = f"{wanted.parent.rstrip('/')}/{wanted.name}"
    above = turn.state.nodes.get(wanted.parent)
    spec = above.spec.template if isinstance(above, Supervisor) and above.is_pool else wanted.spec
    place = _kept_of(turn, wanted.parent)
    if place is None or spec is None or not spec.persist:
        _lose(turn, path, "what had started it is gone, or lets nothing persist any more")
        return
    if wanted.name in place:
        return
    kept = place[wanted.name] = Kept(dataclasses.replace(spec, name=wanted.name))
    if isinstance(above, Worker):
        come_back(turn, above, begin)
    elif above is not None and above.doing in (Doing.STARTING, Doing.SERVING) and wanted.name not in above.children:
        child = above.children[wanted.name] = turn.state.plant_kept(kept, above)
        if above.doing is Doing.SERVING:
            _say(turn, child)
            begin(turn, child)
        else:
            above.to_start.append(wanted.name)


def come_back(turn: Turn, owner: Worker, begin: Begin) -> None:
    """Below an agent that is up, perhaps for the first time."""
    if not owner.kept or not takes_children(owner):
        return
    turn.because("D6")
    brood = brood_of(turn, owner)
    for name, kept in list(owner.kept.items()):
        if name not in brood.children:
            child = brood.children[name] = turn.state.plant_kept(kept, brood)
            _say(turn, child)
            begin(turn, child)


def _kept_of(turn: Turn, path: str) -> dict[str, Kept] | None:
    """What persists below ``path``, which may be kept itself and not be there yet; None if there is no such thing."""
    node = turn.state.nodes.get(path)
    if node is not None:
        return node.kept
    above, _, name = path.rpartition("/")
    place = _kept_of(turn, above) if above else None
    kept = place.get(name) if place is not None else None
    return None if kept is None else kept.below


def _say(turn: Turn, child: AnyNode) -> None:
    turn.effects.append(do.Record("agent.comes_back", child.path, {"why": "it persists"}))


def _lose(turn: Turn, path: str, why: str) -> None:
    turn.effects.append(do.Keep(path, kept=False))
    turn.effects.append(do.Record("agent.persists_no_more", path, {"why": why}))
