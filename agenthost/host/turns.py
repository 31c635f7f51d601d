"""What the host knows of an agent's turn in hand: since when, what of that counts, and who interrupts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class TurnInHand:
    """Of one incarnation, over all its turns. Times are on the clock of ``time.monotonic``."""

    number: int = 0
    """The agent's own number of it; 0 between turns and in short ones, of which nothing is heard."""
    message: int = 0
    attempt: int = 0
    """Of the durable mail that it handles; 0 of a call, and of what nobody has sent."""
    cut_off: int = 0
    """The number of the turn that its process ended in; 0 for none, or one of which nothing was heard."""
    began_at: float = 0.0
    """Later by the time that it was frozen since."""
    timer: asyncio.TimerHandle | None = None
    """Runs out with ``turn.timeout``."""
    steps: int = 0
    """As far as its agent has counted (``agent.progress``)."""
    moved_at: float = 0.0
    """When that was heard to have moved, or the turn began; later by the time that it was frozen since."""
    stillness: asyncio.TimerHandle | None = None
    """Runs out with ``turn.progress``."""
    frozen_at: float | None = None
    stood: tuple[float, float] = (0.0, 0.0)
    """From when to when it was frozen last, if no turn was known then."""
    interruption: int = 0
    """Number of the Interrupt that is not answered yet, 0 if there is none."""
    killed: str = ""
    """The tools that were killed with it, in words."""

    def begin(self, number: int, began_at: float, message: int = 0, attempt: int = 0) -> None:
        """Heard of for the first time, some while after it began."""
        start, end = self.stood
        self.number, self.message, self.attempt = number, message, attempt
        self.began_at = self.moved_at = began_at + (end - start if start >= began_at else 0.0)

    def heard(self, steps: int, now: float) -> None:
        """What it got done between its beginning and its first beat is not told apart from what was done before: that
        counts for it."""
        if steps != self.steps:
            self.steps, self.moved_at = steps, now

    def end(self) -> None:
        self.number = self.message = self.attempt = 0
        self.stop_timer()

    def cut(self) -> None:
        """Its process ends in it."""
        self.cut_off = self.cut_off or self.number

    def freeze(self, now: float) -> None:
        if self.frozen_at is None:
            self.frozen_at = now
            self.stop_timer()

    def thaw(self, now: float) -> None:
        if self.frozen_at is None:
            return
        if self.number:
            self.began_at += now - self.frozen_at
            self.moved_at += now - self.frozen_at
        else:
            self.stood = self.frozen_at, now
        self.frozen_at = None

    def stop_timer(self) -> None:
        for timer in (self.timer, self.stillness):
            if timer is not None:
                timer.cancel()
        self.timer = self.stillness = None
