"""Between the core and the owners: events go in one at a time, effects come out in order, each to its one owner."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from agenthost.core.effects import Effect
from agenthost.core.events import Event
from agenthost.core.reason import Reason
from agenthost.core.step import step
from agenthost.core.tree import State

Owners = dict[type[Any], Callable[[Any], None]]


class Decider:
    """``owners`` has an entry for every type of effect. What an owner tells is taken after that."""

    def __init__(self, state: State, owners: Owners, clock: Callable[[], float]) -> None:
        self.state = state
        self._owners, self._clock = owners, clock
        self._inbox: deque[Event] = deque()
        self._busy = False
        self.note: Callable[[Event, float, int, list[Effect]], None] = lambda event, now, chance, effects: None
        """Told of every event, when and with what chance it was decided, and what that was, before that is done. An
        event that the core cannot take has no effects."""

    def tell(self, event: Event) -> None:
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        failed: Exception | None = None
        try:
            while self._inbox:
                event, now, chance = self._inbox.popleft(), self._clock(), self.state.chance.state
                effects: list[Effect] = []
                try:
                    effects = step(self.state, event, now)
                finally:
                    self.note(event, now, chance, effects)
                for effect in effects:
                    failed = self._carry_out(effect) or failed
        finally:
            self._busy = False
        if failed is not None:
            raise failed

    def _carry_out(self, effect: Effect) -> Exception | None:
        """What was decided is done, all of it: one owner's bug must not cost other agents their effects."""
        try:
            self._owners[type(effect)](effect)
        except Exception as error:  # raised again when everything else is done
            return error
        return None


def end_once(ended: asyncio.Future[Reason], reason: Reason) -> None:
    """A second Halt on a tree that has ended says so again."""
    if not ended.done():
        ended.set_result(reason)
