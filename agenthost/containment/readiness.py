"""One epoll for all that cells wait for; asyncio sees a single descriptor.

asyncio waits for EPOLLIN only, and a kernfs file is always readable: its news is EPOLLPRI (cgroups(7), "populated"),
so it needs an epoll of its own, nested in asyncio's. A descriptor fires once and is then forgotten.
"""

from __future__ import annotations

import asyncio
import select
from typing import Callable

BATCH = 1024
"""How many facts one turn of the event loop takes; the rest waits for the next turn."""


class Readiness:
    """``add`` from within a running event loop; callbacks come from that loop."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._callbacks: dict[int, Callable[[], None]] = {}

    def add(self, fd: int, mask: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when ``fd`` has one of ``mask``. The caller keeps ``fd`` open until then."""
        self._join(asyncio.get_running_loop()).register(fd, mask)
        self._callbacks[fd] = callback

    def remove(self, fd: int) -> None:
        """Before ``fd`` is closed. Nothing happens if it has fired."""
        if self._callbacks.pop(fd, None) and self._epoll:
            self._epoll.unregister(fd)

    def close(self) -> None:
        self._leave()
        if self._epoll:
            self._epoll.close()
            self._epoll = None
        self._callbacks.clear()

    def _join(self, loop: asyncio.AbstractEventLoop) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()  # close-on-exec
        if self._loop is not loop:
            self._leave()
            loop.add_reader(self._epoll.fileno(), self._take)
            self._loop = loop
        return self._epoll

    def _leave(self) -> None:
        if self._loop and self._epoll and not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._loop = None

    def _take(self) -> None:
        if self._epoll is None:
            return
        for fd, _ in self._epoll.poll(0, BATCH):
            callback = self._callbacks.get(fd)
            self.remove(fd)
            if callback:
                callback()
