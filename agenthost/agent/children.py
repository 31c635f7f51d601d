"""``ctx.start``: an agent's own children, processes below it in the tree and in its cell. None outlives it.

The host starts and ends them; here they are asked for, and called. A child that was asked for and then is not wanted
any more (its time is over, the turn was interrupted) is ended, also if it is only about to begin: End follows Begin on
the same connection, and Begin is repeated no more. Where another child had that name before, End would hit that one
if Begin is refused, so it waits for Begin's answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from agenthost.agent.asking import Asked
from agenthost.agent.kin import Kin, finish
from agenthost.agent.wanted import Wanted
from agenthost.errors import AgenthostError, NotRunning, TimedOut, UnknownName, UsageError
from agenthost.protocol import wishes

if TYPE_CHECKING:
    from agenthost.agent.monitor import AsyncMonitor, Monitor
    from agenthost.agent.scope import AsyncScope

How = Literal["stop", "kill"]
MOST_BEGINNING, MOST_ENDING = 32, 256
"""So many are asked for at a time; the host takes 64 and 1,024 of one agent."""
_SHORTEST_S = 0.001
_NOTHING_THERE = (NotRunning, UnknownName)


class Birth:
    """One child from Begin to its end. ``path`` is known from the beginning."""

    def __init__(self, kin: Kin, wanted: Wanted, until: float | None = None) -> None:
        """``until``: when the host is to kill it, on the clock of ``time.monotonic``."""
        self._kin, self._wanted = kin, wanted
        self._until = until
        self.name = wanted.name or kin.names.make(wanted.stem)
        self.path = f"{kin.path.rstrip('/')}/{self.name}"
        self._is_new_name = wanted.name is None or kin.names.give(wanted.name)
        self._is_unwanted = False
        self._begun: Asked | None = None
        self._end: Asked | None = None
        self._end_how: How = "stop"

    async def wait_ready(self, deadline: float) -> str:
        """Its incarnation. Raises what the host says, ``TimedOut``, or ``UsageError`` if it is too large to send."""
        kin = self._kin
        if not await kin.until(lambda: self._is_unwanted or kin.beginning < MOST_BEGINNING, deadline):
            raise TimedOut(f"cannot start {self.path}: {MOST_BEGINNING} other children are still starting")
        if self._is_unwanted:
            raise UsageError(f"cannot start {self.path}: its scope has ended meanwhile")
        begun = self._begun = self._ask()
        if not await kin.until(lambda: begun.is_answered or self._is_unwanted, deadline):
            raise TimedOut(f"cannot start {self.path}: it was not ready in time")
        if self._is_unwanted:
            raise UsageError(f"cannot start {self.path}: its scope has ended meanwhile")
        if isinstance(begun.outcome, AgenthostError):
            raise begun.outcome
        return str(begun.outcome["incarnation"])

    @property
    def was_refused(self) -> bool:
        """Nothing of it is there, and nothing will be."""
        begun = self._begun
        return begun is None or (begun.is_answered and isinstance(begun.outcome, AgenthostError))

    @property
    def is_gone(self) -> bool:
        return self.was_refused or (self._end is not None and self._end.is_answered)

    @property
    def problem(self) -> AgenthostError | None:
        """Why it could not be ended; that nothing is there any more is none."""
        outcome = None if self._end is None else self._end.outcome
        return outcome if isinstance(outcome, AgenthostError) and not isinstance(outcome, _NOTHING_THERE) else None

    def begin_end(self, how: How) -> None:
        """Ask for its end; again only if it must be harder."""
        begun = self._begun
        if begun is None:
            self._is_unwanted = True
            return
        if self.was_refused:
            return
        if begun.is_answered:
            self._ask_end(how)
        elif not self._is_unwanted:
            self._is_unwanted = True
            if self._is_new_name:
                self._kin.drop(begun)
                self._ask_end("kill")
            else:
                begun.on_answer = self._on_late_answer

    def _on_late_answer(self, outcome: Any) -> None:
        if not isinstance(outcome, AgenthostError):
            self._ask_end("kill")

    def _ask_end(self, how: How) -> None:
        if self._end is None or (how == "kill" and self._end_how == "stop"):
            self._end_how = how
            self._end = self._kin.request(wishes.End(path=self.path, how=how))

    def _ask(self) -> Asked:
        wanted, now = self._wanted, time.monotonic()
        for_s = None if self._until is None else max(_SHORTEST_S, self._until - now)
        begin = wishes.Begin(name=self.name, spec=wanted.spec, code=wanted.code, for_s=for_s)
        try:
            return self._kin.begin(begin)
        except TypeError as error:
            raise UsageError(f"cannot start {self.path}: its spec is no plain data: {error}") from None


async def end_all(kin: Kin, births: list[Birth], how: How) -> None:
    """Returns when nothing of them is left, whatever interrupts: the interruption goes on after that."""
    births = births.copy()
    interruption: BaseException | None = None
    for begin in range(0, len(births), MOST_ENDING):
        some = births[begin : begin + MOST_ENDING]
        for birth in some:
            birth.begin_end(how)
        while not all(birth.is_gone for birth in some):
            try:
                await kin.until(lambda: all(birth.is_gone for birth in some), kin.far())  # noqa: B023  # in this round
            except BaseException as error:  # a signal's handler raised, or the task was cancelled
                interruption = error
    problem = next((birth.problem for birth in births if birth.problem is not None), None)
    if interruption is not None or problem is not None:
        raise interruption or problem  # type: ignore[misc]  # one of them is one


class AsyncChild:
    """Of an async agent; may be kept over turns. ``scope`` is None for one of ``ctx.start``."""

    def __init__(self, kin: Kin, path: str, incarnation: str, scope: AsyncScope | None = None) -> None:
        self.path, self.incarnation = path, incarnation
        """The incarnation is the one that was started; with a restart type other than temporary others may follow."""
        self._kin, self._scope = kin, scope

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path} {self.incarnation}>"

    async def call(self, body: Any = None, timeout: float | None = None) -> Any:
        """As ``ctx.call``. In a scope it also ends, with what the scope raises, when that fails or its time is over."""
        if self._scope is not None:
            return await self._scope.call(self.path, body, timeout)
        deadline = self._kin.limit(timeout)
        outcome = await self._kin.outcome(self._kin.call(self.path, body, deadline), deadline)
        if isinstance(outcome, AgenthostError):
            raise outcome
        return outcome

    async def send(self, body: Any = None, timeout: float | None = None) -> None:
        """As ``ctx.send``."""
        outcome = await self._kin.outcome(self._kin.post(self.path, body), self._kin.limit(timeout))
        if isinstance(outcome, AgenthostError):
            raise outcome

    async def stop(self, timeout: float | None = None) -> None:
        """Ask, TERM, KILL; returns when its cell is empty. After ``TimedOut`` the host goes on with it."""
        await self._end("stop", timeout)

    async def kill(self, timeout: float | None = None) -> None:
        """KILL at once; returns when its cell is empty."""
        await self._end("kill", timeout)

    async def monitor(self) -> AsyncMonitor:
        """As ``ctx.monitor`` of its path."""
        return await self._kin.monitor(self.path)

    async def _end(self, how: How, timeout: float | None) -> None:
        if self._scope is not None:
            self._scope.excuse(self.path)
        deadline = self._kin.limit(timeout)
        asked = self._kin.request(wishes.End(path=self.path, how=how))  # and not dropped: it is to be done
        if not await self._kin.until(lambda: asked.is_answered, deadline):
            raise TimedOut(f"cannot wait for the end of {self.path}: its cell is not empty in time")
        if isinstance(asked.outcome, AgenthostError) and not isinstance(asked.outcome, _NOTHING_THERE):
            raise asked.outcome


class Child:
    """Of an agent whose handler is a plain function; may be kept over turns."""

    def __init__(self, twin: AsyncChild) -> None:
        self._twin = twin

    def __repr__(self) -> str:
        return f"<Child {self.path} {self.incarnation}>"

    @property
    def path(self) -> str:
        return self._twin.path

    @property
    def incarnation(self) -> str:
        """As in :class:`AsyncChild`."""
        return self._twin.incarnation

    def call(self, body: Any = None, timeout: float | None = None) -> Any:
        """As in :class:`AsyncChild`."""
        return finish(self._twin.call(body, timeout))

    def send(self, body: Any = None, timeout: float | None = None) -> None:
        """As in :class:`AsyncChild`."""
        finish(self._twin.send(body, timeout))

    def stop(self, timeout: float | None = None) -> None:
        """As in :class:`AsyncChild`."""
        finish(self._twin.stop(timeout))

    def kill(self, timeout: float | None = None) -> None:
        """As in :class:`AsyncChild`."""
        finish(self._twin.kill(timeout))

    def monitor(self) -> Monitor:
        """As in :class:`AsyncChild`."""
        from agenthost.agent.monitor import Monitor

        return Monitor(finish(self._twin.monitor()))


async def start(kin: Kin, wanted: Wanted, timeout: float | None) -> AsyncChild:
    """Behind ``ctx.start``. If it is not ready in time, what has begun of it is ended."""
    birth = Birth(kin, wanted)
    try:
        return AsyncChild(kin, birth.path, await birth.wait_ready(kin.limit(timeout)))
    except BaseException:  # too late, a signal's handler raised, the task was cancelled: nobody knows of the child
        await end_all(kin, [birth], "kill")
        raise
