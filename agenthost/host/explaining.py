"""Everything that is known of one path, as plain data: what it is, what happened to it, what it waits for. The command
line makes sentences of it (``cli.explaining``).

Also of what is not there, or never was. The rule it keeps: where the journal does not say, that is said, and the rest
is told all the same.
"""

from __future__ import annotations

import asyncio
import bisect
import difflib
import time
from collections.abc import Callable, Collection
from typing import Any

from agenthost.core.birth import AgentBirth
from agenthost.core.freezing import frozen_above
from agenthost.core.rest import window_of
from agenthost.core.tree import AnyNode, State, Supervisor, Worker
from agenthost.core.view import shown
from agenthost.errors import AgenthostError
from agenthost.host.chronicle import Chronicle
from agenthost.host.incarnation import Incarnation
from agenthost.host.journaling import Journaling
from agenthost.host.receivers import terms_of
from agenthost.journal.remedies import ladder_of

PATIENCE_S, ASLEEP_S = 2.0, 0.5
RECORDS, CRASHES, CHILDREN = 15, 10, 20
COMPARED = 40
_DULL = frozenset({"agent.starting", "agent.ended", "agent.terminating", "supervisor.starting", "supervisor.stopping"})
"""Steps of what other records tell."""
_OF_GROUP = frozenset({"supervisor.regrouping", "supervisor.gave_up"})
"""What a supervisor does that touches its children."""


class Explaining:
    """``clock`` is the core's; ``describe`` tells of the host itself."""

    def __init__(
        self,
        state: State,
        present: Callable[[str], Incarnation | None],
        chronicle: Chronicle,
        journaling: Journaling,
        clock: Callable[[], float],
        describe: Callable[[], dict[str, Any]],
    ) -> None:
        self._state, self._present, self._chronicle = state, present, chronicle
        self._journaling, self._clock, self._describe = journaling, clock, describe

    async def explain(self, path: str) -> dict[str, Any]:
        node = self._state.nodes.get(path)
        mail, budgets, crashes = await asyncio.gather(
            self._asked("outlook", {"path": path}), self._asked("budgets", {"path": path}), self._crashes(path)
        )
        near = near_to(path, self._state.nodes) if node is None else ""
        found = None if node is None else self._node(node)
        if found is not None and found.get("is_pool"):
            asleep = await self._journaling.asking.asleep(ASLEEP_S)
            found["asleep"] = None if asleep is None else asleep.get(path, 0)
        birth = node.spec.birth if isinstance(node, Worker) else None
        if node is None:
            birth = self._journaling.receivers.template(path)  # of a member that need not be there
        terms = terms_of(birth) if isinstance(birth, AgentBirth) else None
        return {
            "path": path,
            "now": time.time(),
            "is_there": node is not None,
            "is_own": path.startswith("/.system/"),
            "near": near,
            "can_be_woken": node is None and terms is not None,
            "node": found,
            "above": None if node is None or node.parent is None else self._above(node, node.parent),
            "attempts": 0 if terms is None else ladder_of(terms).attempts,
            "records": self._records(path, node),
            "crashes": crashes,
            "mail": mail,
            "budgets": budgets or [],
            "journal": self._journaling.trouble,
            "halting": self._state.halting,
            "host": self._describe() if path == "/" else None,
        }

    async def _asked(self, what: str, args: dict[str, Any]) -> Any:
        if self._journaling.trouble:
            return None
        try:
            return await self._journaling.asking.ask(what, args, PATIENCE_S)
        except AgenthostError:
            return None

    async def _crashes(self, path: str) -> list[dict[str, Any]] | None:
        args = {"path": path, "before": 0, "since": 0.0, "limit": CRASHES, "below": False}
        found: list[dict[str, Any]] | None = await self._asked("crashes", args)
        return found

    def _node(self, node: AnyNode) -> dict[str, Any]:
        now, wall = self._clock(), time.time()
        found: dict[str, Any] = {
            "kind": "supervisor" if isinstance(node, Supervisor) else "worker",
            "state": shown(node),
            "since": wall - (now - node.since) if node.since else None,
            "reason": node.reason.words() if node.reason else "",
            "restart": str(node.spec.restart),
            "restarts": node.restarts,
            "attempt": node.attempt,
            "held": node.held,
            "restarts_in_s": max(0.0, node.due_at - now) if node.due_at is not None else None,
            "wanted": [verb for _, verb in node.ops],
        }
        if isinstance(node, Supervisor):
            states = [(child.path, shown(child)) for child in node.below]
            unwell = [(path, state) for path, state in states if state not in ("ready", "done", "asleep")]
            found |= {"strategy": str(node.spec.strategy), "children": len(states), "unwell": unwell[:CHILDREN]}
            window = node.window
            used = {"intensity": window.intensity, "period_s": window.period_s, "used": window.used(now)}
            return found | {"window": used, "is_pool": node.is_pool, "asleep": None}
        incarnation = self._present(node.path)
        above = frozen_above(node)
        found |= {
            "program": not isinstance(node.spec.birth, AgentBirth),
            "incarnation": None if incarnation is None else incarnation.name,
            "turn": None,
            "frozen_s": None if node.frozen_at is None else now - node.frozen_at,
            "frozen_above": None if above is None else above.path,
            "deadlines": {kind: at - now for kind, at in node.deadlines.items()} if node.frozen_at is None else {},
            "interrupted": "" if node.interruption is None else node.interruption.why,
            "asked": node.why_asked if node.alive else "",
            "hibernates_s": node.spec.hibernate_s,
            "gives_up_alone": node.window is not None,
        }
        if incarnation is not None and incarnation.turn.number:
            found["turn"] = _turn(incarnation)
        return found

    def _above(self, node: AnyNode, parent: Supervisor) -> dict[str, Any]:
        window = window_of(parent, node)
        return {
            "path": parent.path if parent.owner is None else parent.owner.path,
            "state": shown(parent),
            "is_agent": parent.owner is not None,
            "is_pool": parent.is_pool,
            "strategy": str(parent.spec.strategy),
            "otp_strict": parent.spec.otp_strict,
            "intensity": window.intensity,
            "period_s": window.period_s,
            "used": window.used(self._clock()),
            "own": window is not parent.window,
            "group_waits_for": parent.waits_for,
            "in_hand": parent.in_hand,
            "is_next": node.name in parent.to_start,
        }

    def _records(self, path: str, node: AnyNode | None) -> list[dict[str, Any]]:
        parent = node.parent.path if node is not None and node.parent is not None else ""
        found = []
        for record in self._chronicle.newest_first():
            own = record.path == path and record.name not in _DULL and not record.fields.get("of_turn")
            of_group = record.path == parent and record.name in _OF_GROUP
            if own or (of_group and (record.name != "supervisor.regrouping" or path in record.fields.get("group", ()))):
                told = {"at": record.at, "name": record.name, "path": record.path, "text": record.sentence()}
                found.append({**told, "incarnation": str(record.fields.get("incarnation", ""))})
                if len(found) == RECORDS:
                    break
        return found[::-1]


def _turn(incarnation: Incarnation) -> dict[str, Any]:
    """The one in hand, and its bounds; those of one that is frozen do not come nearer."""
    turn, birth = incarnation.turn, incarnation.birth
    now = turn.frozen_at or time.monotonic()
    found: dict[str, Any] = {"message": turn.message, "attempt": turn.attempt, "busy_s": now - turn.began_at}
    found |= {"timeout_s": None, "progress_s": None, "still_s": 0.0}
    if isinstance(birth, AgentBirth):
        still_s = max(0.0, now - max(turn.moved_at, incarnation.excused_at))
        found |= {"timeout_s": birth.turn_s, "progress_s": birth.progress_s, "still_s": still_s}
    return found


def near_to(path: str, names: Collection[str]) -> str:
    """The one that was perhaps meant, "" if none is near. Only those next to it in the alphabet, from the front and
    from the back, are compared: to compare thousands would hold the loop."""
    some: set[str] = set()
    for turned in (1, -1):
        ordered = sorted(name[::turned] for name in names)
        at = bisect.bisect(ordered, path[::turned])
        some.update(name[::turned] for name in ordered[max(0, at - COMPARED // 2) : at + COMPARED // 2])
    return next(iter(difflib.get_close_matches(path, sorted(some), n=1)), "")
