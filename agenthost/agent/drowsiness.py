"""When an agent that may sleep says so, and whether it does when it is asked: the same for both desks.

It says Drowsy when it has had nothing to do for as long as the host wants to know, and again, ever less often, while
that is so. The rule: whatever comes ends the drowsiness (Awake), and a Sleep that was meant for one that has ended is
declined. So it is never asked to sleep over something that it has got.
"""

from __future__ import annotations

from collections.abc import Callable

from agenthost.protocol import birth

AGAIN_S, LONGEST_AGAIN_S = 1.0, 60.0
"""From one Drowsy to the next, twice as long each time."""


class Drowsiness:
    """``say`` sends over the birth socket."""

    __slots__ = ("_after_s", "_again_s", "_due", "_number", "_say", "_since", "is_told")

    def __init__(self, after_s: float, say: Callable[[birth.FromProcess], None]) -> None:
        self._after_s, self._say = after_s, say
        self._number = 0
        self._since = 0.0
        """Since when there is nothing to do; 0 while that is not known."""
        self._due = self._again_s = 0.0
        self.is_told = False

    def set_after(self, after_s: float) -> None:
        self._after_s = after_s
        self.stir()

    def stir(self) -> None:
        """Something has come."""
        self._since = 0.0
        if self.is_told:
            self.is_told = False
            self._say(birth.Awake(number=self._number))

    def look(self, now: float) -> float | None:
        """There is nothing to do. Returns the seconds after which to look again, None: not before something comes."""
        if not self._after_s:
            return None
        if not self._since:
            self._since, self._due = now, now + self._after_s
            self._again_s = max(AGAIN_S, self._after_s)
        if self._due <= now:
            if not self.is_told:
                self.is_told = True
                self._number += 1
            self._say(birth.Drowsy(number=self._number, idle_s=now - self._since))
            self._due = now + self._again_s
            self._again_s = min(2 * self._again_s, LONGEST_AGAIN_S)
        return self._due - now

    def may_sleep(self, number: int) -> bool:
        """The host asks for it. If not, that is said."""
        if self.is_told and number == self._number:
            return True
        self._say(birth.Awake(number=number))
        return False

    def sleep(self) -> None:
        """It does."""
        self._say(birth.Asleep(number=self._number))
