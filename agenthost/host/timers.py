"""The core's timers on the loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agenthost.core.effects import CancelTimer, SetTimer
from agenthost.core.events import Due


class Timers:
    def __init__(self, tell: Callable[[Due], None]) -> None:
        self._tell = tell
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, effect: SetTimer) -> None:
        self._drop(effect.timer)
        loop = asyncio.get_running_loop()
        self._handles[effect.timer] = loop.call_at(effect.at, self._due, effect.timer)

    def cancel(self, effect: CancelTimer) -> None:
        self._drop(effect.timer)

    def close(self) -> None:
        for timer in list(self._handles):
            self._drop(timer)

    def _due(self, timer: str) -> None:
        del self._handles[timer]
        self._tell(Due(timer))

    def _drop(self, timer: str) -> None:
        handle = self._handles.pop(timer, None)
        if handle is not None:
            handle.cancel()
