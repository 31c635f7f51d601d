"""Notices that the clock of the machine was set: what waits for a span of time must not wait for another.

The clock of the wall is compared with the time since boot, which runs on while the machine sleeps (CLOCK_BOOTTIME,
clock_gettime(2)) and which nobody sets. Steps below a second, and the slow steering of NTP, are no setting.
"""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_MS = 1000


def _wall_ms() -> int:
    return int(time.time() * 1000)


def _uptime_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class WallClock:
    def __init__(self, wall_ms: Callable[[], int] = _wall_ms, uptime_ms: Callable[[], int] = _uptime_ms) -> None:
        self.now_ms, self._uptime_ms = wall_ms, uptime_ms
        self._ahead_ms = wall_ms() - uptime_ms()

    def was_set_by_ms(self) -> int:
        """Since the last look; 0 if it was not."""
        ahead_ms = self.now_ms() - self._uptime_ms()
        by_ms, self._ahead_ms = ahead_ms - self._ahead_ms, ahead_ms
        return by_ms if abs(by_ms) >= STEP_MS else 0
