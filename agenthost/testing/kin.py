"""Desks without a host: what an agent asks for is done at once, in the test's process.

A plain agent's wish is fulfilled when it returns. An async agent's may be a task of the test's event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from agenthost.agent.asking import Asked
from agenthost.agent.bell import Bell
from agenthost.agent.blocking import finish
from agenthost.agent.durable import check_in_hand
from agenthost.agent.kin import Births, Kin, Names
from agenthost.agent.later import Post, Wish
from agenthost.agent.monitor import Monitors
from agenthost.agent.telling import Telling
from agenthost.errors import AgenthostError, NotRunning, TimedOut
from agenthost.protocol import control, wishes
from agenthost.protocol.codec import pack_body
from agenthost.testing.shelf import Killed, Shelf
from agenthost.testing.workbench import Workbench
from agenthost.transport.caller import TOOK, Call, Link

if TYPE_CHECKING:
    from agenthost.agent.async_context import AsyncContext
    from agenthost.agent.context import Context
    from agenthost.agent.desks import Outcome, Purse, Tell
    from agenthost.agent.loops import Brake
    from agenthost.testing.family import Member


class HarnessKin(Kin):
    """Has no wires: what would use them is done by the family."""

    def __init__(self, member: Member) -> None:
        self.path, self.agent = member.path, member.spec.get("agent", "")
        self.monitors = Monitors(keeps_untaken=callable(getattr(member.agent, "on_down", None)))
        self.names = Names()
        self._contacts: dict[str, int] = {}
        self.until = self._until_async if member.is_async else self._until
        self._member, self._family = member, member.family
        self.births = Births()
        self._turn = lambda: member.context
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble: BaseException | None = None
        self._tools = None
        self.bench = Workbench(self.path, self._tool_ended, is_async=member.is_async)
        self.plugs = self.bench

    @property
    def shelf(self) -> Shelf:
        return self._member.shelf

    # ---- the host's part

    def request(self, wish: wishes.Wish, on_answer: Callable[[Any], None] | None = None) -> Asked:
        asked = Asked(self._new_number(), on_answer)
        self._carry_out(lambda: self._do(wish), asked.answer)
        return asked

    def drop(self, asked: Asked) -> None:
        """It is carried out."""
        asked.on_answer = None

    def _do(self, wish: wishes.Wish) -> Any:
        family = self._family
        if isinstance(wish, wishes.Begin):
            member, started = family.begin(self.path, wish)
            if isinstance(started, Awaitable):
                return _then(started, lambda value: family.up(member, value))
            return family.up(member, started)
        if isinstance(wish, wishes.Run):
            return self.bench.run(wish)
        if isinstance(wish, wishes.End) and self.bench.has(wish.path):
            self.bench.end(wish.path, wish.how)
            return {"path": wish.path, "text": "ended"}
        if isinstance(wish, wishes.End):
            return self._end(wish)
        if isinstance(wish, wishes.Interrupt):
            raise NotRunning(f"no turn is in hand at {wish.path}")  # turns here take no time
        if isinstance(wish, wishes.Monitor):
            incarnation = family.incarnation_of(wish.path)
            return {
                "incarnation": incarnation,
                "reason": "" if incarnation else f"not running: there is no {wish.path}",
            }
        if isinstance(wish, wishes.Members):
            named = [one.path for one in family.members.values() if one.spec.get("group") == wish.group]
            paths = [*family.groups.get(wish.group, ()), *named]
            return [{"path": path, "incarnation": family.incarnation_of(path), "busy": False} for path in paths]
        return None  # Forget: the book has forgotten already

    def _end(self, wish: wishes.End) -> Any:
        member = self._family.members.get(wish.path)
        answer = {"path": wish.path, "text": "ended"}

        def ended(value: Any) -> Any:
            self._family.end(wish.path, f"{wish.how} by {self.path}", well=wish.how == "stop")
            return answer

        if member is None:
            return answer
        stopped = member.run(member.agent.on_stop, None) if wish.how == "stop" else None
        return _then(stopped, ended) if isinstance(stopped, Awaitable) else ended(None)

    # ---- calls

    def call(self, path: str, body: Any, deadline: float, on_outcome: Callable[[Call], None] | None = None) -> Call:
        number = self._contacts[path] = self._new_number()
        call = Call(number, Link(path, 0), b"", deadline, True, on_outcome)
        self._carry_out(
            lambda: self._family.call(path, body, self.path, deadline),
            lambda outcome: _settle(call, outcome if isinstance(outcome, AgenthostError) else pack_body(outcome)),
            path,
        )
        return call

    def post(self, path: str, body: Any) -> Call:
        number = self._contacts[path] = self._new_number()
        call = Call(number, Link(path, 0), b"", None, False, None)
        _settle(call, TOOK)
        self._carry_out(lambda: self._family.send(path, body, self.path), lambda outcome: None, path)
        return call

    def abandon(self, call: Call, why: str) -> None:
        _settle(call, TimedOut(f"cannot get an answer from {call.link.path}: {why}"))

    def load_of(self, path: str) -> int:
        return 0

    def contact_with(self, path: str) -> int:
        return self._contacts.get(path, 0)

    def look(self) -> None:
        """Nothing can be unheard."""

    # ---- waiting

    async def _until(self, ready: Callable[[], bool], deadline: float, bell: Bell | None = None) -> bool:
        while not ready():  # all but the end of a tool has come true
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self.bench.listen(left_s):
                return ready()
        return True

    async def _until_async(self, ready: Callable[[], bool], deadline: float, bell: Bell | None = None) -> bool:
        family = self._family
        family.news = family.news or asyncio.Event()
        try:
            async with asyncio.timeout_at(deadline):
                while not ready():
                    self._raise_trouble()
                    await family.news.wait()
                    family.news.clear()
        except TimeoutError:
            return ready()
        self._raise_trouble()
        return True

    def _tool_ended(self, down: control.Down) -> None:
        self.monitors.down(down)
        self._family.poke()

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble

    def _carry_out(self, deed: Callable[[], Any], tell: Callable[[Any], None], path: str = "") -> None:
        """``tell`` is told the value of ``deed``, or the error that stands for it. ``path``: who does it."""
        from agenthost.testing.family import as_error

        family, member = self._family, self._family.members.get(path)
        try:
            value = deed()
            if not isinstance(value, Awaitable) or not self._member.is_async:
                value = family.settle(value)
        except Exception as error:  # an author's handler may raise anything
            value = as_error(member, error, family)
        if isinstance(value, Awaitable):
            task = asyncio.get_running_loop().create_task(self._wait(value, tell, member))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            tell(value)
            family.poke()

    async def _wait(self, value: Awaitable[Any], tell: Callable[[Any], None], member: Member | None) -> None:
        from agenthost.testing.family import as_error

        try:
            outcome = await value
        except Exception as error:  # as in _carry_out
            try:
                outcome = as_error(member, error, self._family)
            except Exception as trouble:  # the test's own answer raised it: whoever waits raises it on
                self._trouble = trouble
                self._family.poke()
                return
        except Killed as end:
            self._trouble = end
            self._family.poke()
            return
        tell(outcome)
        self._family.poke()

    def later(self, wish: Wish) -> None:
        if isinstance(wish, Post) and not wish.due_ms:
            self.post(wish.path, wish.body)
        else:
            self._family.later.heed(self._member.path, wish)

    def _new_number(self) -> int:
        self._number += 1
        return self._number


class Desk:
    """Of a plain agent."""

    def __init__(self, kin: HarnessKin) -> None:
        self._kin = kin

    def ask(self, path: str, body: Any, deadline: float, brake: Brake | None = None) -> Outcome:
        return self.exchange([(path, body)], deadline, brake=brake)[0]

    def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None, brake: Brake | None = None
    ) -> list[Outcome]:
        return finish(_exchange(self._kin, wishes, deadline, tell, brake))

    def deliver(self, path: str, body: Any, deadline: float) -> None:
        self._kin.post(path, body)

    def post(self, context: Context, path: str, body: Any, deadline: float) -> None:
        self._kin.post(path, body)

    def later(self, context: Context, wish: Wish, deadline: float) -> None:
        self._kin.later(wish)

    def account(self, context: Any) -> Telling:
        check_in_hand(not context.is_over)
        return self._kin.shelf.log.telling

    def purse(self, context: Any) -> Purse:
        return self._kin.shelf

    def keep_checkpoint(self, context: Any, name: str) -> None:
        self._kin.shelf.keep_checkpoint(name, in_turn=not context.is_over)

    def roll_back(self, context: Context, name: str, deadline: float) -> None:
        self._kin.shelf.roll_back(name, in_turn=not context.is_over)

    def locate(self, path: str, deadline: float) -> str | None:
        return self._kin._family.incarnation_of(path) or None

    def is_stopping(self) -> bool:
        return self._kin._family.stopping

    def kin(self) -> Kin:
        return self._kin


class AsyncDesk:
    def __init__(self, kin: HarnessKin) -> None:
        self._kin = kin

    async def ask(self, path: str, body: Any, deadline: float, brake: Brake | None = None) -> Outcome:
        return (await self.exchange([(path, body)], deadline, brake=brake))[0]

    async def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None, brake: Brake | None = None
    ) -> list[Outcome]:
        return await _exchange(self._kin, wishes, deadline, tell, brake)

    async def deliver(self, path: str, body: Any, deadline: float) -> None:
        self._kin.post(path, body)

    async def post(self, context: AsyncContext, path: str, body: Any, deadline: float) -> None:
        self._kin.post(path, body)

    async def later(self, context: AsyncContext, wish: Wish, deadline: float) -> None:
        self._kin.later(wish)

    def account(self, context: Any) -> Telling:
        check_in_hand(not context.is_over)
        return self._kin.shelf.log.telling

    def purse(self, context: Any) -> Purse:
        return self._kin.shelf

    def keep_checkpoint(self, context: Any, name: str) -> None:
        self._kin.shelf.keep_checkpoint(name, in_turn=not context.is_over)

    async def roll_back(self, context: AsyncContext, name: str, deadline: float) -> None:
        self._kin.shelf.roll_back(name, in_turn=not context.is_over)

    async def locate(self, path: str, deadline: float) -> str | None:
        return self._kin._family.incarnation_of(path) or None

    def is_stopping(self) -> bool:
        return self._kin._family.stopping

    def kin(self) -> Kin:
        return self._kin


async def _exchange(
    kin: HarnessKin, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None, brake: Brake | None
) -> list[Outcome]:
    if brake is not None:
        for path, body in wishes:
            brake.call(path, body)
    calls = [kin.call(path, body, deadline) for path, body in wishes]
    outcomes = []
    for nth, call in enumerate(calls):
        outcomes.append(await kin.outcome(call, deadline))
        if tell is not None:
            tell(nth, outcomes[-1], True)
    return outcomes


async def _then(first: Awaitable[Any], rest: Callable[[Any], Any]) -> Any:
    return rest(await first)


def _settle(call: Call, outcome: Any) -> None:
    if call.outcome is None:
        call.outcome, call.is_had = outcome, True
        if call.on_outcome is not None:
            call.on_outcome(call)
