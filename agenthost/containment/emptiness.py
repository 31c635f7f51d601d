"""The news that a cgroup is empty: its ``cgroup.events`` is ready (EPOLLPRI) when "populated" changes.

Costs one descriptor from ``watch`` to the callback; so ask when the main process has ended, not before. The rule: the
callback is called once for the last ``watch``, from the event loop, never from within ``watch``.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

from agenthost.containment.readiness import Readiness

ENODEV = 19
"""What a kernfs file says when its folder was removed while it was open."""


class Emptiness:
    """Of one folder."""

    def __init__(self, folder: str, readiness: Readiness) -> None:
        self._folder, self._readiness = folder, readiness
        self._events_fd = -1
        self._callback: Callable[[], None] | None = None

    def watch(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        if self._events_fd >= 0:
            return
        try:
            self._events_fd = os.open(f"{self._folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            asyncio.get_running_loop().call_soon(self._tell)
            return
        # registered before it is read: what happens in between is news
        self._readiness.add(self._events_fd, select.EPOLLPRI, self._look)
        if not self._populated():
            self._unwatch()
            asyncio.get_running_loop().call_soon(self._tell)

    def close(self) -> None:
        """Safe to call twice. Nobody is told any more."""
        self._unwatch()
        self._callback = None

    def _look(self) -> None:
        if self._populated():
            self._readiness.add(self._events_fd, select.EPOLLPRI, self._look)
            return
        self._unwatch()
        self._tell()

    def _populated(self) -> bool:
        try:
            return b"populated 1" in os.pread(self._events_fd, 256, 0)
        except OSError as error:
            if error.errno != ENODEV:
                raise
            return False

    def _tell(self) -> None:
        callback, self._callback = self._callback, None
        if callback:
            callback()

    def _unwatch(self) -> None:
        if self._events_fd >= 0:
            self._readiness.remove(self._events_fd)
            os.close(self._events_fd)
            self._events_fd = -1
