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
        """Kill it now, reap it when it has gone. Who ends remnants may have ended and reaped it before we were told of
        it: then its pid may be another's by now."""
        if pidfd is None:  # out of descriptors: the loop cannot tell us, so wait here the moment the kernel takes
            with contextlib.suppress(ChildProcessError):  # no child of ours has that pid
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
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
