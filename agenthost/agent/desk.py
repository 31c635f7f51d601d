"""The desk of an agent whose handler is a plain function: one thread does everything, nothing is handed over.

It waits in one epoll(7), in an idle agent and in a call alike; the control plane comes first. While a handler waits for
an answer, what arrives meanwhile is put into the mailbox and Stop is acknowledged; while it computes, that waits.

epoll over ZeroMQ's descriptors, after a receive that found nothing, is faster than zmq_poll(3), which asks every socket
twice, and than a blocking receive: a round trip of 65 us instead of 105 (pyzmq 27.3, libzmq 4.3.5).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

import zmq

from agenthost.agent import turn as turns
from agenthost.agent.agent import Agent, Message
from agenthost.agent.answer import NONE, answer_of
from agenthost.agent.blocking import finish
from agenthost.agent.context import Context, Outcome, Purse, Tell
from agenthost.agent.durable import Durable, check_in_hand
from agenthost.agent.interruption import SIGNAL, Interruption, is_authors, is_waiting_for_author
from agenthost.agent.loops import Brake, after_loop
from agenthost.agent.progress import steps
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
    from agenthost.agent.health import Health
    from agenthost.agent.judging import Ask
    from agenthost.agent.kin import Kin
    from agenthost.agent.later import Wish
    from agenthost.agent.monitor import Ended
    from agenthost.agent.telling import Telling
    from agenthost.protocol.mail import Mail

_BUSY_TURNS = 16
"""So many turns are taken before the control plane is looked at again."""

_ALL = 1000
_SHORT_S = 0.001
"""After a turn longer than this, all that waits is let in before the next one: there may be a Cancel behind a Call."""

_Source = Link | Door | Wires | socket.socket | Callable[[], None]


class SyncDesk:
    def __init__(self, agent: Agent, wires: Wires, birth_socket: socket.socket, durable: Durable | None = None) -> None:
        self._agent, self._wires, self._birth_socket = agent, wires, birth_socket
        self._durable = durable or Durable(wires.certificate.inc, birth_socket)
        self._brake = self._durable.brake = brake_of(wires, self._durable)
        self._health = health_of(agent, wires, self._ask_judge)
        self._caller, self._links = wires.caller, wires.links
        self._sentry = Sentry(birth_socket, wires.certificate.beat_s, self._strike)
        self._is_waiting = False
        """In epoll, where an interruption may strike."""
        self._path, self._inc = wires.certificate.path, wires.certificate.inc
        self._context = Context(self._path, self._inc, None, self)
        """Of the turn in hand, or of the last one."""
        self._kin: Kin | None = None
        self._reaps = wires.certificate.reap
        self._gathering: Context | None = None
        """Of the turn in hand: what it sends leaves with its commit."""
        self._awaited: Call | None = None
        self._at_once = _ALL
        self._epoll = select.epoll()
        self._sources: dict[int, _Source] = {}
        self._listen_to(wires.control.socket, wires)
        self._add_source(birth_socket.fileno(), birth_socket)
        self._journal_mask = 0
        self._sentry.on_budget = self._durable.heed_budget
        self._sentry.on_door = lambda number, descriptor: self._durable.open().came(number, descriptor)
        self._durable.on_door = self._on_journal_door
        if self._durable.door is not None:
            self._on_journal_door(self._durable.door)
        wires.on_door = lambda door: self._listen_to(door.socket, door)
        wires.links.on_open = self._listen_to
        wires.links.on_close = lambda plug: self._drop_source(int(plug.get(zmq.FD)))

    def listen(self, seconds: float) -> None:
        """Act on what arrives first, at most ``seconds`` from now."""
        self._listen(seconds)

    def close(self) -> None:
        """Of a desk that never ran; the end of a process needs none."""
        self._epoll.close()

    def run(self) -> int:
        """Turns until the host asks for the end. Returns the exit status."""
        wires, callee = self._wires, self._wires.callee
        self._main_thread = threading.get_ident()
        signal.signal(SIGNAL, self._on_signal)
        wires.expect_early()
        if wires.certificate.drowsy_s:
            self._durable.preload()
        say(self._birth_socket, birth.Up())
        wires.say_ready()
        wires.say_birth = lambda message: say(self._birth_socket, message)
        wires.rest_after(wires.certificate.drowsy_s)
        while True:
            for _ in range(_BUSY_TURNS):
                began = time.monotonic()
                turn = callee.take(began)
                if turn is None:
                    break
                self._at_once = _ALL
                status = self._take_turn(turn)
                wires.flush_door()
                if time.monotonic() - began < _SHORT_S:
                    self._at_once = _BUSY_TURNS
                if status is not None:
                    return status
            wires.flush_door()  # what take() passed over
            if wires.stop is not None:
                return self._stop()
            durable = self._durable
            if durable.mail is not None:
                status = self._take_mail(durable)
                if status is not None:
                    return status
                continue
            if durable.waits:
                committing().take(durable)
            if self._kin is not None and (down := self._kin.take_down()) is not None:
                status = self._take_down(down)
                if status is not None:
                    return status
                continue
            if wires.drowsiness is None or callee.queued:
                self._listen(0.0 if callee.queued else None)
            elif wires.sleep is not None:
                if wires.try_sleep(self._has_work):
                    return self._stop()
            else:
                self._listen(wires.drowsiness.look(time.monotonic()))

    def _begin_turn(self, deadline: float | None) -> Context:
        """The sentry reads the birth socket from the first turn on."""
        if not self._sentry.is_awake:
            self._drop_source(self._birth_socket.fileno())
        if self._wires.drowsiness is not None:
            self._wires.drowsiness.stir()
        self._context = self._gathering = context = Context(self._path, self._inc, deadline, self)
        if self._brake is not None:
            self._brake.begin()
            context.brake = self._brake
        self._sentry.begin(context)
        if self._durable.spending is not None:
            self._durable.spending.begin(self._sentry.turn)
        return context

    def _has_work(self) -> bool:
        """Something waits that is not in the mailbox, or is awaited."""
        return self._durable.has_work or (self._kin is not None and self._kin.is_watching)

    def _take_turn(self, turn: Turn) -> int | None:
        callee = self._wires.callee
        self._settle_idle()
        try:
            message = turns.open_message(turn)
        except ProtocolError as error:
            return turns.fail(callee, turn, error)
        if self._durable.spending is not None and (why := self._durable.spending.refusal()):
            return turns.fail(callee, turn, BudgetExhausted(f"cannot begin a turn: {why}"))
        context = self._begin_turn(turn.deadline)
        try:
            try:
                reply = self._agent.handle(message, context)
                self._examine(message, reply, context)
            finally:
                self._end_turn()
            if context.interrupted:
                self._sentry.check()
            packed = turns.pack_reply(turn, reply)
            if self._durable.is_used:
                self._commit()
            callee.reply(turn, packed)
        except BaseException as error:  # whatever the author's code raises ends the turn, and is sorted in fail()
            self._durable.revert()
            error = turns.after_interruption(after_loop(error, self._brake), self._sentry.struck_by())
            return turns.fail(callee, turn, error)
        finally:
            self._sentry.end()
        return None

    def _take_mail(self, durable: Durable) -> int | None:
        """A turn of durable mail. Returns the status to exit with, None if the agent goes on."""
        one, durable.mail = durable.mail, None
        assert one is not None
        durable.in_hand = one
        context = self._begin_turn(None)
        try:
            context.attempt = finish(recalling().attempt_of(durable, self._until, one))
            message = committing().open_mail(one)
            if self._brake is not None:
                self._brake.attend(one, context.attempt)
            try:
                if one.remedy is not None:
                    finish(remedying().apply(durable, self._until, one.remedy, context.attempt))
                reply = self._agent.handle(message, context)
                self._examine(message, reply, context, one)
            finally:
                self._end_turn()
            if context.interrupted:
                self._sentry.check()
            is_free = not self._wires.callee.queued and self._wires.stop is None
            if durable.in_hand is not one:  # Undone, and the handler has not let it pass
                raise turns.Undone
            durable.waits = durable.waits or not is_free
            if one.in_session:
                telling().reply(durable, one, reply)
            self._commit(of=one, take=is_free)
        except BaseException as error:  # as in _take_turn
            self._gathering = None
            return self._mail_failed(durable, one, error)
        finally:
            self._sentry.end()
        return None

    def _mail_failed(self, durable: Durable, one: Mail, error: BaseException) -> int | None:
        error = turns.after_interruption(after_loop(error, self._brake), self._sentry.struck_by())
        try:
            self._settle()  # or nobody knew yet that it is ours
        except turns.Undone:
            pass  # as is seen below
        except SystemExit as end:
            error = end
        if durable.in_hand is not one and not isinstance(error, SystemExit):
            durable.revert()  # the handler may have gone on all the same
            return None
        status: int | None = finish(committing().failed(durable, self._until, one, error))
        return status

    def _settle(self) -> None:
        """All that was said is true, so the turn in hand may be seen."""
        ahead = self._durable.ahead
        if ahead is not None and ahead.is_open:
            finish(ahead.settle(self._durable, self._until))

    def _settle_idle(self) -> None:
        """As ``_settle``, between two turns."""
        with contextlib.suppress(turns.Undone):
            self._settle()

    def _examine(self, message: Message, reply: Any, context: Context, one: Mail | None = None) -> None:
        """The answer, before anybody gets it. Raises what the turn fails of."""
        if self._brake is not None:
            self._brake.end_turn()
        answer = reply if one is None else answer_of(reply, self._durable.telling)
        if answer is NONE:
            return
        if one is not None and one.in_session and self._brake is not None:
            self._brake.answered(answer)
        if self._health is not None:
            finish(self._health.examine(message, answer, context))

    async def _ask_judge(self, path: str, body: Any, deadline: float) -> Outcome:
        return self.ask(path, body, deadline)

    def _commit(self, of: Mail | None = None, *, take: bool = False) -> None:
        self._gathering = None
        finish(committing().commit(self._durable, self._until, of=of, take=take))

    def _take_down(self, down: Ended) -> int | None:
        """A turn of ``on_down``. Returns the status to exit with, None if the agent goes on."""
        self._settle_idle()
        context = self._begin_turn(None)
        try:
            try:
                self._agent.on_down(down, context)  # type: ignore[attr-defined]  # an agent without it gets no such turn
                if self._brake is not None:
                    self._brake.end_turn()
            finally:
                self._end_turn()
            if self._durable.is_used:
                self._commit()
        except BaseException as error:  # as in _take_turn
            self._durable.revert()
            return turns.status_after(error)
        finally:
            self._sentry.end()
        return None

    def _stop(self) -> int:
        try:
            self._settle_idle()
            if self._durable.mail is not None:
                finish(committing().give_back(self._durable, self._until))
            self._context = self._gathering = context = Context(self._path, self._inc, None, self)
            try:
                self._agent.on_stop(context)
            finally:
                self._end_turn()
            if self._durable.is_used:
                self._commit()
        except BaseException as error:  # the author's code; the exit status tells the host
            return turns.exit_status(error)
        return 0

    # ---- what a context asks for

    def ask(self, path: str, body: Any, deadline: float) -> Outcome:
        packed = check_size(pack_body(body))
        self._settle()
        now = time.monotonic()
        if self._durable.spending is not None:
            self._durable.spending.called(1)
        call = self._caller.call(path, packed, deadline, now)
        self._awaited = call
        self._links.flush()
        try:
            while call.outcome is None:
                left_s = deadline - time.monotonic()
                if left_s > 0:
                    self._listen(left_s)
                else:
                    self._abandon([call], "its time is over")
        except BaseException:  # a signal's handler raised: nobody waits for it any more
            self._abandon([call], "interrupted")
            raise
        finally:
            self._awaited = None
        steps.count += 1
        return call.decoded()

    def exchange(self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None) -> list[Outcome]:
        bodies = [(path, check_size(pack_body(body))) for path, body in wishes]
        self._settle()
        now = time.monotonic()
        if self._durable.spending is not None:
            self._durable.spending.called(len(bodies))
        if tell is None:
            calls = [self._caller.call(path, body, deadline, now) for path, body in bodies]
        else:
            calls = [
                self._caller.call(path, body, deadline, now, teller(tell, nth))
                for nth, (path, body) in enumerate(bodies)
            ]
        self._wait(calls, deadline)
        return [call.decoded() for call in calls]

    def deliver(self, path: str, body: Any, deadline: float) -> None:
        packed = check_size(pack_body(body))
        self._settle()
        call = self._caller.cast(path, packed, time.monotonic())
        self._wait([call], deadline)
        if isinstance(call.outcome, AgenthostError):
            raise call.outcome

    def post(self, context: Context, path: str, body: Any, deadline: float) -> None:
        packed, in_turn = check_size(pack_body(body)), context is self._gathering
        finish(committing().post(self._durable, self._until, path, packed, deadline, in_turn=in_turn))

    def account(self, context: Context) -> Telling:
        check_in_hand(context is self._gathering)
        self._settle()
        return self._durable.tell()

    def purse(self, context: Context) -> Purse:
        book = self._durable.spend_book()
        if context is self._context and not context.is_over:
            book.is_in(self._sentry.turn)
        return book

    def keep_checkpoint(self, context: Context, name: str) -> None:
        self._durable.keep_checkpoint(name, in_turn=context is self._gathering)

    def roll_back(self, context: Context, name: str, deadline: float) -> None:
        in_turn = context is self._gathering
        self._settle()
        finish(committing().roll_back(self._durable, self._until, name, deadline, in_turn=in_turn))

    def later(self, context: Context, wish: Wish, deadline: float) -> None:
        from agenthost.agent.later_mail import carry_out

        in_turn = context is self._gathering
        self._settle()
        finish(carry_out(self._durable, self._until, wish, deadline, in_turn=in_turn))

    def locate(self, path: str, deadline: float) -> str | None:
        if path == self._path:
            return self._inc
        self._settle()
        link = self._caller.look(path)
        if not self._wait_until(lambda: link.state != LOOKING, deadline):
            raise TimedOut(f"cannot find {path}: the host did not answer in time")
        return link.inc or None

    def kin(self) -> Kin:
        self._settle()
        return self._my_kin()

    def _my_kin(self) -> Kin:
        if self._kin is None:
            from agenthost.agent.kin import Kin

            has_on_down = callable(getattr(self._agent, "on_down", None))
            flush = self._links.flush
            self._kin = Kin(self._wires, lambda: self._context, self._until, flush, self, has_on_down=has_on_down)
        return self._kin

    def _end_turn(self) -> None:
        """Nothing of the turn's tools is left after this, and nothing that it has told of itself leaves before."""
        self._context.is_over = True
        if self._durable.spending is not None:
            self._durable.spending.over(is_timed=self._sentry.has_told)
        if (self._kin is not None or self._reaps) and finish(self._my_kin().end_turn(reaps=self._reaps)):
            self._sentry.catch_up()

    # ---- pipes of tools

    def attach(self, descriptor: int, wake: Callable[[], None], *, writes: bool = False) -> None:
        self._sources[descriptor] = wake
        self._epoll.register(descriptor, select.EPOLLOUT if writes else select.EPOLLIN)

    def detach(self, descriptor: int) -> None:
        """Before it is closed. Twice does no harm."""
        if descriptor in self._sources:
            self._drop_source(descriptor)

    def give(self, number: int, descriptors: list[int]) -> None:
        give_streams(self._birth_socket, number, descriptors)

    # ---- the journal

    def _on_journal_door(self, door: JournalDoor) -> None:
        from agenthost.agent.ahead import Ahead

        self._durable.ahead = Ahead()
        door.hear_birth = self._sentry.hear
        door.is_heard_elsewhere = lambda: self._sentry.is_awake
        door.on_came, door.on_close = self._on_journal_came, self.detach
        door.on_blocked = self._on_journal_blocked
        for packet in door.packets:
            self._sentry.obey(packet, [])
        door.packets.clear()
        if door.sock is not None:
            self._on_journal_came(door.sock.fileno())

    def _on_journal_came(self, descriptor: int) -> None:
        """In the sentry's thread perhaps. That it can be written to wakes the desk."""
        self._journal_mask = select.EPOLLIN | select.EPOLLOUT
        self._sources[descriptor] = self._on_journal
        self._epoll.register(descriptor, self._journal_mask)

    def _on_journal_blocked(self) -> None:
        self._heed_journal(select.EPOLLIN | select.EPOLLOUT)

    def _on_journal(self) -> None:
        door = self._durable.open()
        door.adopt()
        door.pump()
        if door.is_blocked:
            door.flush()
        self._heed_journal(select.EPOLLIN | (select.EPOLLOUT if door.is_blocked else 0))

    def _heed_journal(self, mask: int) -> None:
        door = self._durable.door
        if door is not None and door.sock is not None and mask != self._journal_mask:
            self._journal_mask = mask
            self._epoll.modify(door.sock.fileno(), mask)

    def is_stopping(self) -> bool:
        self._wires.hear_control()
        return self._wires.stop is not None

    # ---- being interrupted

    def _strike(self, interruption: Interruption) -> None:
        """In the sentry's thread."""
        signal.pthread_kill(self._main_thread, SIGNAL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Where it must not strike it does nothing, and is called again."""
        one = self._sentry.to_strike()
        if one is None:
            return
        if self._is_waiting:
            may = is_waiting_for_author(frame, _TURNS)
        else:
            may = is_authors(frame, _TURNS, _OPEN_TO)
        if may:
            self._is_waiting = False
            self._sentry.struck(one)
            raise one.error()

    # ---- waiting

    async def _until(self, ready: Callable[[], bool], deadline: float, bell: Bell | None = None) -> bool:
        """For ``Kin``: never suspended. All that arrives is looked at, so nobody rings."""
        return self._wait_until(ready, deadline)

    def _wait_until(self, ready: Callable[[], bool], deadline: float) -> bool:
        """Until a message has made ``ready`` true; False if it is not after ``deadline``."""
        self._links.flush()
        while not ready():
            left_s = deadline - time.monotonic()
            if left_s <= 0:  # and no second look at the clock: epoll_wait(2) takes less than 0 for ever
                return False
            self._listen(left_s)
        return True

    def _wait(self, calls: list[Call], deadline: float) -> None:
        """Until each has an outcome; after ``deadline`` that is ``TimedOut``."""
        links = self._links
        links.flush()
        done, count = 0, len(calls)
        try:
            while True:
                while done < count and calls[done].outcome is not None:
                    done += 1
                    steps.count += 1
                if done == count:
                    return
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    self._abandon(calls[done:], "its time is over")
                else:
                    self._listen(left_s)
        except BaseException:  # a signal's handler raised: nobody waits for these any more
            self._abandon(calls[done:], "interrupted")
            raise

    def _abandon(self, calls: list[Call], why: str) -> None:
        for call in calls:
            self._caller.abandon(call, TimedOut(f"cannot get an answer from {call.link.path}: {why}"))
        self._links.flush()

    def _listen(self, seconds: float | None) -> None:
        """Wait until something arrives or is to be repeated, at most ``seconds``, and act on it.

        Before it blocks, every socket that something was sent over has been found empty: the send may have swallowed
        the edge.
        """
        told = self._durable.telling
        if told is not None and told.has_unsaid:
            told.flush()
        wires = self._wires
        repeat_s = wires.control.resend_due() if wires.control.unanswered else None
        if (wires.spoke or repeat_s is not None) and wires.hear_control():
            return
        if self._links.undrained and self._links.drain(time.monotonic(), self._awaited):
            seconds = 0.0
        door = wires.door
        if door is not None and not door.is_drained and door.pump(time.monotonic(), self._at_once):
            seconds = 0.0  # so a flood cannot keep us from the control plane
        if repeat_s is not None and (seconds is None or repeat_s < seconds):
            seconds = repeat_s
        self._is_waiting = True
        ready = self._epoll.poll(seconds)
        self._is_waiting = False
        if len(ready) > 1:
            ready.sort(key=self._is_data)
        for fd, _ in ready:
            source = self._sources.get(fd)
            if type(source) is Link:
                self._links.pump(source, time.monotonic(), self._awaited)
            elif type(source) is Door:
                source.pump_one(time.monotonic())
            elif type(source) is Wires:
                source.hear_control()
            elif type(source) is socket.socket:
                if not self._sentry.hear():
                    os._exit(HOST_GONE)
            elif source is not None:
                source()  # type: ignore[operator]  # what is left is a pipe's

    def _is_data(self, event: tuple[int, int]) -> bool:
        """Sorts the control plane first."""
        return type(self._sources.get(event[0])) in (Link, Door)

    def _listen_to(self, plug: zmq.Socket[bytes], source: _Source) -> None:
        self._add_source(int(plug.get(zmq.FD)), source)

    def _add_source(self, fd: int, source: _Source) -> None:
        self._sources[fd] = source
        self._epoll.register(fd, select.EPOLLIN)

    def _drop_source(self, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._sources[fd]


def teller(tell: Tell, nth: int) -> Callable[[Call], None]:
    return lambda call: tell(nth, call.decoded(), call.is_had)


def brake_of(wires: Wires, durable: Durable) -> Brake | None:
    loops = wires.certificate.loops
    return None if loops is None else Brake(loops, lambda found: committing().last_word(durable, found))


def health_of(agent: Agent, wires: Wires, ask: Ask) -> Health | None:
    """Nothing is imported for an agent of whose answers nothing is asked."""
    certificate = wires.certificate
    if certificate.schema is None and certificate.judge is None and not hasattr(agent, "check"):
        return None
    from agenthost.agent.health import Health

    return Health(agent, certificate.schema, certificate.judge, ask)


def telling() -> ModuleType:
    """As ``committing``."""
    from agenthost.agent import telling as module

    return module


def recalling() -> ModuleType:
    """As ``committing``."""
    from agenthost.agent import recalling as module

    return module


def remedying() -> ModuleType:
    """As ``committing``."""
    from agenthost.agent import remedying as module

    return module


def committing() -> ModuleType:
    """Imported when it is needed first; in an agent of a zygote it is there."""
    from agenthost.agent import committing as module

    return module


_TURNS = frozenset({SyncDesk._take_turn.__code__, SyncDesk._take_mail.__code__, SyncDesk._take_down.__code__})
"""What calls the author's code."""
_OPEN_TO = frozenset({Context.log.__code__})
