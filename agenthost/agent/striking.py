"""How an interruption strikes the turn of a plain agent: a signal to its main thread, whose handler raises.

``interruption`` says where it may; the desk says which of its functions call the author's code.
"""

from __future__ import annotations

import signal
import threading
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from agenthost.agent.interruption import SIGNAL, Interruption, is_authors, is_waiting_for_author

if TYPE_CHECKING:
    from agenthost.agent.listening import Listener
    from agenthost.agent.sentry import Sentry


class Striker:
    """``turns`` and ``open_to``: as of ``is_authors``."""

    def __init__(self, turns: frozenset[CodeType], open_to: frozenset[CodeType]) -> None:
        self._turns, self._open_to = turns, open_to

    def begin(self, listener: Listener, sentry: Sentry) -> None:
        """In the thread that is struck, before its first turn."""
        self._listener, self._sentry = listener, sentry
        self._main_thread = threading.get_ident()
        signal.signal(SIGNAL, self._on_signal)

    def strike(self, interruption: Interruption) -> None:
        """In the sentry's thread."""
        signal.pthread_kill(self._main_thread, SIGNAL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Where it must not strike it does nothing, and is called again."""
        one = self._sentry.to_strike()
        if one is None:
            return
        if self._listener.is_waiting:
            may = is_waiting_for_author(frame, self._turns)
        else:
            may = is_authors(frame, self._turns, self._open_to)
        if may:
            self._listener.is_waiting = False
            self._sentry.struck(one)
            raise one.error()
