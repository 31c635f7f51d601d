"""The desk of an agent whose handler is ``async def``: asyncio, one turn at a time, everything else goes on meanwhile.

Here are its turns, as in ``desk``. What it hears is in ``async_listening``, what a handler asks for in
``async_front_desk``.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from agenthost.agent import turn as turns
from agenthost.agent.agent import Agent, Message
from agenthost.agent.answer import NONE, answer_of
from agenthost.agent.as_needed import brake_of, committing, health_of, recalling, remedying, telling
from agenthost.agent.async_context import AsyncContext
from agenthost.agent.async_front_desk import AsyncFrontDesk
from agenthost.agent.async_journal_source import AsyncJournalSource
from agenthost.agent.async_listening import AsyncListener
from agenthost.agent.async_striking import AsyncStriker
from agenthost.agent.durable import Durable
from agenthost.agent.loop import settled
from agenthost.agent.loops import after_loop
from agenthost.agent.sentry import NO_MAIL, Sentry, say
from agenthost.agent.wires import Wires
from agenthost.errors import BudgetExhausted, ProtocolError
from agenthost.protocol import birth
from agenthost.transport.callee import Turn

if TYPE_CHECKING:
    from agenthost.agent.monitor import Ended
    from agenthost.protocol.mail import Mail


class AsyncDesk(AsyncFrontDesk):
    def __init__(self, agent: Agent, wires: Wires, birth_socket: socket.socket, durable: Durable) -> None:
        certificate = wires.certificate
        self._striker = AsyncStriker(_TURNS, _OPEN_TO)
        sentry = Sentry(birth_socket, certificate.beat_s, self._striker.strike)
        super().__init__(agent, wires, durable, sentry, AsyncListener(wires, birth_socket, sentry.hear))
        self._birth_socket, self._reaps = birth_socket, certificate.reap
        self._brake = durable.brake = brake_of(wires, durable)
        self._health = health_of(agent, wires, self.ask)
        AsyncJournalSource(self._listener, durable, sentry)

    async def run(self) -> int:
        """Turns until the host asks for the end. Returns the exit status."""
        wires = self._wires
        self._striker.begin(self._sentry)
        self._listener.begin()
        wires.expect_early()
        if wires.certificate.drowsy_s:
            self._durable.preload()
        say(self._birth_socket, birth.Up())
        wires.say_ready()
        wires.say_birth = lambda message: say(self._birth_socket, message)
        wires.rest_after(wires.certificate.drowsy_s)
        self._listener.settle_soon()
        try:
            return await self._serve()
        finally:
            self._listener.close()

    async def _serve(self) -> int:
        wires, callee = self._wires, self._wires.callee
        while True:
            if self._kin is not None and wires.stop is None and (down := self._kin.take_down()) is not None:
                status = await self._take_down(down)
                if status is not None:
                    return status
                continue
            durable = self._durable
            if durable.mail is not None and wires.stop is None:
                status = await self._take_mail(durable)
                if status is not None:
                    return status
            elif durable.waits and wires.stop is None:
                committing().take(durable)
            turn = callee.take(time.monotonic())
            if callee.out:
                wires.flush_door()
                self._listener.settle_soon()
            if turn is not None:
                status = await self._take_turn(turn)
                wires.flush_door()
                self._listener.settle_soon()
                if status is not None:
                    return status
            elif wires.stop is not None:
                return await self._stop()
            elif durable.mail is None and (durable.is_taking or not durable.waits):  # the turn may have heard of mail
                if wires.sleep is not None and wires.try_sleep(self._has_work):
                    return await self._stop()
                await self._rest()

    def _begin_turn(self, deadline: float | None, of: tuple[int, int] = NO_MAIL) -> AsyncContext:
        """As in the plain desk."""
        if not self._sentry.is_awake:
            self._listener.drop_birth_socket()
        if self._wires.drowsiness is not None:
            self._wires.drowsiness.stir()
        context = AsyncContext(self._path, self._inc, deadline, self)
        if self._brake is not None:
            self._brake.begin()
            context.brake = self._brake
        self._striker.exposed = self._context = self._gathering = context
        self._sentry.begin(context, of)
        if self._durable.spending is not None:
            self._durable.spending.begin(self._sentry.turn)
        return context

    def _has_work(self) -> bool:
        """As in the plain desk."""
        return self._durable.has_work or (self._kin is not None and self._kin.is_watching)

    async def _take_turn(self, turn: Turn) -> int | None:
        callee = self._wires.callee
        try:
            message = turns.open_message(turn)
        except ProtocolError as error:
            return turns.fail(callee, turn, error)
        if self._durable.spending is not None and (why := self._durable.spending.refusal()):
            return turns.fail(callee, turn, BudgetExhausted(f"cannot begin a turn: {why}"))
        context = self._begin_turn(turn.deadline)
        try:
            try:
                reply = await self._agent.handle(message, context)
                await self._examine(message, reply, context)
            finally:
                await self._end_turn()
            if context.interrupted:
                self._sentry.check()
            packed = turns.pack_reply(turn, reply)
            if self._durable.is_used:
                await self._commit()
            callee.reply(turn, packed)
        except BaseException as error:  # whatever the author's code raises ends the turn, and is sorted in fail()
            self._gathering = None
            self._durable.revert()
            error = after_loop(error, self._brake)
            return turns.fail(callee, turn, self._striker.after_interruption(error) if context.interrupted else error)
        finally:
            self._sentry.end()
        return None

    async def _take_mail(self, durable: Durable) -> int | None:
        """As in the plain desk."""
        one, durable.mail = durable.mail, None
        assert one is not None
        durable.in_hand = one
        context = self._begin_turn(None, (one.message, one.attempt))
        try:
            context.attempt = await recalling().attempt_of(durable, self._until, one)
            message = committing().open_mail(one)
            if self._brake is not None:
                self._brake.attend(one, context.attempt)
            try:
                if one.remedy is not None:
                    await remedying().apply(durable, self._until, one.remedy, context.attempt)
                reply = await self._agent.handle(message, context)
                await self._examine(message, reply, context, one)
            finally:
                await self._end_turn()
            if context.interrupted:
                self._sentry.check()
            is_free = not self._wires.callee.queued and self._wires.stop is None
            durable.waits = durable.waits or not is_free
            if one.in_session:
                telling().reply(durable, one, reply)
            await self._commit(of=one, take=is_free)
        except BaseException as error:  # as in _take_turn
            self._gathering = None
            error = after_loop(error, self._brake)
            error = self._striker.after_interruption(error) if context.interrupted else error
            status: int | None = await committing().failed(durable, self._until, one, error)
            return status
        finally:
            self._sentry.end()
        return None

    async def _examine(self, message: Message, reply: Any, context: AsyncContext, one: Mail | None = None) -> None:
        """As in the plain desk."""
        if self._brake is not None:
            self._brake.end_turn()
        answer = reply if one is None else answer_of(reply, self._durable.telling)
        if answer is NONE:
            return
        if one is not None and one.in_session and self._brake is not None:
            self._brake.answered(answer)
        if self._health is not None:
            await self._health.examine(message, answer, context)

    async def _commit(self, of: Mail | None = None, *, take: bool = False) -> None:
        self._gathering = None
        await committing().commit(self._durable, self._until, of=of, take=take)

    async def _take_down(self, down: Ended) -> int | None:
        """A turn of ``on_down``. Returns the status to exit with, None if the agent goes on."""
        context = self._begin_turn(None)
        try:
            try:
                await settled(self._agent.on_down(down, context))  # type: ignore[attr-defined]  # it has one, or no turn
                if self._brake is not None:
                    self._brake.end_turn()
            finally:
                await self._end_turn()
            if context.interrupted:
                self._sentry.check()
            if self._durable.is_used:
                await self._commit()
        except BaseException as error:  # as in _take_turn
            self._gathering = None
            self._durable.revert()
            return turns.status_after(self._striker.after_interruption(error) if context.interrupted else error)
        finally:
            self._sentry.end()
        return None

    async def _end_turn(self) -> None:
        """Nothing interrupts it any more. As in the plain desk."""
        self._context.is_over = True
        self._striker.exposed = None
        if self._durable.spending is not None:
            self._durable.spending.over(is_timed=self._sentry.has_told)
        if (self._kin is not None or self._reaps) and await self.kin().end_turn(reaps=self._reaps):
            self._sentry.catch_up()

    async def _stop(self) -> int:
        try:
            if self._durable.mail is not None:
                await committing().give_back(self._durable, self._until)
            self._context = self._gathering = context = AsyncContext(self._path, self._inc, None, self)
            try:
                await settled(self._agent.on_stop(context))
            finally:
                await self._end_turn()
            if self._durable.is_used:
                await self._commit()
        except BaseException as error:  # the author's code; the exit status tells the host
            return turns.exit_status(error)
        return 0

    async def _rest(self) -> None:
        """Nothing is to be done now."""
        drowsiness = self._wires.drowsiness
        after_s = None if drowsiness is None else drowsiness.look(time.monotonic())
        if after_s is None:
            await self._listener.wait_news()
            return
        timer = self._loop.call_later(after_s, self._listener.news.set)
        try:
            await self._listener.wait_news()
        finally:
            timer.cancel()


_TURNS = frozenset({AsyncDesk._take_turn.__code__, AsyncDesk._take_mail.__code__, AsyncDesk._take_down.__code__})
"""What calls the author's code."""
_OPEN_TO = frozenset({AsyncContext.log.__code__})
