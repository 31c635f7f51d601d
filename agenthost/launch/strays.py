"""Processes that were born for nobody: the birth was cancelled while it was under way. Killed and waited for here."""

from __future__ import annotations

import asyncio
import os
import signal


class Strays:
    def __init__(self) -> None:
        self._ending: set[int] = set()
        self._none = asyncio.Event()
        self._none.set()

    def end(self, pid: int, pidfd: int | None) -> None:
        """Kill it now, reap it when it has gone. Our child, not yet waited for: ``pid`` is still its own."""
        os.kill(pid, signal.SIGKILL)
        if pidfd is None:  # out of descriptors: the loop cannot tell us, so wait here the moment the kernel takes
            os.waitpid(pid, 0)
            return
        self._ending.add(pidfd)
        self._none.clear()
        asyncio.get_running_loop().add_reader(pidfd, self._reap, pidfd)

    async def wait_none(self) -> None:
        await self._none.wait()

    def _reap(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        self._ending.discard(pidfd)
        if not self._ending:
            self._none.set()
