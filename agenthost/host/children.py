"""What agents start and end: the tree below them, within their rights.

The core plants, supervises and ends; here stands who may (``core.rights``) and when the time that a child was given is
over; ``asked_for`` has what a child is. What is asked is answered when it is done: up, or its cell empty.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from agenthost.config.plain import count_workers
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, Limits
from agenthost.core.life import Life
from agenthost.core.reason import Reason
from agenthost.core.rights import Asked, Owner, refusal, refusal_of_crowd
from agenthost.core.spec import ChildSpec, Restart, WorkerSpec
from agenthost.core.tree import AnyNode, State, Supervisor, Worker, owner_of
from agenthost.errors import AgenthostError, NotPermitted, NotRunning, Overloaded, UsageError, from_wire
from agenthost.host.asked_for import AskedFor
from agenthost.host.incarnation import Incarnation
from agenthost.host.tools import tool_spec
from agenthost.protocol import wishes as wish

OPEN_BEGINS, OPEN_ENDS = 64, 1024
"""So many may one agent wait for at a time; ending and interrupting must go on where starting does not."""

Done = Callable[[dict[str, Any] | AgenthostError], None]
"""Told of the outcome, once."""


@dataclass(frozen=True, slots=True)
class _Begun:
    owner: int
    path: str
    done: Done


@dataclass(frozen=True, slots=True)
class _Interrupting:
    owner: int
    path: str
    done: Done


@dataclass(frozen=True, slots=True)
class _Ending:
    owner: int
    node: AnyNode
    done: Done


class Children:
    """``present(path)`` is the incarnation that runs now, ``tell`` reaches the core; its answers come to ``answered``.
    Operations have numbers below 0: those above are the operators'."""

    def __init__(
        self,
        *,
        state: State,
        folder: str,
        present: Callable[[str], Incarnation | None],
        tell: Callable[[on.Event], None],
    ) -> None:
        self._state, self._folder, self._present, self._tell = state, folder, present, tell
        self._asked_for = AskedFor(folder)
        self.on_persisting: Callable[[str, wish.Begin], None] = lambda path, wanted: None
        """Told of a child that persists, before it is added; ``on_refused`` if it did not come up."""
        self.on_refused: Callable[[str], None] = lambda path: None
        self._last_op = 0
        self._open: dict[int, _Begun | _Ending | _Interrupting] = {}
        self._begins: Counter[int] = Counter()
        self._ends: Counter[int] = Counter()
        """How many of them are open, by the number of who asked."""
        self._timers: dict[str, tuple[AnyNode, asyncio.TimerHandle]] = {}
        """Path to (whose time it is, what ends it)."""
        self._clean_at = 64

    # ---- wishes

    def begin(self, owner: Incarnation, wanted: wish.Begin, done: Done) -> None:
        """Raises what is wrong with the wish; ``done`` is told what came of it."""
        above = self._asker(owner, wanted, (Life.READY,))
        owners = list(_owners(above))
        crowd = count_workers(wanted.spec, max(one.may.children for one in owners))
        if (refused := refusal_of_crowd(crowd, owners)) is not None:
            raise refused
        spec, asked = self._asked_for.read(above, wanted)
        if (refused := refusal(asked, owners, _levels(spec))) is not None:
            raise refused
        if spec.persist:
            if wanted.for_s is not None:
                raise UsageError(f"cannot let {wanted.name!r} persist: it is given {wanted.for_s:g} s")
            self.on_persisting(f"{above.path}/{wanted.name}", wanted)
        self._add(above, wanted, spec, done)

    def run(self, owner: Incarnation, wanted: wish.Run, streams: int, done: Done) -> None:
        """As ``begin``, for a tool. ``streams``: the number of what it was given."""
        above = self._asker(owner, wanted, (Life.READY, Life.ASKED) if wanted.of_turn else (Life.READY,))
        spec = tool_spec(wanted, above.spec.birth, self._folder, streams)
        spec = replace(spec, birth=replace(spec.birth, user=above.spec.birth.user))
        refused = refusal([Asked((wanted.argv[0],), spec.birth.limits, is_tool=True)], list(_owners(above)))
        if refused is not None:
            raise refused
        self._add(above, wanted, spec, done)

    def _asker(self, owner: Incarnation, wanted: wish.Begin | wish.Run, lives: tuple[Life, ...]) -> Worker:
        if self._begins[owner.n] >= OPEN_BEGINS:
            raise Overloaded(f"cannot start {wanted.name!r}: {OPEN_BEGINS} starts of {owner.path} are under way")
        if wanted.for_s is not None and not 0 < wanted.for_s < math.inf:
            raise UsageError(f"cannot start {wanted.name!r} for {wanted.for_s} s: it must be more than 0 and finite")
        above = self._state.nodes.get(owner.path)
        if not isinstance(above, Worker) or above.n != owner.n or above.life not in lives:
            raise NotRunning(f"cannot start {wanted.name!r}: {owner.path} is ending")
        return above

    def _add(self, above: Worker, wanted: wish.Begin | wish.Run, spec: ChildSpec, done: Done) -> None:
        path = f"{above.path}/{wanted.name}"
        op = self._new_op()
        self._ask(op, _Begun(above.n, path, done))
        try:
            self._tell(on.Add(op, above.path, wanted.name, spec, above.path))
        finally:  # another owner's error comes after all is done: its time is over all the same
            node = self._state.nodes.get(path)
            if node is not None and op in self._open and wanted.for_s is not None:
                self._end_after(wanted.for_s, path, node)

    def end(self, owner: Incarnation, wanted: wish.End, done: Done) -> None:
        path = wanted.path
        _check_below(owner, "end", path, hint="ask from outside: agenthost stop")
        node = self._state.nodes.get(path)
        if node is None:
            done({"path": path, "text": "it had ended", "was_there": False})
            return
        self._check_ends(owner, "end", path)
        incarnation = self._present(path)
        if incarnation is not None and incarnation.exited:  # and its cell is not empty yet
            done = _was_not_there(done)
        self._end(node, owner.path, wanted.how, owner.n, done)

    def interrupt(self, owner: Incarnation, wanted: wish.Interrupt, done: Done) -> None:
        """The turn in hand of what is below it."""
        path = wanted.path
        _check_below(owner, "interrupt", path, hint="ask from outside: agenthost interrupt")
        self._check_ends(owner, "interrupt", path)
        op = self._new_op()
        self._ask(op, _Interrupting(owner.n, path, done))
        by = f"{owner.path} ({wanted.reason})" if wanted.reason else owner.path
        self._tell(on.Command(op, "interrupt", path, by))

    def answered(self, effect: do.Answer) -> None:
        """The core has decided and it is done."""
        asked = self._open.pop(effect.op, None)
        if asked is None:
            return
        self._forget(asked)
        if isinstance(asked, _Ending):
            node = asked.node
            if self._state.nodes.get(node.path) is node and owner_of(node) is not None:
                self._tell(on.Delete(self._new_op(), node.path))  # whoever started it does not want it any more
        if effect.error is not None:
            if isinstance(asked, _Begun):
                self.on_refused(asked.path)
            asked.done(from_wire(effect.error, effect.text))
        elif isinstance(asked, _Ending):
            asked.done({"path": asked.node.path, "text": effect.text})
        elif isinstance(asked, _Interrupting):
            asked.done({"path": asked.path, "text": effect.text})
        else:
            incarnation = self._present(asked.path)
            name = incarnation.name if incarnation is not None else ""
            asked.done({"path": asked.path, "incarnation": name})

    def close(self) -> None:
        for _, timer in self._timers.values():
            timer.cancel()

    def _check_ends(self, owner: Incarnation, verb: Literal["end", "interrupt"], path: str) -> None:
        if self._ends[owner.n] >= OPEN_ENDS:
            raise Overloaded(f"cannot {verb} {path}: {OPEN_ENDS} wishes of {owner.path} are under way; wait for some")

    def _ask(self, op: int, asked: _Begun | _Ending | _Interrupting) -> None:
        self._open[op] = asked
        (self._begins if isinstance(asked, _Begun) else self._ends)[asked.owner] += 1

    def _forget(self, asked: _Begun | _Ending | _Interrupting) -> None:
        counted = self._begins if isinstance(asked, _Begun) else self._ends
        counted[asked.owner] -= 1
        if not counted[asked.owner]:
            del counted[asked.owner]

    # ---- ending

    def _end(self, node: AnyNode, by: str, how: str, owner: int, done: Done) -> None:
        """For good: who would be restarted is asked first, and then is not."""
        op = self._new_op()
        self._ask(op, _Ending(owner, node, done))
        if how == "stop" or not node.alive or node.spec.restart is not Restart.TEMPORARY:
            self._tell(on.Command(op, "stop", node.path, by))
            op = self._new_op()
        if how == "kill" and node.alive:
            self._tell(on.Command(op, "kill", node.path, by))

    def _end_after(self, for_s: float, path: str, node: AnyNode) -> None:
        self._clean()
        timer = asyncio.get_running_loop().call_later(for_s, self._time_over, path, node, for_s)
        self._timers[path] = (node, timer)

    def _time_over(self, path: str, node: AnyNode, for_s: float) -> None:
        if self._timers.get(path, (None,))[0] is node:
            del self._timers[path]
        if self._state.nodes.get(path) is not node:
            return
        text = f"its time of {for_s:g} s is over"
        by = f"the host: {text}"
        if isinstance(node, Supervisor):
            self._end(node, by, "kill", 0, lambda outcome: None)
            return
        if not node.alive or node.spec.restart is not Restart.TEMPORARY:
            self._end(node, by, "stop", 0, lambda outcome: None)
        if node.alive:
            self._tell(on.Fault(path, node.n, Reason("killed", text=text)))

    def _clean(self) -> None:
        """Timers of those that ended before, each time they have doubled."""
        if len(self._timers) < self._clean_at:
            return
        for path, (node, timer) in list(self._timers.items()):
            if self._state.nodes.get(path) is not node:
                timer.cancel()
                del self._timers[path]
        self._clean_at = 64 + 2 * len(self._timers)

    def _new_op(self) -> int:
        self._last_op -= 1
        return self._last_op


def _check_below(owner: Incarnation, verb: Literal["end", "interrupt"], path: str, *, hint: str) -> None:
    if not path.startswith(f"{owner.path}/"):
        raise NotPermitted(f"not permitted: {owner.path} may {verb} what is below it, and asked for {path}", hint=hint)


def _was_not_there(done: Done) -> Done:
    """Tells ``done`` that it had ended before that was asked for."""
    return lambda outcome: done({**outcome, "was_there": False} if isinstance(outcome, dict) else outcome)


def _levels(spec: ChildSpec) -> int:
    """1 for a worker, 2 for a supervisor with workers."""
    if isinstance(spec, WorkerSpec):
        return 1
    return 1 + max(map(_levels, spec.children), default=0)


def _owners(asker: Worker) -> Iterator[Owner]:
    """The asker, who has started it, who has started that."""
    one: Worker | None = asker
    below = asker
    while one is not None:
        owner = owner_of(one)
        birth: AgentBirth = one.spec.birth
        between = max(0, below.path.count("/") - one.path.count("/") - 1)
        yield Owner(one.path, birth.may, tuple(_below(one)), is_configured=owner is None, between=between)
        below, one = one, owner


def _below(node: AnyNode) -> Iterator[Limits]:
    """The limits of every worker below it."""
    for child in node.below:
        if isinstance(child, Worker):
            yield child.spec.birth.limits
        yield from _below(child)
