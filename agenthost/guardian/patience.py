"""How often a crashed host is started again. PURE: time is an argument.

OTP's rule of intensity: more than ``intensity`` restarts within ``period_s`` is giving up. Between restarts the delay
doubles with each restart that still counts.
"""

from __future__ import annotations

INTENSITY = 5
PERIOD_S = 60.0
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0


class Patience:
    """Remembers the restarts of the last ``period_s`` seconds."""

    def __init__(self, intensity: int = INTENSITY, period_s: float = PERIOD_S) -> None:
        self.intensity, self.period_s = intensity, period_s
        self._restarts: list[float] = []

    @property
    def restarts(self) -> int:
        """Those that counted at the last crash, that one's included."""
        return len(self._restarts)

    def delay_after_crash(self, now: float) -> float | None:
        """Seconds to wait before the next start, or None: give up."""
        self._restarts = [at for at in self._restarts if now - at <= self.period_s]
        self._restarts.append(now)
        if len(self._restarts) > self.intensity:
            return None
        return float(min(FIRST_DELAY_S * 2 ** (len(self._restarts) - 1), LONGEST_DELAY_S))
