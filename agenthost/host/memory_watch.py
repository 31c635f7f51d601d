"""Who was killed for memory, though its agent lives: the kernel may take one process of a cell and leave the rest.

An agent with a limit of its own has then come to its end, and its cell with it, as cgroup v2 does by itself
(memory.oom.group). One without has lost a process to a machine that is full; that is noted, so that whatever ends the
agent later is not called by that name. A limit holds for all below it, so whoever was killed there is seen to end
first: that end has the name then, and the owner's follows. The rule: nothing is done while nobody runs out of memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from agenthost.containment import procfs
from agenthost.containment.cell import Containment
from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.host.incarnation import Incarnation

LOOKS_S = (0.0, 0.005, 0.05, 0.5)
"""After the news, which may come before the kill."""
BELOW_FIRST = 2
"""The look by which whoever was killed below has begun to end."""


def out_of_memory(of: Incarnation) -> Reason:
    limit = of.birth.limits.memory_bytes
    return Reason("out_of_memory", text=f"its limit is {_size(limit)}" if limit else "")


def _size(count: int) -> str:
    return f"{count / 2**20:g} MiB" if count >= 2**20 else f"{count} B"


class MemoryWatch:
    """``present()`` are all incarnations; ``tell`` reaches the core."""

    def __init__(self, present: Callable[[], Collection[Incarnation]], tell: Callable[[on.Event], None]) -> None:
        self._present, self._tell = present, tell
        self._timer: asyncio.TimerHandle | None = None

    def start(self, containment: Containment) -> None:
        containment.watch_memory(self._news)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _news(self) -> None:
        self._look_after(0)

    def _look_after(self, number: int) -> None:
        """Begins anew with newer news, so the last look comes when it has been calm for a while."""
        self.close()
        self._timer = asyncio.get_running_loop().call_later(LOOKS_S[number], self._look, number)

    def _look(self, number: int) -> None:
        self._timer = None
        is_last = number + 1 == len(LOOKS_S)
        for of in list(self._present()):
            if of.born is None or of.exited or of.killing or of.let_go or not of.cell.out_of_memory_kills():
                continue
            if of.birth.limits.memory_bytes is not None:
                if not is_last and self._is_below_first(of, number):
                    continue
                self._tell(on.Fault(of.path, of.n, out_of_memory(of)))
            elif is_last and _is_alive(of):
                of.cell.forget_memory_kills()
        if not is_last:
            self._look_after(number + 1)

    def _is_below_first(self, of: Incarnation, number: int) -> bool:
        """Somebody below is ending, or may be about to."""
        below = [one for one in self._present() if one.path.startswith(f"{of.path}/") and not one.exited]
        return bool(below) and (number < BELOW_FIRST or not all(map(_is_alive, below)))


def _is_alive(of: Incarnation) -> bool:
    found = procfs.stat(of.agent_pid or (of.born.pid if of.born else 0))
    return found is not None and found.alive and not found.exiting
