"""One child of an agent from Begin to its end: asked for, waited for, and ended, whatever interrupts.

The host starts and ends it. A child that was asked for and then is not wanted any more (its time is over, the turn was
interrupted) is ended, also if it is only about to begin: End follows Begin on the same connection, and Begin is
repeated no more. Where another child had that name before, End would hit that one if Begin is refused, so it waits for
Begin's answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from agenthost.agent.asking import Asked
from agenthost.agent.bell import Bell
from agenthost.agent.kin import MOST_BEGINNING, Kin
from agenthost.agent.monitor import Ended, Watch
from agenthost.agent.wanted import Wanted
from agenthost.errors import AgenthostError, NotRunning, Overloaded, TimedOut, UnknownName, UsageError
from agenthost.protocol import wishes

How = Literal["stop", "kill"]
MOST_ENDING = 256
"""So many of one scope are ended at a time; the host takes 1,024 of one agent, and what is beyond is asked again."""
AGAIN_S = 0.1
_SHORTEST_S = 0.001
NOTHING_THERE = (NotRunning, UnknownName)


class Birth:
    """One child from Begin to its end. ``path`` is known from the beginning, ``watch`` hears of its end."""

    def __init__(
        self,
        kin: Kin,
        wanted: Wanted,
        until: float | None = None,
        on_end: Callable[[Ended], None] = lambda ended: None,
    ) -> None:
        """``until``: when the host is to kill it, on the clock of ``time.monotonic``. ``on_end`` is told of the end of
        a temporary child."""
        self._kin, self._wanted = kin, wanted
        self._until = until
        self.name = wanted.name or kin.names.make(wanted.stem)
        self.path = f"{kin.path.rstrip('/')}/{self.name}"
        self._is_new_name = wanted.name is None or kin.names.give(wanted.name)
        self.is_temporary = wanted.spec.get("restart", "temporary") == "temporary"
        self.watch = Watch(self.path, on_end if self.is_temporary else lambda ended: None)
        self.bell = Bell()
        self._is_unwanted = False
        self._begun: Asked | None = None
        self._end: Asked | None = None
        self._end_how: How = "stop"

    async def wait_ready(self, deadline: float) -> str:
        """Its incarnation. Raises what the host says, ``TimedOut``, or ``UsageError`` if it is too large to send."""
        kin, births = self._kin, self._kin.births
        births.wait(self.bell)
        try:
            if not await kin.until(lambda: self._is_unwanted or births.has_room, deadline, self.bell):
                raise TimedOut(f"cannot start {self.path}: {MOST_BEGINNING} other children are still starting")
            if self._is_unwanted:
                raise UsageError(f"cannot start {self.path}: its scope has ended meanwhile")
            begun = self._begun = self._ask()
        finally:
            births.waited(self.bell)
        if not await kin.until(lambda: begun.is_answered or self._is_unwanted, deadline, self.bell):
            raise TimedOut(f"cannot start {self.path}: it was not ready in time")
        if self._is_unwanted:
            raise UsageError(f"cannot start {self.path}: its scope has ended meanwhile")
        if isinstance(begun.outcome, AgenthostError):
            raise begun.outcome
        return str(begun.outcome["incarnation"])

    @property
    def was_refused(self) -> bool:
        """Nothing of it is there, and nothing will be."""
        begun = self._begun
        return begun is None or (begun.is_answered and isinstance(begun.outcome, AgenthostError))

    @property
    def is_gone(self) -> bool:
        return self.was_refused or (self._end is not None and self._end.is_answered and not self.is_put_off)

    @property
    def is_put_off(self) -> bool:
        """The host has too many to end already, and is to be asked again."""
        return self._end is not None and isinstance(self._end.outcome, Overloaded)

    @property
    def had_ended(self) -> bool:
        """Nothing of it was there any more when its end was asked for."""
        outcome = None if self._end is None else self._end.outcome
        return isinstance(outcome, NOTHING_THERE) or (isinstance(outcome, dict) and outcome.get("was_there") is False)

    @property
    def problem(self) -> AgenthostError | None:
        """Why it could not be ended; that nothing is there any more is none."""
        outcome = None if self._end is None else self._end.outcome
        return outcome if isinstance(outcome, AgenthostError) and not isinstance(outcome, NOTHING_THERE) else None

    def begin_end(self, how: How) -> None:
        """Ask for its end; again only if it must be harder."""
        begun = self._begun
        if begun is None:
            self._is_unwanted = True
            self.bell.ring()
            return
        if self.was_refused:
            return
        if begun.is_answered:
            self._ask_end(how)
        elif not self._is_unwanted:
            self._is_unwanted = True
            if self._is_new_name:
                self._kin.drop(begun)
                self._given_up()
                self._ask_end("kill")
            self.bell.ring()

    def end_again(self) -> None:
        """After it was put off."""
        self._end = self._kin.request(wishes.End(path=self.path, how=self._end_how), self._on_end)

    def wish(self, for_s: float | None) -> wishes.Wish:
        """What the host is asked."""
        wanted = self._wanted
        return wishes.Begin(name=self.name, spec=wanted.spec, code=wanted.code, for_s=for_s, monitor=True)

    def _ask_end(self, how: How) -> None:
        if self._end is None or (how == "kill" and self._end_how == "stop"):
            self._end_how = how
            self._end = self._kin.request(wishes.End(path=self.path, how=how), self._on_end)

    def _on_begun(self, outcome: Any) -> None:
        self._kin.births.over(self)
        self._kin.monitors.answered(self.watch, outcome)
        if self._is_unwanted and not isinstance(outcome, AgenthostError):
            self._ask_end("kill")
        self.bell.ring()

    def _on_end(self, outcome: Any) -> None:
        if isinstance(outcome, Overloaded):
            self._kin.births.put_off += 1
        self.bell.ring()

    def _given_up(self) -> None:
        """Begin has no answer, and will have none."""
        self._kin.births.over(self)
        self._kin.monitors.answered(self.watch, UsageError(f"cannot monitor {self.path}: it was not started"))

    def _ask(self) -> Asked:
        now = time.monotonic()
        for_s = None if self._until is None else max(_SHORTEST_S, self._until - now)
        self._kin.births.begun(self)
        self._kin.monitors.begin(self.watch)
        try:
            return self._kin.request(self.wish(for_s), self._on_begun)
        except (TypeError, AgenthostError) as error:
            self._given_up()
            if isinstance(error, AgenthostError):
                raise
            raise UsageError(f"cannot start {self.path}: its spec is no plain data: {error}") from None


async def end_all(kin: Kin, births: list[Birth], how: How) -> None:
    """Returns when nothing of them is left, whatever interrupts: the interruption goes on after that."""
    births = births.copy()
    interruption: BaseException | None = None
    for begin in range(0, len(births), MOST_ENDING):
        some = births[begin : begin + MOST_ENDING]
        bell = Bell()
        for birth in some:
            birth.bell.hang(bell.ring)
        for birth in some:
            birth.begin_end(how)
        interruption = await _gone(kin, some, bell) or interruption
        for birth in some:
            birth.bell.unhang(bell.ring)
    problem = next((birth.problem for birth in births if birth.problem is not None), None)
    if interruption is not None or problem is not None:
        raise interruption or problem  # type: ignore[misc]  # one of them is one


async def _gone(kin: Kin, births: list[Birth], bell: Bell) -> BaseException | None:
    """Waits until all are, and asks again for what was put off. What has interrupted that meanwhile."""
    left, interruption = births.copy(), None

    def all_gone() -> bool:
        while left and left[-1].is_gone:
            left.pop()
        return not left

    while not all_gone():
        put_off = [birth for birth in left if birth.is_put_off]
        seen = kin.births.put_off
        try:
            if put_off:
                await kin.until(all_gone, time.monotonic() + AGAIN_S, bell)
                for birth in put_off:
                    birth.end_again()
            else:
                await kin.until(lambda s=seen: all_gone() or kin.births.put_off != s, kin.far(), bell)  # type: ignore[misc]
        except BaseException as error:  # a signal's handler raised, or the task was cancelled
            interruption = error
    return interruption
