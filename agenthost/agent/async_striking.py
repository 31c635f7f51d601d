"""How an interruption strikes the turn of an agent with asyncio: its task is cancelled. Only if the handler blocks the
loop, a signal's handler raises where it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from agenthost.agent import turn as turns
from agenthost.agent.interruption import BLOCKED_S, SIGNAL, Interruption, is_authors

if TYPE_CHECKING:
    from agenthost.agent.async_context import AsyncContext
    from agenthost.agent.sentry import Sentry


class AsyncStriker:
    """Made in the task of all turns. ``turns`` and ``open_to``: as of ``is_authors``."""

    def __init__(self, turns: frozenset[CodeType], open_to: frozenset[CodeType]) -> None:
        self._turns, self._open_to = turns, open_to
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self.exposed: AsyncContext | None = None
        """Of the turn whose handler runs: what interrupts it cancels this task."""

    def begin(self, sentry: Sentry) -> None:
        """As in the plain one."""
        self._sentry = sentry
        self._main_thread = threading.get_ident()
        signal.signal(SIGNAL, self._on_signal)

    def strike(self, interruption: Interruption) -> None:
        """In the sentry's thread."""
        if time.monotonic() - interruption.asked_at >= BLOCKED_S:
            signal.pthread_kill(self._main_thread, SIGNAL)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the turn
            self._loop.call_soon_threadsafe(self._cancel_turn)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The loop stands still. Nothing happens where it is not the handler that does that."""
        one = self._sentry.to_strike()
        if one is not None and one.context is self.exposed and is_authors(frame, self._turns, self._open_to):
            self._sentry.struck(one)
            raise one.error()

    def _cancel_turn(self) -> None:
        """Between two steps of the turn's task, so the handler is where its next step goes on."""
        one = self._sentry.to_strike()
        if one is not None and one.context is self.exposed and self._task is not None:
            self._sentry.struck(one)
            self._task.cancel(one.why)

    def after_interruption(self, error: BaseException) -> BaseException:
        """The cancellation was ours, if we have cancelled: what it ends with is the interruption."""
        one = self._sentry.struck_by()
        if one is None or self._task is None:
            return error
        self._task.uncancel()
        if isinstance(error, asyncio.CancelledError):
            return one.error()
        return turns.after_interruption(error, one)
