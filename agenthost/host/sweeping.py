"""KILL until a cell is empty. An incarnation has ended when that is so, and not before.

Whatever fails on the way (descriptors, disk, kernel) is looked at again: an agent whose end cannot be told would be
lost for good, and with it the end of the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from agenthost.containment import walk
from agenthost.errors import ContainmentError
from agenthost.host.incarnation import Incarnation

FIRST_LOOK_S, LONGEST_LOOK_S = 0.005, 0.5


class Sweeping:
    """``on_empty(incarnation)`` lets go of it: may raise ``OSError`` or ``ContainmentError``, and is then called again.

    ``known_children`` are the pids that the host has started, ``oldest_order_ticks`` when the oldest birth under way
    was ordered: what is younger may be a newborn (tier ``walk``).
    """

    def __init__(
        self,
        tier: str,
        *,
        on_empty: Callable[[Incarnation], None],
        known_children: Callable[[], set[int]],
        oldest_order_ticks: Callable[[], int | None],
        record: Callable[..., None],
    ) -> None:
        self._walks = tier == "walk"
        self._on_empty, self._record = on_empty, record
        self._known_children, self._oldest_order_ticks = known_children, oldest_order_ticks

    def sweep(self, incarnation: Incarnation, pause_s: float = FIRST_LOOK_S) -> None:
        """Begin, or look again; ``pause_s`` until the next look."""
        if incarnation.let_go:
            return
        try:
            if self._is_over(incarnation):
                self._on_empty(incarnation)
                return
            if incarnation.exited and not incarnation.is_watched:
                incarnation.is_watched = True
                incarnation.cell.watch_empty(lambda: self._emptied(incarnation))
        except (OSError, ContainmentError) as error:
            if pause_s == LONGEST_LOOK_S:  # not every few milliseconds
                self._record("agent.sweep_failed", incarnation.path, error=str(error))
        # A cell by itself tells when it is empty; looking again is for what escaped the first KILL.
        if incarnation.next_look is not None:
            incarnation.next_look.cancel()
        next_pause_s = min(pause_s * 2, LONGEST_LOOK_S)
        incarnation.next_look = asyncio.get_running_loop().call_later(pause_s, self.sweep, incarnation, next_pause_s)

    def clean_remnants(self) -> None:
        """Orphans that could have been newborns when their agents ended, and are none."""
        if self._walks and self._remnants():
            asyncio.get_running_loop().call_later(FIRST_LOOK_S, self.clean_remnants)

    def _is_over(self, incarnation: Incarnation) -> bool:
        if incarnation.born is not None and not incarnation.reaped:
            # by itself too: a process that its cell refused is in none
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(incarnation.born.pidfd, signal.SIGKILL)
        if not incarnation.cell.is_empty():
            incarnation.cell.kill()
        return incarnation.exited and incarnation.cell.is_empty() and not self._remnants()

    def _emptied(self, incarnation: Incarnation) -> None:
        incarnation.is_watched = False
        self.sweep(incarnation)

    def _remnants(self) -> int:
        """Where agents are walked, what they left behind is the host's child by now: end it too."""
        if not self._walks:
            return 0
        return walk.kill_remnants(os.getpid(), self._known_children(), self._oldest_order_ticks())
