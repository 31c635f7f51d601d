"""How many restarts a supervisor bears (rules I1 to I6, deviations D1 and D2).

The period counts only time in which the supervisor's children were starting or up: while one of them waits in back-off
the window stands still, else a slow back-off would never exhaust it. Under ``otp_strict`` time is taken in whole
seconds and the border is included, as OTP does (I4).
"""

from __future__ import annotations

import math
from collections import deque


class Window:
    def __init__(self, intensity: int, period_s: float, *, whole_seconds: bool = False) -> None:
        self.intensity, self.period_s = intensity, period_s
        self._whole_seconds = whole_seconds
        self._restarts: deque[float] = deque()
        self._waiting = 0
        self._stood_still_s = 0.0
        self._stopped_at = 0.0

    def restart(self, now: float) -> bool:
        """Counts one restart; False if that is one more than is borne (I1)."""
        at = self._clock(now)
        self._restarts.append(at)
        while at - self._restarts[0] > self.period_s:
            self._restarts.popleft()
        return len(self._restarts) <= self.intensity

    @property
    def count(self) -> int:
        """Restarts in the window when it was last looked at."""
        return len(self._restarts)

    def used(self, now: float) -> int:
        """How many of the restarts that it bears are used up now."""
        at = self._clock(now)
        return sum(at - then <= self.period_s for then in self._restarts)

    def adjust(self, intensity: int, period_s: float, *, whole_seconds: bool) -> None:
        """Other patience from now on; what was borne so far still counts (U1)."""
        self.intensity, self.period_s, self._whole_seconds = intensity, period_s, whole_seconds

    def clear(self) -> None:
        self._restarts.clear()

    def pause(self, now: float) -> None:
        """A child waits in back-off."""
        if self._waiting == 0:
            self._stopped_at = now
        self._waiting += 1

    def resume(self, now: float) -> None:
        self._waiting -= 1
        if self._waiting == 0:
            self._stood_still_s += now - self._stopped_at

    def _clock(self, now: float) -> float:
        at = (self._stopped_at if self._waiting else now) - self._stood_still_s
        return float(math.floor(at)) if self._whole_seconds else at
