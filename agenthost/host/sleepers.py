"""Who sleeps, and is wanted: looked up, or with mail waiting. A bounded number begins at a time, in order; those that
somebody waits for before those with mail, of whom there may be many.

The core decides what is asleep and what becomes of a Wake (``core.waking``); here is who asks for it, how often after a
failure, and who hears of the outcome. Members of a pool whose template is an agent need not exist: a name that fits is
enough. The rule it keeps: of one that sleeps nothing is held here, unless somebody wants it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agenthost.config.kinds import NAME_PATTERN
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core import sleeping
from agenthost.core.birth import AgentBirth
from agenthost.core.life import Life
from agenthost.core.spec import WorkerSpec
from agenthost.core.tree import Doing, State, Supervisor, Worker
from agenthost.errors import AgenthostError, UnknownName, from_wire

AT_ONCE = max(8, 4 * len(os.sched_getaffinity(0)))
"""Wakes that are between their order and readiness."""
SLOT_S = 1.0
"""Who takes longer to get ready does not hold up the others."""
TRIES, AGAIN_S = 3, 0.05
"""Of a wake that fails, before whoever wants it is told so: it may have been killed by somebody."""
MAIL_AGAIN_S, MAIL_AGAIN_MOST_S = 1.0, 60.0
_FIRST_OP = -(1 << 40)
"""Operations are numbered down from here."""

Then = Callable[[AgenthostError | None], None]
"""Told once: it runs, or why it does not."""

_is_name = re.compile(NAME_PATTERN).fullmatch


@dataclass(slots=True)
class _Wanted:
    by: str
    thens: list[Then]
    is_called: bool
    """Somebody waits for it, not mail alone."""
    tries: int = 0
    is_begun: bool = False


class Sleepers:
    """``tell`` reaches the core. ``is_removed(path)`` asks for a tombstone, ``still_waits(path)`` whether mail that was
    told of is still not taken."""

    def __init__(
        self,
        *,
        state: State,
        tell: Callable[[on.Event], None],
        is_removed: Callable[[str], Awaitable[bool]],
        still_waits: Callable[[str], bool],
    ) -> None:
        self._state, self._tell = state, tell
        self._is_removed, self._still_waits = is_removed, still_waits
        self._wanted: dict[str, _Wanted] = {}
        self._called: deque[str] = deque()
        self._mailed: deque[str] = deque()
        self._ops: dict[int, str] = {}
        self._beginning: dict[int, asyncio.TimerHandle] = {}
        self._mail_pauses: dict[str, float] = {}
        """Paths with mail that could not be woken: how long until the next try."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_op = _FIRST_OP
        self._is_closed = False

    # ---- looking

    def template(self, path: str) -> AgentBirth | None:
        """What a member of that path would be; None if it is there, or can be none."""
        above, _, name = path.rpartition("/")
        pool = self._state.nodes.get(above or "/")
        if path in self._state.nodes or not isinstance(pool, Supervisor) or not _is_name(name):
            return None
        template = pool.spec.template
        is_agent = isinstance(template, WorkerSpec) and isinstance(template.birth, AgentBirth)
        return template.birth if isinstance(template, WorkerSpec) and is_agent else None

    def is_away(self, path: str) -> bool:
        """It is to be woken before anything can be asked of it."""
        node = self._state.nodes.get(path)
        if node is not None:
            return isinstance(node, Worker) and isinstance(node.spec.birth, AgentBirth) and sleeping.is_away(node)
        above = self._state.nodes.get(path.rpartition("/")[0] or "/")
        is_up = isinstance(above, Supervisor) and above.doing not in (Doing.NOTHING, Doing.STOPPING)
        return is_up and self.template(path) is not None

    # ---- wanting

    def call(self, path: str, then: Then) -> None:
        """Somebody wants to call it. ``UnknownName`` if it is a member whose session was removed."""
        if path in self._state.nodes or path in self._wanted:
            self.wake(path, then, "a call")
            return
        task = asyncio.get_running_loop().create_task(self._check(path, then))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self, path: str, then: Then) -> None:
        if await self._is_removed(path):
            then(UnknownName(f"there is no {path}: it was removed", hint="agenthost sessions revive brings it back"))
        else:
            self.wake(path, then, "a call")

    def mail_waits(self, path: str) -> None:
        if path not in self._mail_pauses and self.is_away(path):
            self._wake_for_mail(path)

    def _wake_for_mail(self, path: str) -> None:
        self.wake(path, lambda error: self._mail_woke(path, error), "mail", is_called=False)

    def _mail_woke(self, path: str, error: AgenthostError | None) -> None:
        if error is None or isinstance(error, UnknownName) or self._is_closed:
            self._mail_pauses.pop(path, None)
            return
        pause_s = min(2 * self._mail_pauses.get(path, MAIL_AGAIN_S / 2), MAIL_AGAIN_MOST_S)
        self._mail_pauses[path] = pause_s
        asyncio.get_running_loop().call_later(pause_s, self._mail_again, path)

    def _mail_again(self, path: str) -> None:
        if self._still_waits(path) and not self._is_closed:
            self._wake_for_mail(path)
        else:
            self._mail_pauses.pop(path, None)

    def wake(self, path: str, then: Then, by: str, *, is_called: bool = True) -> None:
        wanted = self._wanted.get(path)
        if wanted is None:
            wanted = self._wanted[path] = _Wanted(by, [], is_called)
            self._enter(path, wanted)
        elif is_called and not wanted.is_called and not wanted.is_begun:
            wanted.by, wanted.is_called = by, True
            self._enter(path, wanted)
        wanted.thens.append(then)
        self._go_on()

    # ---- in order

    def _enter(self, path: str, wanted: _Wanted) -> None:
        (self._called if wanted.is_called else self._mailed).append(path)

    def _go_on(self) -> None:
        while (queue := self._called or self._mailed) and len(self._beginning) < AT_ONCE and not self._is_closed:
            path = queue.popleft()
            wanted = self._wanted.get(path)
            if wanted is not None and not wanted.is_begun:  # else it was called before its mail had its turn
                wanted.is_begun = True
                self._begin(path)

    def _begin(self, path: str) -> None:
        self._last_op -= 1
        op, loop = self._last_op, asyncio.get_running_loop()
        self._ops[op] = path
        self._beginning[op] = loop.call_later(SLOT_S, self._let_go, op)
        loop.call_soon(self._look, op)
        self._tell(on.Wake(op, path, self._wanted[path].by))

    def _look(self, op: int) -> None:
        """Who waits for something else than its birth, for room in a full pool perhaps, holds up nobody."""
        node = self._state.nodes.get(self._ops.get(op, ""))
        if op in self._beginning and not (isinstance(node, Worker) and node.life is Life.STARTING):
            self._let_go(op)

    def _let_go(self, op: int) -> None:
        timer = self._beginning.pop(op, None)
        if timer is not None:
            timer.cancel()
            self._go_on()

    def answered(self, effect: do.Answer) -> bool:
        """False if it was not asked here."""
        if effect.op >= _FIRST_OP:
            return False
        path = self._ops.pop(effect.op)
        self._let_go(effect.op)
        wanted = self._wanted[path]
        if effect.error == "start_failed" and wanted.tries < TRIES - 1 and not self._is_closed:
            wanted.tries += 1
            asyncio.get_running_loop().call_later(AGAIN_S * wanted.tries, self._try_again, path)
            return True
        del self._wanted[path]
        error = None if effect.error is None else from_wire(effect.error, f"cannot wake {path}: {effect.text}")
        for then in wanted.thens:
            then(error)
        return True

    def _try_again(self, path: str) -> None:
        wanted = self._wanted[path]
        wanted.is_begun = False
        self._enter(path, wanted)
        self._go_on()

    def close(self) -> None:
        self._is_closed = True
        for timer in self._beginning.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
