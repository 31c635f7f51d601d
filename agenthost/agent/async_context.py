"""What a handler that is ``async def`` can do besides computing; what is said of each in ``context`` holds here too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agenthost.agent.alike import like
from agenthost.agent.below import Below
from agenthost.agent.later import AsyncLater, Post, Wish
from agenthost.agent.turn_context import call_to_oneself, unwrap
from agenthost.errors import AgenthostError, UsageError
from agenthost.later import checked_key

if TYPE_CHECKING:
    from agenthost.agent.async_popen import AsyncTool
    from agenthost.agent.children import AsyncChild
    from agenthost.agent.desks import AsyncDesk, Outcome  # noqa: F401  # one stands in quotes
    from agenthost.agent.group import AsyncGroup
    from agenthost.agent.monitor import AsyncMonitor
    from agenthost.agent.ran import Ran
    from agenthost.agent.scope import AsyncScope


class AsyncContext(Below["AsyncDesk"], AsyncLater):
    """For a handler that is ``async def``. ``asyncio.gather`` over several calls works."""

    __slots__ = ()

    async def call(self, path: str, body: Any = None, timeout: float | None = None, *, idempotent: bool = False) -> Any:
        """As in ``Context``."""
        if path == self.path:
            raise call_to_oneself(path)
        due = self._limit(timeout)
        if self.attempt.calls is not None:
            (outcome,) = await self._exchange([(path, body)], due, idempotent=idempotent)
        else:
            brake = self._braking()
            outcome = await self._desk.ask(path, body, due, brake)
            if brake is not None and isinstance(outcome, AgenthostError):
                brake.failed(path, outcome)
        return unwrap(outcome)

    async def gather(
        self,
        wishes: Iterable[tuple[str, Any]],
        timeout: float | None = None,
        *,
        return_errors: bool = False,
        idempotent: bool = False,
    ) -> list[Any]:
        """As in ``Context``."""
        wanted = list(wishes)
        outcomes = await self._exchange(wanted, self._due(wanted, timeout), idempotent=idempotent)
        return outcomes if return_errors else [unwrap(outcome) for outcome in outcomes]

    async def _exchange(self, wanted: list[tuple[str, Any]], due: float, *, idempotent: bool) -> list[Outcome]:
        calls = self.attempt.calls
        if calls is None or self.is_over:
            outcomes = await self._desk.exchange(wanted, due, brake=self._braking())
        else:
            from agenthost.agent.tool_calls import Wish

            begun = await calls.begin([Wish(path, body) for path, body in wanted], due, idempotent=idempotent)
            now = [wanted[place] for place in begun.wanted]
            outcomes = begun.outcomes(await self._desk.exchange(now, due, begun.tell) if now else [])
        self._failed(wanted, outcomes)
        return outcomes

    async def send(
        self, path: str, body: Any = None, timeout: float | None = None, *, durable: bool = True, key: str = ""
    ) -> None:
        """As in ``Context``."""
        if key:
            if not durable:
                raise UsageError("cannot send with a key what is not durable: nobody would remember it")
            await self._later(Post(path, body, checked_key(key)), timeout)
        elif durable:
            await self._desk.post(self, path, body, self._limit(timeout))
        else:
            await self._desk.deliver(path, body, self._limit(timeout))

    async def roll_back(self, name: str, timeout: float | None = None) -> None:
        """As in ``Context``."""
        await self._desk.roll_back(self, name, self._limit(timeout))

    async def _later(self, wish: Wish, timeout: float | None) -> None:
        await self._desk.later(self, wish, self._limit(timeout))

    async def whereis(self, path: str, timeout: float | None = None) -> str | None:
        """As in ``Context``."""
        return await self._desk.locate(path, self._limit(timeout))

    @like(Below._start)
    async def start(self, *what: Any, **how: Any) -> AsyncChild:
        return await self._start(*what, **how)

    @like(Below._run)
    async def run(self, *what: Any, **how: Any) -> Ran:
        return await self._run(*what, **how)

    @like(Below._begin_tool)
    async def popen(self, *what: Any, **how: Any) -> AsyncTool:
        from agenthost.agent.async_popen import AsyncTool

        return await AsyncTool(*await self._begin_tool(*what, **how)).connect()

    def scope(self, timeout: float | None = None) -> AsyncScope:
        """``async with ctx.scope() as scope``; as in :class:`Context`."""
        from agenthost.agent.scope import AsyncScope

        return AsyncScope(self._desk.kin(), timeout)

    async def monitor(self, path: str) -> AsyncMonitor:
        """As in ``Context``."""
        return await self._desk.kin().monitor(path)

    def group(self, name: str) -> AsyncGroup:
        """As in ``Context``."""
        from agenthost.agent.group import AsyncGroup

        return AsyncGroup(self._desk.kin(), name)
