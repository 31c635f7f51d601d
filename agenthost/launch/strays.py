"""Processes that were born for nobody: the birth was cancelled while it was under way. Killed and waited for here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal


class Strays:
    def __init__(self) -> None:
        self._ending: dict[int, int] = {}
        """pidfd to pid."""
        self._none = asyncio.Event()
        self._none.set()

    def end(self, pid: int, pidfd: int | None) -> None:
        """Kill it now, reap it when it has gone. Our child, not yet waited for: ``pid`` is still its own."""
        os.kill(pid, signal.SIGKILL)
        if pidfd is None:  # out of descriptors: the loop cannot tell us, so wait here the moment the kernel takes
            os.waitpid(pid, 0)
            return
        self._ending[pidfd] = pid
        self._none.clear()
        asyncio.get_running_loop().add_reader(pidfd, self._reap, pidfd)

    @property
    def pids(self) -> set[int]:
        return set(self._ending.values())

    async def wait_none(self) -> None:
        await self._none.wait()

    def _reap(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        with contextlib.suppress(ChildProcessError):  # whoever ends remnants has reaped it already
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        del self._ending[pidfd]
        if not self._ending:
            self._none.set()
