"""A bell wakes those who wait for one thing, and nobody else: a thousand tasks that wait for a thousand answers are
woken once each.

A plain agent waits in its epoll and looks for itself; nobody hangs on a bell there.
"""

from __future__ import annotations

from collections.abc import Callable


class Bell:
    __slots__ = ("_wakes",)

    def __init__(self) -> None:
        self._wakes: list[Callable[[], None]] = []

    def ring(self, *_: object) -> None:
        """There is news for those who wait; they look for themselves, and may go on waiting."""
        for wake in self._wakes:
            wake()

    def hang(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def unhang(self, wake: Callable[[], None]) -> None:
        self._wakes.remove(wake)
