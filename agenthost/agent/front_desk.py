"""What a context asks of a plain agent's desk, and the waiting for it.

While a handler waits for an answer, what arrives meanwhile is put into the mailbox and Stop is acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agenthost.agent.as_needed import committing
from agenthost.agent.blocking import finish
from agenthost.agent.context import Context
from agenthost.agent.durable import Durable, check_in_hand
from agenthost.agent.listening import Listener
from agenthost.agent.progress import steps
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


class FrontDesk:
    """The turns are its subclass's, ``desk.SyncDesk``."""

    def __init__(self, agent: Agent, wires: Wires, durable: Durable, sentry: Sentry, listener: Listener) -> None:
        self._agent, self._wires, self._durable = agent, wires, durable
        self._sentry, self._listener, self._listen = sentry, listener, listener.listen
        self._caller, self._links = wires.caller, wires.links
        self._path, self._inc = wires.certificate.path, wires.certificate.inc
        self._context = Context(self._path, self._inc, None, self)
        """Of the turn in hand, or of the last one."""
        self._gathering: Context | None = None
        """Of the turn in hand: what it sends leaves with its commit."""
        self._kin: Kin | None = None

    # ---- other agents

    def ask(self, path: str, body: Any, deadline: float, brake: Brake | None = None) -> Outcome:
        packed = check_size(pack_body(body))
        if brake is not None:
            brake.call(path, body, packed)
        self._settle()
        now = time.monotonic()
        if self._durable.spending is not None:
            self._durable.spending.called(1)
        call = self._caller.call(path, packed, deadline, now)
        self._listener.awaited = call
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
            self._listener.awaited = None
        steps.count += 1
        return call.decoded()

    def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None, brake: Brake | None = None
    ) -> list[Outcome]:
        bodies = [(path, check_size(pack_body(body))) for path, body in wishes]
        if brake is not None:
            brake.calls(wishes, bodies)
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

    def locate(self, path: str, deadline: float) -> str | None:
        if path == self._path:
            return self._inc
        self._settle()
        link = self._caller.look(path)
        if not self._wait_until(lambda: link.state != LOOKING, deadline):
            raise TimedOut(f"cannot find {path}: the host did not answer in time")
        return link.inc or None

    # ---- what a turn leaves

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

    def _settle(self) -> None:
        """All that was said is true, so the turn in hand may be seen."""
        ahead = self._durable.ahead
        if ahead is not None and ahead.is_open:
            finish(ahead.settle(self._durable, self._until))

    # ---- the host

    def kin(self) -> Kin:
        self._settle()
        return self._my_kin()

    def _my_kin(self) -> Kin:
        if self._kin is None:
            from agenthost.agent.kin import Kin

            has_on_down = callable(getattr(self._agent, "on_down", None))
            flush, plugs = self._links.flush, self._listener
            self._kin = Kin(self._wires, lambda: self._context, self._until, flush, plugs, has_on_down=has_on_down)
        return self._kin

    def is_stopping(self) -> bool:
        self._wires.hear_control()
        return self._wires.stop is not None

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


def teller(tell: Tell, nth: int) -> Callable[[Call], None]:
    return lambda call: tell(nth, call.decoded(), call.is_had)
