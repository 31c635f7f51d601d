"""The desk of an agent whose handler is a plain function: one thread does everything, nothing is handed over.

Here are its turns, from whatever begins them to what becomes of them. It waits in one place (``listening``), in an idle
agent and in a call alike; while a handler computes, that waits. What a handler asks for is in ``front_desk``.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from agenthost.agent import turn as turns
from agenthost.agent.agent import Agent, Message
from agenthost.agent.answer import NONE, answer_of
from agenthost.agent.as_needed import brake_of, committing, health_of, recalling, remedying, telling
from agenthost.agent.blocking import finish
from agenthost.agent.context import Context
from agenthost.agent.durable import Durable
from agenthost.agent.front_desk import FrontDesk
from agenthost.agent.journal_source import JournalSource
from agenthost.agent.listening import ALL, Listener
from agenthost.agent.loops import after_loop
from agenthost.agent.sentry import NO_MAIL, Sentry, say
from agenthost.agent.striking import Striker
from agenthost.agent.wires import Wires
from agenthost.errors import BudgetExhausted, ProtocolError
from agenthost.protocol import birth
from agenthost.transport.callee import Turn

if TYPE_CHECKING:
    from agenthost.agent.desks import Outcome
    from agenthost.agent.monitor import Ended
    from agenthost.protocol.mail import Mail

_BUSY_TURNS = 16
"""So many turns are taken before the control plane is looked at again."""

_SHORT_S = 0.001
"""After a turn longer than this, all that waits is let in before the next one: there may be a Cancel behind a Call."""


class SyncDesk(FrontDesk):
    def __init__(self, agent: Agent, wires: Wires, birth_socket: socket.socket, durable: Durable | None = None) -> None:
        certificate = wires.certificate
        durable = durable or Durable(certificate.inc, birth_socket)
        self._striker = Striker(_TURNS, _OPEN_TO)
        sentry = Sentry(birth_socket, certificate.beat_s, self._striker.strike)
        super().__init__(agent, wires, durable, sentry, Listener(wires, birth_socket, durable, sentry.hear))
        self._birth_socket, self._reaps = birth_socket, certificate.reap
        self._brake = durable.brake = brake_of(wires, durable)
        self._health = health_of(agent, wires, self._ask_judge)
        JournalSource(self._listener, durable, sentry)

    def listen(self, seconds: float) -> None:
        """Act on what arrives first, at most ``seconds`` from now."""
        self._listen(seconds)

    def close(self) -> None:
        """Of a desk that never ran; the end of a process needs none."""
        self._listener.close()

    def run(self) -> int:
        """Turns until the host asks for the end. Returns the exit status."""
        wires, callee, listener = self._wires, self._wires.callee, self._listener
        self._striker.begin(self._listener, self._sentry)
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
                listener.at_once = ALL
                status = self._take_turn(turn)
                wires.flush_door()
                if time.monotonic() - began < _SHORT_S:
                    listener.at_once = _BUSY_TURNS
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

    def _begin_turn(self, deadline: float | None, of: tuple[int, int] = NO_MAIL) -> Context:
        """The sentry reads the birth socket from the first turn on."""
        if not self._sentry.is_awake:
            self._listener.drop_birth_socket()
        if self._wires.drowsiness is not None:
            self._wires.drowsiness.stir()
        self._context = self._gathering = context = Context(self._path, self._inc, deadline, self)
        if self._brake is not None:
            self._brake.begin()
            context.brake = self._brake
        self._sentry.begin(context, of)
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
        context = self._begin_turn(None, (one.message, one.attempt))
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

    def _end_turn(self) -> None:
        """Nothing of the turn's tools is left after this, and nothing that it has told of itself leaves before."""
        self._context.is_over = True
        if self._durable.spending is not None:
            self._durable.spending.over(is_timed=self._sentry.has_told)
        if (self._kin is not None or self._reaps) and finish(self._my_kin().end_turn(reaps=self._reaps)):
            self._sentry.catch_up()

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


_TURNS = frozenset({SyncDesk._take_turn.__code__, SyncDesk._take_mail.__code__, SyncDesk._take_down.__code__})
"""What calls the author's code."""
_OPEN_TO = frozenset({Context.log.__code__})
