"""What agents use, as far as the host can see it. What becomes of those whose budget is used up is ``standings``'s.

Processor time is read from cells once a second, as is the time of turns that have beaten; programs and children that an
agent starts and its restarts are counted as they come. The journal is told once a second, and sooner of what is counted
one by one; it sums up, and says where a bound is reached (``journal.meters``).

Only for agents that some budget holds for. A host that is killed loses what it has not told: a second's worth.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import count

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.budget import Budget as BudgetOf
from agenthost.core.budget.prices import Prices
from agenthost.core.budget.scope import Scope, Scopes, scopes_of, scopes_of_tree
from agenthost.core.tree import State, Worker, owner_of
from agenthost.errors import ContainmentError
from agenthost.host.incarnation import Incarnation
from agenthost.host.journaling import Journaling
from agenthost.host.pulse import at_next_pulse
from agenthost.host.standings import Standings
from agenthost.host.unsaid import Unsaid
from agenthost.journal import words
from agenthost.protocol.birth import Beat, Budget

SOON_S = 0.05
CELLS_PER_LOOK = 500
"""15 us each."""


class _Seen:
    """What was counted of one incarnation, until ``at``."""

    __slots__ = ("at", "busy_s", "cpu_s", "of", "turn")

    def __init__(self, of: Incarnation) -> None:
        self.of, self.at = of, of.began_at
        self.cpu_s = self.busy_s = 0.0
        self.turn = 0


class Metering:
    """``by_n`` are all incarnations; ``tell`` reaches the core. Make it inside the running loop."""

    def __init__(
        self,
        *,
        boot: int,
        state: State,
        by_n: dict[int, Incarnation],
        journaling: Journaling,
        tell: Callable[[on.Event], None],
        record: Callable[..., None],
    ) -> None:
        self._boot, self._state, self._by_n, self._tell, self._record = boot, state, by_n, tell, record
        self._journaling = journaling
        self._scopes = Scopes()
        self._brought: dict[str, tuple[Worker, tuple[Scope, ...]]] = {}
        """Of children of run time, by path: names are used again."""
        self._seen: dict[int, _Seen] = {}
        self._next = 0
        self._restarts: dict[str, tuple[Worker, int]] = {}
        """So many were counted of that one."""
        self._unsaid = Unsaid(self._turn_of, state.nodes)
        self._numbers = count(1)
        self._last_said = 0
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        journaling.on_connect = self._connected
        journaling.on_tree_changed = self._tree_changed
        self._standings = Standings(boot, state, by_n, tell, record)
        self._standings.counted = lambda: [(seen.of, seen.turn) for seen in self._seen.values()]
        journaling.on_budget = self._standings.heard

    def start(self) -> None:
        self._read_scopes()
        self._timer = at_next_pulse(self._look)

    def close(self) -> None:
        for timer in (self._timer, self._soon):
            if timer is not None:
                timer.cancel()
        self._standings.close()

    # ---- what holds

    def _read_scopes(self) -> None:
        nodes = self._state.nodes
        self._brought = {path: kept for path, kept in self._brought.items() if nodes.get(path) is kept[0]}
        brought = (scope for _, scopes in self._brought.values() for scope in scopes)
        self._scopes = self._standings.scopes = Scopes([*scopes_of_tree(self._state.root.spec), *brought])

    def _say_scopes(self) -> None:
        prices = self._state.root.spec.prices or Prices()
        scopes = self._scopes.all
        if scopes or prices.models:
            self._journaling.say(lambda number: words.Budgets(number, scopes, prices))

    def _connected(self) -> None:
        """It says anew how all stands; those who are there ask for themselves."""
        self._standings.forget()
        self._read_scopes()
        self._say_scopes()
        for seen in self._seen.values():
            self._unsaid.announce(seen.of.path, seen.of.n)

    def _tree_changed(self) -> None:
        """A journal that knew of budgets must hear that there are none any more."""
        had = bool(self._scopes)
        self._read_scopes()
        if had and not self._scopes:
            self._journaling.say(lambda number: words.Budgets(number, ()))
        self._say_scopes()
        for incarnation in list(self._by_n.values()):
            if incarnation.n in self._seen or self._scopes.is_metered(incarnation.path):
                self.here(incarnation)

    # ---- incarnations

    def birth(self, effect: do.Birth) -> None:
        """About to be ordered."""
        node = self._state.nodes.get(effect.path)
        if not isinstance(node, Worker):
            return
        owner = owner_of(node)
        if owner is not None:
            self._bring(node, node.spec.birth.budget if isinstance(node.spec.birth, AgentBirth) else None)
        if not self._scopes:
            return
        if owner is not None:
            tool = getattr(node.spec.birth, "streams", 0) > 0
            self._count(owner, Amounts(processes=1, tool_calls=int(tool)))
            self._say_soon()
        of, before = self._restarts.get(node.path, (node, 0))
        before = before if of is node else 0
        if node.restarts > before:
            self._restarts[node.path] = node, node.restarts
            self._count(node, Amounts(restarts=node.restarts - before), 0)
            self._say_soon()

    def _bring(self, node: Worker, budget: BudgetOf | None) -> None:
        path = node.path
        scopes = tuple(scopes_of(path, budget)) if budget is not None else ()
        before = self._brought.pop(path, (node, ()))[1]
        if scopes:
            self._brought[path] = node, scopes
        if scopes != before:
            self._put(path, scopes)

    def _put(self, path: str, scopes: tuple[Scope, ...]) -> None:
        """One path alone: of thousands that come and go each says its own."""
        self._scopes.put(path, scopes)
        self._journaling.say(lambda number: words.Brings(number, path, scopes))

    def _forget_gone(self) -> None:
        nodes = self._state.nodes
        for path, (node, _) in list(self._brought.items()):
            if nodes.get(path) is not node:
                del self._brought[path]
                self._put(path, ())
        for path, (node, _) in list(self._restarts.items()):
            if nodes.get(path) is not node:
                del self._restarts[path]

    def here(self, incarnation: Incarnation) -> None:
        """It runs."""
        if not self._scopes.is_metered(incarnation.path) or incarnation.exited:
            if self._seen.pop(incarnation.n, None) is not None:
                self._standings.send(incarnation, Budget())
            return
        if incarnation.n not in self._seen:
            self._seen[incarnation.n] = _Seen(incarnation)
            if isinstance(incarnation.birth, AgentBirth):
                self._unsaid.announce(incarnation.path, incarnation.n)
                self._say_soon()
                self._journaling.doors.want_door(incarnation, 0)  # what it spends is said at once, and not lost with it
        self._standings.say(incarnation)

    def ending(self, incarnation: Incarnation) -> None:
        """Its cell is empty, and not closed yet."""
        seen = self._seen.pop(incarnation.n, None)
        if seen is not None:
            self._look_at(seen, time.monotonic())

    def beat(self, incarnation: Incarnation, said: Beat) -> None:
        """Its turn goes on."""
        seen = self._seen.get(incarnation.n)
        if seen is not None:
            if said.turn != seen.turn:
                self._begins(seen, said)
            self._standings.goes_on(incarnation, said.turn)

    def _begins(self, seen: _Seen, said: Beat) -> None:
        """Its first beat. Of what was used since the last look it has its share: a turn shorter than that was there
        before it."""
        now = time.monotonic()
        share = min(1.0, max(0.0, said.busy_s) / max(now - seen.at, 1e-6))
        cpu_s = self._new_cpu_s(seen)
        seen.turn, seen.busy_s, seen.at = said.turn, 0.0, now
        self._add_cpu(seen, cpu_s * (1.0 - share), 0)
        self._add_cpu(seen, cpu_s * share, said.turn)

    def turn_ended(self, incarnation: Incarnation) -> None:
        seen = self._seen.get(incarnation.n)
        if seen is not None and seen.turn:
            self._look_at(seen, time.monotonic())
            seen.turn, seen.busy_s = 0, 0.0

    # ---- counting

    def _count(self, worker: Worker, amounts: Amounts, turn: int = words.IN_HAND) -> None:
        """Names of run time are used again: what has no budget of its own is counted where it stands."""
        node = worker
        if turn == words.IN_HAND and (seen := self._seen.get(worker.n)) is not None and seen.turn:
            turn = seen.turn  # better than what the agent says of it
        while (owner := owner_of(node)) is not None and not self._scopes.at(node.path):
            node, turn = owner, words.IN_HAND
        if self._scopes.is_metered(node.path):
            self._unsaid.add(node.path, amounts, node.n, turn)

    def _look(self) -> None:
        self._timer = at_next_pulse(self._look)
        self._forget_gone()
        now = time.monotonic()
        for seen in self._some():
            self._look_at(seen, now)
        self._say()

    def _some(self) -> Iterator[_Seen]:
        """Those with a turn in hand, and as many of the others as may be looked at, in turns."""
        all_ = list(self._seen.values())
        if len(all_) <= CELLS_PER_LOOK:
            yield from all_
            return
        busy = [one for one in all_ if one.turn][:CELLS_PER_LOOK]
        yield from busy
        rest = [one for one in all_ if not one.turn]
        start = self._next % max(1, len(rest))
        some = (rest[start:] + rest[:start])[: CELLS_PER_LOOK - len(busy)]
        self._next = start + len(some)
        yield from some

    def _look_at(self, seen: _Seen, now: float) -> None:
        incarnation = seen.of
        self._add_cpu(seen, self._new_cpu_s(seen), seen.turn)
        seen.at = now
        if not seen.turn or not isinstance(incarnation.birth, AgentBirth):
            return
        turn = incarnation.turn
        busy_s = (now if turn.frozen_at is None else turn.frozen_at) - turn.began_at
        wall_s, seen.busy_s = max(0.0, busy_s - seen.busy_s), max(busy_s, seen.busy_s)
        node = self._state.nodes.get(incarnation.path)
        if wall_s and isinstance(node, Worker):
            self._count(node, Amounts(wall_s=wall_s), seen.turn)

    def _new_cpu_s(self, seen: _Seen) -> float:
        with contextlib.suppress(OSError, ContainmentError):  # it is being taken apart, and is looked at once more
            used_s = seen.of.cell.cpu_s() or 0.0
            new_s, seen.cpu_s = max(0.0, used_s - seen.cpu_s), used_s
            return new_s
        return 0.0

    def _add_cpu(self, seen: _Seen, cpu_s: float, turn: int) -> None:
        """A child of run time lives in the cell of its owner, where the kernel counts it too."""
        path, n = seen.of.path, seen.of.n
        node = self._state.nodes.get(path)
        is_nested = isinstance(node, Worker) and owner_of(node) is not None
        if not is_nested or self._scopes.at(path):
            self._unsaid.add(path, Amounts(cpu_s=cpu_s), n, turn, alone=is_nested)

    def _turn_of(self, n: int) -> int | None:
        seen = self._seen.get(n)
        return None if seen is None else seen.turn

    def _say_soon(self) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SOON_S, self._say)

    def _say(self) -> None:
        """One at a time: what a journal that is away does not hear is summed up here."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if not self._unsaid:
            return
        if self._last_said and not self._journaling.is_heard(self._last_said):
            self._unsaid.fold()
            return
        used, number = self._unsaid.take(), next(self._numbers)
        self._last_said = self._journaling.say(lambda word: words.Meter(word, self._boot, number, used))
