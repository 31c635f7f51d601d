"""The end of a main process: its pidfd becomes readable, it is reaped, and what it ended with is put into words.

The rule: ``on_reaped`` is called once for each that is watched. Nothing is polled but what has ended and cannot be
reaped yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from agenthost.core.reason import Reason, from_wait
from agenthost.errors import ContainmentError
from agenthost.host.incarnation import Incarnation
from agenthost.host.memory_watch import out_of_memory

TRACED_LOOK_S = 0.05


class Deaths:
    """``on_reaped(incarnation, status)``: from here on its pid may mean somebody else. The status is None if it was
    reaped as another's."""

    def __init__(self, on_reaped: Callable[[Incarnation, os.waitid_result | None], None]) -> None:
        self._on_reaped = on_reaped

    def watch(self, incarnation: Incarnation) -> None:
        assert incarnation.born is not None
        asyncio.get_running_loop().add_reader(incarnation.born.pidfd, self._died, incarnation)

    def _died(self, incarnation: Incarnation) -> None:
        born = incarnation.born
        assert born is not None
        try:
            status = os.waitid(os.P_PIDFD, born.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # another user's zygote may tell one process for two births
            status = None
        else:
            if status is None:
                self._not_to_be_reaped_yet(incarnation)
                return
        incarnation.reaped = True
        asyncio.get_running_loop().remove_reader(born.pidfd)
        self._on_reaped(incarnation, status)

    def _not_to_be_reaped_yet(self, incarnation: Incarnation) -> None:
        """It has ended and is traced (ptrace(2)): its tracer must let go of it first. That may be one it has left."""
        assert incarnation.born is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(incarnation.born.pidfd)  # readable for good
        with contextlib.suppress(OSError, ContainmentError):  # it is tried again
            incarnation.cell.kill()
        loop.call_later(TRACED_LOOK_S, self._died, incarnation)


def how_it_ended(incarnation: Incarnation, status: os.waitid_result | None) -> Reason:
    """Notes code and signal too. Of a process below its cell's init that init's word counts; of a program that did not
    come up, what it said of that."""
    if status is None:
        return Reason("start_failed", text="its zygote gave it the process of another")
    code, by_signal = status.si_status, status.si_code != os.CLD_EXITED
    dumped = status.si_code == os.CLD_DUMPED
    if incarnation.reported is not None:
        code, by_signal = incarnation.reported.code, incarnation.reported.by_signal
        dumped = incarnation.reported.dumped
    incarnation.code, incarnation.signal = (None, code) if by_signal else (code, None)
    if incarnation.start_error is not None:
        return incarnation.start_error
    if by_signal and code == signal.SIGKILL and incarnation.cell.out_of_memory_kills():
        return out_of_memory(incarnation)
    return from_wait(code, by_signal=by_signal, dumped=dumped)
