"""What a context asks of the desk of an agent with asyncio, and the waiting for it. As in ``front_desk``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agenthost.agent.as_needed import committing
from agenthost.agent.async_context import AsyncContext
from agenthost.agent.async_listening import AsyncListener
from agenthost.agent.durable import Durable, check_in_hand
from agenthost.agent.front_desk import teller
from agenthost.agent.loop import Gate
from agenthost.agent.sentry import Sentry
from agenthost.agent.wires import Wires
from agenthost.errors import AgenthostError, TimedOut
from agenthost.protocol.codec import pack_body
from agenthost.transport.caller import LOOKING, Call
from agenthost.transport.data import check_size

if TYPE_CHECKING:
    from agenthost.agent.agent import Agent
    from agenthost.agent.bell import Bell
    from agenthost.agent.desks import Outcome, Purse, Tell
    from agenthost.agent.kin import Kin
    from agenthost.agent.later import Wish
    from agenthost.agent.loops import Brake
    from agenthost.agent.telling import Telling

TELL_S = 0.02
"""What a turn tells is said at the latest after so long, while the loop turns."""


class AsyncFrontDesk:
    """The turns are its subclass's, ``async_desk.AsyncDesk``."""

    def __init__(self, agent: Agent, wires: Wires, durable: Durable, sentry: Sentry, listener: AsyncListener) -> None:
        self._agent, self._wires, self._durable = agent, wires, durable
        self._sentry, self._listener = sentry, listener
        self._loop = asyncio.get_running_loop()
        self._caller = wires.caller
        self._path, self._inc = wires.certificate.path, wires.certificate.inc
        self._context = AsyncContext(self._path, self._inc, None, self)
        """Of the turn in hand, or of the last one."""
        self._gathering: AsyncContext | None = None
        """As in the plain desk."""
        self._kin: Kin | None = None
        self._is_telling = False
        durable.on_unsaid = self._tell_soon

    # ---- other agents

    async def ask(self, path: str, body: Any, deadline: float, brake: Brake | None = None) -> Outcome:
        return (await self.exchange([(path, body)], deadline, brake=brake))[0]

    async def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None, brake: Brake | None = None
    ) -> list[Outcome]:
        bodies = [(path, check_size(pack_body(body))) for path, body in wishes]
        if brake is not None:
            brake.calls(wishes, bodies)
        now = time.monotonic()
        if self._durable.spending is not None:
            self._durable.spending.called(len(bodies))
        gate = Gate(self._loop, len(bodies))
        if tell is None:
            calls = [self._caller.call(path, body, deadline, now, gate.one_passed) for path, body in bodies]
        else:
            calls = [
                self._caller.call(path, body, deadline, now, _both(gate, teller(tell, nth)))
                for nth, (path, body) in enumerate(bodies)
            ]
        await self._wait(calls, gate, deadline)
        return [call.decoded() for call in calls]

    async def deliver(self, path: str, body: Any, deadline: float) -> None:
        gate = Gate(self._loop, 1)
        call = self._caller.cast(path, check_size(pack_body(body)), time.monotonic(), gate.one_passed)
        await self._wait([call], gate, deadline)
        if isinstance(call.outcome, AgenthostError):
            raise call.outcome

    async def locate(self, path: str, deadline: float) -> str | None:
        if path == self._path:
            return self._inc
        link = self._caller.look(path)
        if not await self._until(lambda: link.state != LOOKING, deadline):
            raise TimedOut(f"cannot find {path}: the host did not answer in time")
        return link.inc or None

    # ---- what a turn leaves

    async def post(self, context: AsyncContext, path: str, body: Any, deadline: float) -> None:
        packed, in_turn = check_size(pack_body(body)), context is self._gathering
        await committing().post(self._durable, self._until, path, packed, deadline, in_turn=in_turn)

    def account(self, context: AsyncContext) -> Telling:
        check_in_hand(context is self._gathering)
        return self._durable.tell()

    def purse(self, context: AsyncContext) -> Purse:
        book = self._durable.spend_book()
        if context is self._context and not context.is_over:
            book.is_in(self._sentry.turn)
        return book

    def keep_checkpoint(self, context: AsyncContext, name: str) -> None:
        self._durable.keep_checkpoint(name, in_turn=context is self._gathering)

    async def roll_back(self, context: AsyncContext, name: str, deadline: float) -> None:
        in_turn = context is self._gathering
        await committing().roll_back(self._durable, self._until, name, deadline, in_turn=in_turn)

    async def later(self, context: AsyncContext, wish: Wish, deadline: float) -> None:
        from agenthost.agent.later_mail import carry_out

        in_turn = context is self._gathering
        await carry_out(self._durable, self._until, wish, deadline, in_turn=in_turn)

    def _tell_soon(self) -> None:
        if not self._is_telling:
            self._is_telling = True
            self._loop.call_later(TELL_S, self._tell_now)

    def _tell_now(self) -> None:
        self._is_telling = False
        if self._durable.telling is not None:
            self._durable.telling.flush()

    # ---- the host

    def kin(self) -> Kin:
        if self._kin is None:
            from agenthost.agent.kin import Kin

            has_on_down = callable(getattr(self._agent, "on_down", None))
            flush, plugs = self._listener.flush, self._listener
            self._kin = Kin(self._wires, lambda: self._context, self._until, flush, plugs, has_on_down=has_on_down)
        return self._kin

    def is_stopping(self) -> bool:
        return self._wires.stop is not None

    # ---- waiting

    async def _wait(self, calls: list[Call], gate: Gate, deadline: float) -> None:
        self._listener.flush()
        reason = "interrupted"
        timer = self._loop.call_at(deadline, gate.open)
        try:
            await gate.opened
            reason = "its time is over"
        finally:
            timer.cancel()
            if gate.left:
                for call in calls:
                    path = call.link.path
                    self._caller.abandon(call, TimedOut(f"cannot get an answer from {path}: {reason}"))
                self._listener.flush()

    async def _until(self, ready: Callable[[], bool], deadline: float, bell: Bell | None = None) -> bool:
        """Until a message has made ``ready`` true; False if it is not after ``deadline``. Without ``bell`` any message
        is looked at. Several may wait: each asks ``ready`` before it waits for news, so that another has cleared them
        costs nothing."""
        self._listener.flush()
        ring = asyncio.Event()
        if bell is not None:
            bell.hang(ring.set)
        try:
            async with asyncio.timeout_at(deadline):
                while not ready():
                    if bell is None:
                        await self._listener.wait_news()
                    else:
                        await ring.wait()
                        ring.clear()
        except TimeoutError:
            return ready()
        finally:
            if bell is not None:
                bell.unhang(ring.set)
        return True


def _both(gate: Gate, tell: Callable[[Call], None]) -> Callable[[Call], None]:
    def passed(call: Call) -> None:
        tell(call)
        gate.one_passed(call)

    return passed
