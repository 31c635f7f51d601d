"""What the host does each second, at one moment: a host at rest is woken once for all of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

PERIOD_S = 1.0


def at_next_pulse(call: Callable[[], None]) -> asyncio.TimerHandle:
    """Once, at the next whole second of the loop's clock; ``call`` asks again. To be called inside the running loop."""
    loop = asyncio.get_running_loop()
    return loop.call_at(math.floor(loop.time() / PERIOD_S + 1) * PERIOD_S, call)
