"""What agents start and end: the tree below them, within their rights.

The core plants, supervises and ends; here stands who may (``core.rights``), what a child is that was asked for in plain
data (``config.plain``), and when the time it was given is over. What is asked is answered when it is done: up, or its
cell empty.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from agenthost.config.agents import Agents
from agenthost.config.births import COMMAND_AGENT, Usual
from agenthost.config.plain import Noting, OwnCode, count_workers, read_child
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, Limits
from agenthost.core.life import Life
from agenthost.core.reason import Reason
from agenthost.core.rights import Asked, Owner, refusal, refusal_of_crowd
from agenthost.core.spec import ChildSpec, Restart, WorkerSpec
from agenthost.core.tree import AnyNode, State, Supervisor, Worker, owner_of
from agenthost.errors import AgenthostError, NotPermitted, NotRunning, Overloaded, UsageError, from_wire
from agenthost.host.incarnation import Incarnation
from agenthost.protocol import wishes as wish

OPEN_BEGINS, OPEN_ENDS = 64, 1024
"""So many may one agent wait for at a time; ending must go on where starting does not."""

Done = Callable[[dict[str, Any] | AgenthostError], None]
"""Told of the outcome, once."""


@dataclass(frozen=True, slots=True)
class _Begun:
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
        self._agents = Agents(folder, lasting=True)
        self._last_op = 0
        self._open: dict[int, _Begun | _Ending] = {}
        self._begins: Counter[int] = Counter()
        self._ends: Counter[int] = Counter()
        """How many of them are open, by the number of who asked."""
        self._timers: dict[str, tuple[AnyNode, asyncio.TimerHandle]] = {}
        """Path to (whose time it is, what ends it)."""
        self._clean_at = 64

    # ---- wishes

    def begin(self, owner: Incarnation, wanted: wish.Begin, done: Done) -> None:
        """Raises what is wrong with the wish; ``done`` is told what came of it."""
        if self._begins[owner.n] >= OPEN_BEGINS:
            raise Overloaded(f"cannot start {wanted.name!r}: {OPEN_BEGINS} starts of {owner.path} are under way")
        if wanted.for_s is not None and not 0 < wanted.for_s < math.inf:
            raise UsageError(f"cannot start {wanted.name!r} for {wanted.for_s} s: it must be more than 0 and finite")
        above = self._state.nodes.get(owner.path)
        if not isinstance(above, Worker) or above.n != owner.n or above.life is not Life.READY:
            raise NotRunning(f"cannot start {wanted.name!r}: {owner.path} is ending")
        owners = list(_owners(above))
        crowd = count_workers(wanted.spec, max(one.may.children for one in owners))
        if (refused := refusal_of_crowd(crowd, owners)) is not None:
            raise refused
        spec, asked = self._read(above, wanted)
        if (refused := refusal(asked, owners, _levels(spec))) is not None:
            raise refused
        path = f"{above.path}/{wanted.name}"
        op = self._new_op()
        self._ask(op, _Begun(owner.n, path, done))
        try:
            self._tell(on.Add(op, above.path, wanted.name, spec, above.path))
        finally:  # another owner's error comes after all is done: its time is over all the same
            node = self._state.nodes.get(path)
            if node is not None and op in self._open and wanted.for_s is not None:
                self._end_after(wanted.for_s, path, node)

    def end(self, owner: Incarnation, wanted: wish.End, done: Done) -> None:
        path = wanted.path
        if not path.startswith(f"{owner.path}/"):
            raise NotPermitted(
                f"not permitted: {owner.path} may end what is below it, and asked for the end of {path}",
                hint="ask from outside: agenthost stop",
            )
        node = self._state.nodes.get(path)
        if node is None:
            done({"path": path, "text": "it had ended", "was_there": False})
            return
        if self._ends[owner.n] >= OPEN_ENDS:
            raise Overloaded(f"cannot end {path}: {OPEN_ENDS} ends that {owner.path} asked for are under way")
        incarnation = self._present(path)
        if incarnation is not None and incarnation.exited:  # and its cell is not empty yet
            tell = done
            done = lambda outcome: tell({**outcome, "was_there": False} if isinstance(outcome, dict) else outcome)  # noqa: E731
        self._end(node, owner.path, wanted.how, owner.n, done)

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
            asked.done(from_wire(effect.error, effect.text))
        elif isinstance(asked, _Ending):
            asked.done({"path": asked.node.path, "text": effect.text})
        else:
            incarnation = self._present(asked.path)
            name = incarnation.name if incarnation is not None else ""
            asked.done({"path": asked.path, "incarnation": name})

    def close(self) -> None:
        for _, timer in self._timers.values():
            timer.cancel()

    def _ask(self, op: int, asked: _Begun | _Ending) -> None:
        self._open[op] = asked
        (self._begins if isinstance(asked, _Begun) else self._ends)[asked.owner] += 1

    def _forget(self, asked: _Begun | _Ending) -> None:
        counted = self._begins if isinstance(asked, _Begun) else self._ends
        counted[asked.owner] -= 1
        if not counted[asked.owner]:
            del counted[asked.owner]

    # ---- what is asked for

    def _read(self, owner: Worker, wanted: wish.Begin) -> tuple[ChildSpec, list[Asked]]:
        birth: AgentBirth = owner.spec.birth
        may = replace(birth.may, depth=max(0, birth.may.depth - 1))
        usual = Usual(cwd=birth.cwd, env=dict(birth.env), silence_s=birth.silence_s, may=may)
        agents = OwnCode(birth.agent) if wanted.code else Noting(self._agents)
        spec = read_child(wanted.name, wanted.spec, self._folder, agents, usual)
        if wanted.code:
            assert isinstance(spec, WorkerSpec)
            spec = replace(spec, birth=replace(spec.birth, code=wanted.code, search_path=birth.search_path))
            return spec, [Asked(("function",), spec.birth.limits)]
        short = agents.short if isinstance(agents, Noting) else {}
        return spec, [Asked(self._names(one.birth, short, birth), one.birth.limits) for one in _workers(spec)]

    def _names(self, birth: Any, short: dict[str, str], owner: AgentBirth) -> tuple[str, ...]:
        """What a worker is, for the patterns of ``may.start``: never as it was written, for ``a/../b.py`` is b.py. A
        program without ``/`` is its word, if it is looked for where the owner's are (PATH); else what it is there."""
        if not isinstance(birth, AgentBirth):
            return self._program_names(birth.argv[0], dict(birth.env), birth.cwd, owner)
        if birth.agent == COMMAND_AGENT and birth.args.get("argv"):
            args = birth.args
            return self._program_names(args["argv"][0], args["env"], args["cwd"], owner)
        names = [short[birth.agent]] if birth.agent in short else []
        if birth.agent.startswith(self._folder.rstrip("/") + "/"):
            names.append(os.path.relpath(birth.agent, self._folder))
        return (*names, birth.agent)

    def _program_names(self, word: str, env: dict[str, str], cwd: str, owner: AgentBirth) -> tuple[str, ...]:
        if "/" not in word:
            path = env.get("PATH")
            if path == dict(owner.env).get("PATH"):
                return (word,)
            places = [os.path.join(cwd, folder, word) for folder in (path or "").split(os.pathsep)]
            found = next((one for one in places if os.access(one, os.X_OK) and os.path.isfile(one)), places[0])
        else:
            found = os.path.join(cwd, word)
        # to the kernel, "link/.." is not where the link stands (path_resolution(7))
        found = os.path.realpath(found) if ".." in found.split("/") else os.path.normpath(found)
        if found.startswith(self._folder.rstrip("/") + "/"):
            return (os.path.relpath(found, self._folder), found)
        return (found,)

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


def _workers(spec: ChildSpec) -> Iterator[WorkerSpec]:
    if isinstance(spec, WorkerSpec):
        yield spec
        return
    if spec.template is not None:
        raise UsageError(f"cannot start the pool {spec.name!r}: who would start its members?", hint="start them")
    for child in spec.children:
        yield from _workers(child)


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
