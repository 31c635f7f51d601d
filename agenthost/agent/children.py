"""``ctx.start``: an agent's own children, processes below it in the tree and in its cell. None outlives it.

``birth`` has how one is asked for and ended; here is what an author holds of it. An async agent's child does the work;
a plain agent's is the same with waiting that blocks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agenthost.agent.birth import AGAIN_S, NOTHING_THERE, Birth, How, end_all
from agenthost.agent.blocking import finish
from agenthost.agent.kin import Kin
from agenthost.agent.wanted import Wanted
from agenthost.errors import AgenthostError, Overloaded, TimedOut
from agenthost.protocol import wishes

if TYPE_CHECKING:
    from agenthost.agent.monitor import AsyncMonitor, Monitor
    from agenthost.agent.scope import AsyncScope


class AsyncChild:
    """Of an async agent; may be kept over turns. ``scope`` is None for one of ``ctx.start``."""

    def __init__(self, kin: Kin, birth: Birth, incarnation: str, scope: AsyncScope | None = None) -> None:
        self.path, self.incarnation = birth.path, incarnation
        """The incarnation is the one that was started; with a restart type other than temporary others may follow."""
        self._kin, self._birth, self._scope = kin, birth, scope

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
        """As ``ctx.send`` with ``durable=False``: into its memory, and gone with it."""
        outcome = await self._kin.outcome(self._kin.post(self.path, body), self._kin.limit(timeout))
        if isinstance(outcome, AgenthostError):
            raise outcome

    async def stop(self, timeout: float | None = None) -> None:
        """Ask, TERM, KILL; returns when its cell is empty. After ``TimedOut`` the host goes on with it."""
        await self._end("stop", timeout)

    async def kill(self, timeout: float | None = None) -> None:
        """KILL at once; returns when its cell is empty."""
        await self._end("kill", timeout)

    async def interrupt(self, reason: str = "", timeout: float | None = None) -> bool:
        """End the turn that it has in hand; it goes on with its next message, or is ended if it does not come back.
        Returns when that is over; False if no turn was in hand. After ``TimedOut`` the host goes on with it."""
        deadline = self._kin.limit(timeout)
        asked = self._kin.request(wishes.Interrupt(path=self.path, reason=reason))  # and not dropped: it is to be done
        if not await self._kin.until(lambda: asked.is_answered, deadline, asked.bell):
            raise TimedOut(f"cannot wait for the end of the turn of {self.path}: it has not come back in time")
        if isinstance(asked.outcome, NOTHING_THERE):
            return False
        if isinstance(asked.outcome, AgenthostError):
            raise asked.outcome
        return True

    async def monitor(self) -> AsyncMonitor:
        """As ``ctx.monitor`` of its path. A temporary child that has ended already has the end that it had."""
        watch = self._birth.watch
        if watch.incarnation and (watch.ended is None or self._birth.is_temporary):
            return self._kin.monitor_same(watch)
        return await self._kin.monitor(self.path)

    async def _end(self, how: How, timeout: float | None) -> None:
        if self._scope is not None:
            self._scope.excuse(self.path)
        deadline = self._kin.limit(timeout)
        while True:
            asked = self._kin.request(wishes.End(path=self.path, how=how))  # and not dropped: it is to be done
            if not await self._kin.until(lambda: asked.is_answered, deadline, asked.bell):  # noqa: B023  # in this round
                raise TimedOut(f"cannot wait for the end of {self.path}: its cell is not empty in time")
            again_at = time.monotonic() + AGAIN_S
            if not isinstance(asked.outcome, Overloaded) or again_at > deadline:
                break
            await self._kin.until(lambda: False, again_at, asked.bell)
        if isinstance(asked.outcome, AgenthostError) and not isinstance(asked.outcome, NOTHING_THERE):
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

    def interrupt(self, reason: str = "", timeout: float | None = None) -> bool:
        """As in :class:`AsyncChild`."""
        return finish(self._twin.interrupt(reason, timeout))

    def monitor(self) -> Monitor:
        """As in :class:`AsyncChild`."""
        from agenthost.agent.monitor import Monitor

        return Monitor(finish(self._twin.monitor()))


async def start(kin: Kin, wanted: Wanted, timeout: float | None) -> AsyncChild:
    """Behind ``ctx.start``. If it is not ready in time, what has begun of it is ended."""
    birth = Birth(kin, wanted)
    try:
        return AsyncChild(kin, birth, await birth.wait_ready(kin.limit(timeout)))
    except BaseException:  # too late, a signal's handler raised, the task was cancelled: nobody knows of the child
        await end_all(kin, [birth], "kill")
        raise
