"""Turns that nobody has heard of: C code that holds the interpreter from the first moment sends no beat, ever.

An agent at rest waits in epoll(7), and one in a turn beats. So each second some agents that do not beat are looked at:
whose main thread is found elsewhere twice in a row, a second apart, is asked whether its interpreter runs
(``doubting``), and who does not answer for ``turn.silence`` is ended. The rule: only an answer that does not come
counts against anybody; what the kernel says of a thread is only a reason to ask. An agent of which it says nothing is
left alone, and so is one that somebody has stopped, by SIGSTOP or in a debugger.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator

from agenthost.core.birth import AgentBirth
from agenthost.host.incarnation import Incarnation
from agenthost.host.pulse import at_next_pulse

LOOKS = 50
"""A second, of some 0.02 ms: each of fifty is looked at every second, each of five thousand within two minutes."""
_AT_REST = (b"ep_poll", b"do_epoll_wait", b"epoll")
"""Functions of the kernel that epoll_wait(2) sleeps in; which one is told depends on how it was compiled."""
_NOTHING_SAID = (b"", b"0")
_STOPPED = (b"T", b"t", b"Z", b"X")
"""proc(5): by a signal, by a debugger; or it has ended."""


class Unheard:
    """``present()`` are all incarnations; ``doubt`` asks one, and ends it if it does not answer."""

    def __init__(self, present: Callable[[], Collection[Incarnation]], doubt: Callable[[Incarnation], None]) -> None:
        self._present, self._doubt = present, doubt
        self._next = 0
        self._suspects: dict[int, Incarnation] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Inside the running loop."""
        self._timer = at_next_pulse(self._turn)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        self._timer = at_next_pulse(self._turn)
        self.look()

    def look(self) -> None:
        """One second's."""
        before, self._suspects = self._suspects, {}
        for one in before.values():
            if _is_quiet(one) and is_elsewhere(one):
                self._doubt(one)
        for one in self._some():
            if one.n not in before and _is_quiet(one) and is_elsewhere(one):
                self._suspects[one.n] = one

    def _some(self) -> Iterator[Incarnation]:
        present = list(self._present())
        start = self._next if self._next < len(present) else 0
        self._next = start + LOOKS
        yield from present[start : start + LOOKS]


def _is_quiet(one: Incarnation) -> bool:
    """It is up, nothing was heard of a turn, and nobody is about to change it."""
    if one.peer is None or one.agent_pid is None or not isinstance(one.birth, AgentBirth):
        return False
    is_ending = one.exited or one.killing or one.asked is not None
    return one.beat_at is None and one.doubt is None and not one.frozen and not is_ending


def is_elsewhere(one: Incarnation) -> bool:
    """Its main thread neither waits in epoll nor is it unknown where it waits (proc(5), wchan)."""
    try:
        waits_in = _read(f"/proc/{one.agent_pid}/wchan")
        if waits_in.startswith(_AT_REST):
            return False
        state = _read(f"/proc/{one.agent_pid}/stat").rpartition(b") ")[2][:1]
        if waits_in in _NOTHING_SAID:
            return state == b"R"  # who runs waits in nothing
        return state not in _STOPPED
    except OSError:
        return False


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1024)
    finally:
        os.close(fd)
