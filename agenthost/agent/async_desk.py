"""The desk of an agent whose handler is ``async def``: asyncio, one turn at a time, everything else goes on meanwhile.

ZeroMQ's descriptors are edge-triggered: they tell of a change once, and any send or receive may swallow it
(zmq_getsockopt(3), ZMQ_FD). So after a descriptor woke us, and after everything we send, :meth:`AsyncDesk._settle`
receives from every socket until nothing is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import zmq

from agenthost.agent import turn as turns
from agenthost.agent.agent import Agent, Message
from agenthost.agent.answer import NONE, answer_of
from agenthost.agent.context import AsyncContext, Outcome, Purse, Tell
from agenthost.agent.desk import brake_of, committing, health_of, recalling, remedying, teller, telling
from agenthost.agent.durable import Durable, check_in_hand
from agenthost.agent.interruption import BLOCKED_S, SIGNAL, Interruption, is_authors
from agenthost.agent.loop import Gate, settled
from agenthost.agent.loops import after_loop
from agenthost.agent.sentry import HOST_GONE, Sentry, give_streams, say
from agenthost.agent.wires import Wires
from agenthost.errors import AgenthostError, BudgetExhausted, ProtocolError, TimedOut
from agenthost.protocol import birth
from agenthost.protocol.codec import pack_body
from agenthost.transport.callee import Turn
from agenthost.transport.caller import LOOKING, Call, Link
from agenthost.transport.data import Door, check_size

if TYPE_CHECKING:
    from agenthost.agent.bell import Bell
    from agenthost.agent.door import Door as JournalDoor
    from agenthost.agent.kin import Kin
    from agenthost.agent.later import Wish
    from agenthost.agent.monitor import Ended
    from agenthost.agent.telling import Telling
    from agenthost.protocol.mail import Mail

_MOST = 1000
"""Messages let in before the turn gets its share of the loop again."""
TELL_S = 0.02
"""What a turn tells is said at the latest after so long, while the loop turns."""


class AsyncDesk:
    def __init__(self, agent: Agent, wires: Wires, birth_socket: socket.socket, durable: Durable) -> None:
        self._agent, self._wires, self._birth_socket = agent, wires, birth_socket
        self._durable = durable
        self._brake = durable.brake = brake_of(wires, durable)
        self._health = health_of(agent, wires, self.ask)
        self._gathering: AsyncContext | None = None
        """As in the plain desk."""
        self._caller, self._links = wires.caller, wires.links
        self._sentry = Sentry(birth_socket, wires.certificate.beat_s, self._strike)
        self._exposed: AsyncContext | None = None
        """Of the turn whose handler runs: what interrupts it cancels this task."""
        self._path, self._inc = wires.certificate.path, wires.certificate.inc
        self._context = AsyncContext(self._path, self._inc, None, self)
        """Of the turn in hand, or of the last one."""
        self._kin: Kin | None = None
        self._reaps = wires.certificate.reap
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._news = asyncio.Event()
        """Set when there may be a message in the mailbox, an answered look-up, or a Stop."""
        self._fds: dict[zmq.Socket[bytes], int] = {}
        self._links_by_socket: dict[zmq.Socket[bytes], Link] = {}
        self._readable: set[zmq.Socket[bytes]] = set()
        self._is_settling = self._is_closed = False
        self._repeat: asyncio.TimerHandle | None = None
        self._sentry.on_budget = durable.heed_budget
        self._sentry.on_door = lambda number, descriptor: self._durable.open().came(number, descriptor)
        self._durable.on_door = self._on_journal_door
        self._durable.on_unsaid = self._tell_soon
        self._is_telling = False
        if self._durable.door is not None:
            self._on_journal_door(self._durable.door)

    async def run(self) -> int:
        """Turns until the host asks for the end. Returns the exit status."""
        wires = self._wires
        self._main_thread = threading.get_ident()
        signal.signal(SIGNAL, self._on_signal)
        self._listen_to(wires.control.socket)
        wires.on_door = self._on_door
        self._links.on_open = self._on_link
        self._links.on_close = self._on_link_closed
        self._loop.add_reader(self._birth_socket, self._on_birth_socket)
        wires.expect_early()
        if wires.certificate.drowsy_s:
            self._durable.preload()
        say(self._birth_socket, birth.Up())
        wires.say_ready()
        wires.say_birth = lambda message: say(self._birth_socket, message)
        wires.rest_after(wires.certificate.drowsy_s)
        self._settle_soon()
        try:
            return await self._serve()
        finally:
            self._close()

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
                self._settle_soon()
            if turn is not None:
                status = await self._take_turn(turn)
                wires.flush_door()
                self._settle_soon()
                if status is not None:
                    return status
            elif wires.stop is not None:
                return await self._stop()
            elif durable.mail is None and (durable.is_taking or not durable.waits):  # the turn may have heard of mail
                if wires.sleep is not None and wires.try_sleep(self._has_work):
                    return await self._stop()
                await self._rest()

    def _begin_turn(self, deadline: float | None) -> AsyncContext:
        """As in the plain desk."""
        if not self._sentry.is_awake:
            self._loop.remove_reader(self._birth_socket)
        if self._wires.drowsiness is not None:
            self._wires.drowsiness.stir()
        context = AsyncContext(self._path, self._inc, deadline, self)
        if self._brake is not None:
            self._brake.begin()
            context.brake = self._brake
        self._exposed = self._context = self._gathering = context
        self._sentry.begin(context)
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
            return turns.fail(callee, turn, self._after_interruption(error) if context.interrupted else error)
        finally:
            self._sentry.end()
        return None

    async def _take_mail(self, durable: Durable) -> int | None:
        """As in the plain desk."""
        one, durable.mail = durable.mail, None
        assert one is not None
        durable.in_hand = one
        context = self._begin_turn(None)
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
            error = self._after_interruption(error) if context.interrupted else error
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
            return turns.status_after(self._after_interruption(error) if context.interrupted else error)
        finally:
            self._sentry.end()
        return None

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

    # ---- what a context asks for

    async def ask(self, path: str, body: Any, deadline: float) -> Outcome:
        return (await self.exchange([(path, body)], deadline))[0]

    async def exchange(self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None) -> list[Outcome]:
        bodies = [(path, check_size(pack_body(body))) for path, body in wishes]
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

    def _tell_soon(self) -> None:
        if not self._is_telling:
            self._is_telling = True
            self._loop.call_later(TELL_S, self._tell_now)

    def _tell_now(self) -> None:
        self._is_telling = False
        if self._durable.telling is not None:
            self._durable.telling.flush()

    def keep_checkpoint(self, context: AsyncContext, name: str) -> None:
        self._durable.keep_checkpoint(name, in_turn=context is self._gathering)

    async def roll_back(self, context: AsyncContext, name: str, deadline: float) -> None:
        in_turn = context is self._gathering
        await committing().roll_back(self._durable, self._until, name, deadline, in_turn=in_turn)

    async def later(self, context: AsyncContext, wish: Wish, deadline: float) -> None:
        from agenthost.agent.later_mail import carry_out

        in_turn = context is self._gathering
        await carry_out(self._durable, self._until, wish, deadline, in_turn=in_turn)

    async def locate(self, path: str, deadline: float) -> str | None:
        if path == self._path:
            return self._inc
        link = self._caller.look(path)
        if not await self._until(lambda: link.state != LOOKING, deadline):
            raise TimedOut(f"cannot find {path}: the host did not answer in time")
        return link.inc or None

    def kin(self) -> Kin:
        if self._kin is None:
            from agenthost.agent.kin import Kin

            has_on_down = callable(getattr(self._agent, "on_down", None))
            flush = self._flush_links
            self._kin = Kin(self._wires, lambda: self._context, self._until, flush, self, has_on_down=has_on_down)
        return self._kin

    async def _end_turn(self) -> None:
        """Nothing interrupts it any more. As in the plain desk."""
        self._context.is_over = True
        self._exposed = None
        if self._durable.spending is not None:
            self._durable.spending.over(is_timed=self._sentry.has_told)
        if (self._kin is not None or self._reaps) and await self.kin().end_turn(reaps=self._reaps):
            self._sentry.catch_up()

    # ---- pipes of tools

    def attach(self, descriptor: int, wake: Callable[[], None], *, writes: bool = False) -> None:
        (self._loop.add_writer if writes else self._loop.add_reader)(descriptor, wake)

    def detach(self, descriptor: int) -> None:
        """As in the plain desk."""
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)

    def give(self, number: int, descriptors: list[int]) -> None:
        give_streams(self._birth_socket, number, descriptors)

    # ---- the journal

    def _on_journal_door(self, door: JournalDoor) -> None:
        door.hear_birth = self._sentry.hear
        door.is_heard_elsewhere = lambda: self._sentry.is_awake
        door.on_came, door.on_close = self._on_journal_came, self._on_journal_closed
        door.on_blocked = self._on_journal_blocked
        for packet in door.packets:
            self._sentry.obey(packet, [])
        door.packets.clear()
        if door.sock is not None:
            self._heed_journal()

    def _on_journal_came(self, descriptor: int) -> None:
        """In the sentry's thread perhaps."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody needs it any more
            self._loop.call_soon_threadsafe(self._heed_journal)

    def _heed_journal(self) -> None:
        door = self._durable.open()
        door.adopt()
        if door.sock is not None and not self._is_closed:
            self._loop.add_reader(door.sock.fileno(), self._on_journal)
        self._on_journal()

    def _on_journal_closed(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)

    def _on_journal_blocked(self) -> None:
        sock = self._durable.open().sock
        if sock is not None:
            self._loop.add_writer(sock.fileno(), self._on_journal_room)

    def _on_journal_room(self) -> None:
        door = self._durable.open()
        if door.sock is not None:
            self._loop.remove_writer(door.sock.fileno())
        door.flush()

    def _on_journal(self) -> None:
        self._durable.open().pump()
        self._news.set()

    def is_stopping(self) -> bool:
        return self._wires.stop is not None

    # ---- being interrupted

    def _strike(self, interruption: Interruption) -> None:
        """In the sentry's thread."""
        if time.monotonic() - interruption.asked_at >= BLOCKED_S:
            signal.pthread_kill(self._main_thread, SIGNAL)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the turn
            self._loop.call_soon_threadsafe(self._cancel_turn)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The loop stands still. Nothing happens where it is not the handler that does that."""
        one = self._sentry.to_strike()
        if one is not None and one.context is self._exposed and is_authors(frame, _TURNS, _OPEN_TO):
            self._sentry.struck(one)
            raise one.error()

    def _cancel_turn(self) -> None:
        """Between two steps of the turn's task, so the handler is where its next step goes on."""
        one = self._sentry.to_strike()
        if one is not None and one.context is self._exposed and self._task is not None:
            self._sentry.struck(one)
            self._task.cancel(one.why)

    def _after_interruption(self, error: BaseException) -> BaseException:
        """The cancellation was ours, if we have cancelled: what it ends with is the interruption."""
        one = self._sentry.struck_by()
        if one is None or self._task is None:
            return error
        self._task.uncancel()
        if isinstance(error, asyncio.CancelledError):
            return one.error()
        return turns.after_interruption(error, one)

    # ---- waiting

    async def _wait(self, calls: list[Call], gate: Gate, deadline: float) -> None:
        self._flush_links()
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
                self._flush_links()

    async def _rest(self) -> None:
        """Nothing is to be done now."""
        drowsiness = self._wires.drowsiness
        after_s = None if drowsiness is None else drowsiness.look(time.monotonic())
        if after_s is None:
            await self._wait_news()
            return
        timer = self._loop.call_later(after_s, self._news.set)
        try:
            await self._wait_news()
        finally:
            timer.cancel()

    async def _wait_news(self) -> None:
        await self._news.wait()
        self._news.clear()

    async def _until(self, ready: Callable[[], bool], deadline: float, bell: Bell | None = None) -> bool:
        """Until a message has made ``ready`` true; False if it is not after ``deadline``. Without ``bell`` any message
        is looked at. Several may wait: each asks ``ready`` before it waits for news, so that another has cleared them
        costs nothing."""
        self._flush_links()
        ring = asyncio.Event()
        if bell is not None:
            bell.hang(ring.set)
        try:
            async with asyncio.timeout_at(deadline):
                while not ready():
                    if bell is None:
                        await self._wait_news()
                    else:
                        await ring.wait()
                        ring.clear()
        except TimeoutError:
            return ready()
        finally:
            if bell is not None:
                bell.unhang(ring.set)
        return True

    # ---- sockets

    def _on_door(self, door: Door) -> None:
        self._listen_to(door.socket)

    def _on_link(self, plug: zmq.Socket[bytes], link: Link) -> None:
        self._links_by_socket[plug] = link
        self._listen_to(plug)

    def _on_link_closed(self, plug: zmq.Socket[bytes]) -> None:
        self._links_by_socket.pop(plug, None)
        self._loop.remove_reader(self._fds.pop(plug))

    def _listen_to(self, plug: zmq.Socket[bytes]) -> None:
        fd = self._fds[plug] = int(plug.get(zmq.FD))
        self._loop.add_reader(fd, self._on_readable, plug)
        self._settle_soon()

    def _on_readable(self, plug: zmq.Socket[bytes]) -> None:
        self._readable.add(plug)
        self._settle_soon()

    def _on_birth_socket(self) -> None:
        if not self._sentry.hear():
            os._exit(HOST_GONE)

    def _flush_links(self) -> None:
        self._links.flush()
        self._settle_soon()

    def _settle_soon(self) -> None:
        if not self._is_settling:
            self._is_settling = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._is_settling = False
        if self._is_closed:
            return  # it was called for before the sockets were closed
        try:
            self._receive_all()
        except Exception as error:  # no descriptors for a socket, say: asyncio would log it, and a turn would wait on
            os._exit(turns.exit_status(error))
        self._news.set()
        self._repeat_later()

    def _receive_all(self) -> None:
        wires = self._wires
        now = time.monotonic()
        wires.hear_control()
        readable, self._readable = self._readable, set()
        for plug in readable:
            if plug in self._links_by_socket:
                self._links.pump(self._links_by_socket[plug], now)
        self._links.drain(now)
        if wires.door is not None:
            wires.door.pump(now, _MOST)
            if not wires.door.is_drained:
                self._settle_soon()
        wires.control.resend_due()
        wires.hear_control()  # after all that was sent over it

    def _repeat_later(self) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None
        after_s = self._wires.control.resend_due()
        if after_s is not None:
            self._repeat = self._loop.call_later(after_s + 0.001, self._settle)

    def _close(self) -> None:
        self._is_closed = True
        if self._repeat is not None:
            self._repeat.cancel()
        for fd in self._fds.values():
            self._loop.remove_reader(fd)
        self._fds.clear()
        self._links.on_close = lambda plug: None
        if not self._sentry.is_awake:
            self._loop.remove_reader(self._birth_socket)


def _both(gate: Gate, tell: Callable[[Call], None]) -> Callable[[Call], None]:
    def passed(call: Call) -> None:
        tell(call)
        gate.one_passed(call)

    return passed


_TURNS = frozenset({AsyncDesk._take_turn.__code__, AsyncDesk._take_mail.__code__, AsyncDesk._take_down.__code__})
"""What calls the author's code."""
_OPEN_TO = frozenset({AsyncContext.log.__code__})
