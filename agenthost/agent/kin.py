"""What children, scopes, monitors and groups need of an agent's desk: requests to the host, calls, and waiting.

They are written once, as coroutines. An async agent awaits them. In a plain one nothing in them is ever suspended:
its ``until`` waits in the desk's epoll and returns, so :func:`blocking.finish` runs them to their end in one go.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from agenthost.agent.asking import Asked, Requests, request
from agenthost.agent.bell import Bell
from agenthost.agent.deadlines import LONGEST_S, within
from agenthost.agent.monitor import AsyncMonitor, Ended, Monitors, Watch
from agenthost.errors import AgenthostError, TimedOut
from agenthost.protocol import wishes
from agenthost.protocol.codec import pack_body
from agenthost.transport.caller import Call
from agenthost.transport.data import check_size

if TYPE_CHECKING:
    from agenthost.agent.tool_pipes import Plugs
    from agenthost.agent.tools import Tools
    from agenthost.agent.wires import Wires

MOST_BEGINNING = 32
"""Children that are asked for at a time; the host takes 64 of one agent."""
MOST_NAMES = 10_000
"""That authors have given and that are remembered; after that none counts as new."""


class Names:
    """Of children. What an author has named is remembered for a while, what was named here is never given twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._is_full = False
        self._next: dict[str, int] = {}

    def make(self, stem: str) -> str:
        """ "sub" is "sub-1", "sub-2", ..."""
        while True:
            number = self._next[stem] = self._next.get(stem, 0) + 1
            if f"{stem}-{number}" not in self._given:
                return f"{stem}-{number}"

    def give(self, name: str) -> bool:
        """The author's own. True if it is sure that no child has it."""
        is_new = name not in self._given and not self._is_full
        self._given.add(name)
        if len(self._given) > MOST_NAMES:
            self._given.clear()
            self._is_full = True
        return is_new


class Births:
    """Of children, over all scopes: ``beginning`` counts those that the host has been asked for and has not answered.
    Who waits for room does so in the order in which it came, and is woken for a place, not for every answer."""

    def __init__(self, most: int = MOST_BEGINNING) -> None:
        self._most = most
        self._beginning: set[object] = set()
        self._waiting: dict[Bell, None] = {}
        self.put_off = 0
        """How often the host could not end one yet."""

    @property
    def has_room(self) -> bool:
        return len(self._beginning) < self._most

    def begun(self, birth: object) -> None:
        self._beginning.add(birth)

    def over(self, birth: object) -> None:
        """The host has answered, or is not asked any more."""
        self._beginning.discard(birth)
        self._wake()

    def wait(self, bell: Bell) -> None:
        self._waiting[bell] = None

    def waited(self, bell: Bell) -> None:
        """It has its place, or wants none any more."""
        self._waiting.pop(bell, None)
        self._wake()

    def _wake(self) -> None:
        for bell in list(islice(self._waiting, max(0, self._most - len(self._beginning)))):
            bell.ring()


class Turn(Protocol):
    """The context of the turn in hand."""

    deadline: float | None

    def _limit(self, timeout: float | None) -> float: ...


class Until(Protocol):
    """Waits for what only a message can make true; False after the deadline. ``bell`` rings when it may have."""

    def __call__(self, ready: Callable[[], bool], deadline: float, bell: Bell | None = None) -> Awaitable[bool]: ...


class Kin:
    """``flush`` sends what lies in the links, and sees to it that answers are heard."""

    def __init__(
        self,
        wires: Wires,
        turn: Callable[[], Turn],
        until: Until,
        flush: Callable[[], None],
        plugs: Plugs,
        *,
        has_on_down: bool,
    ) -> None:
        self.path, self.agent = wires.certificate.path, wires.certificate.agent
        self.until, self._flush, self._turn, self._wires = until, flush, turn, wires
        self.monitors = Monitors(keeps_untaken=has_on_down)
        self.names = Names()
        self._requests = Requests()
        self.births = Births()
        self.plugs = plugs
        self._tools: Tools | None = None
        wires.on_answer = self._requests.heard
        wires.on_down = self.monitors.down

    # ---- the host

    def request(self, wish: wishes.Wish, on_answer: Callable[[Any], None] | None = None) -> Asked:
        """Ask, and again until it is answered."""
        number = self._wires.caller.new_id()
        frame = request(number, wish)
        asked = self._requests.open(number, on_answer)
        self._wires.ask(number, frame)
        self._flush()
        return asked

    def drop(self, asked: Asked) -> None:
        """Ask no more. What was asked may still be done."""
        self._requests.drop(asked)
        self._wires.control.answered(asked.id)

    async def answer(self, asked: Asked, deadline: float, what: str) -> Any:
        """The result. Raises the host's error, or ``TimedOut``: then it is asked no more."""
        try:
            if not await self.until(lambda: asked.is_answered, deadline, asked.bell):
                raise TimedOut(f"cannot {what}: the host did not answer in time")
        finally:
            if not asked.is_answered:
                self.drop(asked)
        if isinstance(asked.outcome, AgenthostError):
            raise asked.outcome
        return asked.outcome

    async def monitor(self, path: str) -> AsyncMonitor:
        watch = Watch(path, None)
        deadline = self.limit(None)
        self.watch(watch)
        try:
            if not await self.until(lambda: watch.is_answered, deadline, watch.bell):
                raise TimedOut(f"cannot monitor {path}: the host did not answer in time")
        except BaseException:  # interrupted, too: nobody will ask for it, and on_down is not to get it
            self.monitors.cancel(watch)
            raise
        if watch.error is not None:
            raise watch.error
        return AsyncMonitor(self, watch)

    def watch(self, watch: Watch) -> None:
        """Begin it; who wants to know more waits for its answer."""
        self.monitors.begin(watch)
        self.request(wishes.Monitor(path=watch.path), lambda outcome: self.monitors.answered(watch, outcome))

    def monitor_same(self, other: Watch) -> AsyncMonitor:
        """A monitor of the incarnation that ``other`` is for."""
        watch = Watch(other.path, None)
        self.monitors.join(watch, other)
        return AsyncMonitor(self, watch)

    # ---- other agents

    def call(self, path: str, body: Any, deadline: float, on_outcome: Callable[[Call], None] | None = None) -> Call:
        """Begin a call; it leaves with the next ``until``."""
        return self._wires.caller.call(path, check_size(pack_body(body)), deadline, time.monotonic(), on_outcome)

    def post(self, path: str, body: Any) -> Call:
        return self._wires.caller.cast(path, check_size(pack_body(body)), time.monotonic())

    def abandon(self, call: Call, why: str) -> None:
        self._wires.caller.abandon(call, TimedOut(f"cannot get an answer from {call.link.path}: {why}"))
        self._flush()

    async def outcome(self, call: Call, deadline: float) -> Any:
        """The reply, decoded, or an error; neither is raised."""
        bell = Bell()
        call.on_outcome = bell.ring
        try:
            await self.until(lambda: call.outcome is not None, deadline, bell)
        finally:
            if call.outcome is None:
                self.abandon(call, "its time is over")
        return call.decoded()

    def load_of(self, path: str) -> int:
        """Messages of ours that it has not answered."""
        return self._wires.caller.open_to(path)

    def contact_with(self, path: str) -> int:
        """Number of our last message to it, 0 if there is none: it grows with time."""
        return self._wires.caller.last_to(path)

    # ---- the turn

    def all_tools(self) -> Tools:
        """Made when it is first asked for."""
        if self._tools is None:
            from agenthost.agent.tools import Tools

            self._tools = Tools()
        return self._tools

    async def end_turn(self, *, reaps: bool) -> bool:
        """Returns when nothing of the turn's tools is left; with ``reaps`` nothing of what it left in the cell, too.
        True if there were tools."""
        had_tools = False
        try:
            if self._tools is not None:
                had_tools, self._tools.had_any = self._tools.had_any, False
                await self._tools.end_turn(self)
        finally:
            if reaps:
                from agenthost.agent.leftovers import reap

                await reap(self)
        return had_tools

    @property
    def is_watching(self) -> bool:
        """A turn of ``on_down`` may come."""
        return self.monitors.is_watching

    def is_turns(self, deadline: float) -> bool:
        """It is that of whoever waits for the turn in hand."""
        return self._turn().deadline == deadline

    def limit(self, timeout: float | None) -> float:
        """The deadline of something that takes at most ``timeout`` seconds, as ``ctx.call`` has it."""
        return self._turn()._limit(timeout)

    def patience(self, timeout: float | None) -> float:
        """As ``limit``, but without a timeout only the turn's caller and the scope are in a hurry. Never raises."""
        due = time.monotonic() + (LONGEST_S if timeout is None else min(timeout, LONGEST_S))
        bounds = (self._turn().deadline, within.get())
        return min([due, *(bound for bound in bounds if bound is not None)])

    def far(self) -> float:
        """The deadline of what must not be given up."""
        return time.monotonic() + LONGEST_S

    def look(self) -> None:
        """Hear what the host has said, without waiting. Others may wait for what is heard: ``flush`` tells them."""
        if self._wires.hear_control():
            self._flush()

    def take_down(self) -> Ended | None:
        return self.monitors.take()
