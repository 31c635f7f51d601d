"""Where the threads of an agent stand, by the first of the means that gives an answer:

1. the agent is asked, and a thread of its own answers (``agent.stack``): the only one that knows of async tasks;
2. py-spy, if it is installed, reads the memory of the process from outside;
3. a signal, whose C handler writes down the calls (``launch.slate``); it was there since birth.

The first needs the interpreter, the others are for one that some C code holds. All of it ends in time. The first two
change nothing; the third may cut short a sleep of C code, so it is sent only where somebody asked for it, or where it
is the end.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Literal, NamedTuple

from agenthost.containment import procfs
from agenthost.core.birth import AgentBirth
from agenthost.host import stack_text
from agenthost.host.incarnation import Incarnation
from agenthost.host.py_spy import Cannot, PySpy
from agenthost.host.standstill import why_it_stands
from agenthost.launch import slate
from agenthost.protocol.birth import Stack, WantStack
from agenthost.protocol.codec import encode

Signal = Literal["", "go_on", "end"]
"""Whether one may be sent, and what comes after it."""
ASK_S, SIGNAL_S = 0.6, 0.4
"""With ``py_spy.LONGEST_S`` less than the 2 s that a kill may wait."""
LOOK_S = 0.004
NO_ANSWER, ENDED = f"it did not answer within {ASK_S:g} s", "it has ended"
MOST_THREADS = 256
"""Of a process are looked at to see whether the handler still runs."""


class Told(NamedTuple):
    """``stack`` is empty if there is none; ``means`` says how it was had, or why not."""

    stack: str
    means: str


_FIRMEST: tuple[Signal, ...] = ("", "go_on", "end")


class _Look:
    """One that is under way, for ``askers``."""

    __slots__ = ("askers", "signal", "task")

    def __init__(self, signal: Signal) -> None:
        self.signal: Signal = signal
        self.askers = 0
        self.task: asyncio.Task[Told]


class StackDump:
    def __init__(self) -> None:
        self._last_id = 0
        self._looks: dict[int, _Look] = {}
        self._asked: dict[tuple[int, int], asyncio.Future[str]] = {}
        self._py_spy = PySpy()
        self._writing: dict[int, slate.Slate] = {}
        """Who was sent a signal."""

    def pids(self) -> set[int]:
        """Of processes that look; they are the host's own."""
        return self._py_spy.pids()

    def answered(self, incarnation: Incarnation, said: Stack) -> None:
        future = self._asked.get((incarnation.n, said.id))
        if future is not None and not future.done():
            future.set_result(said.text)

    def last_words(self, n: int) -> Told:
        """Of one that has ended while it was looked at: by our signal perhaps, and then it has written."""
        page = self._writing.get(n)
        data = page.read() if page is not None else b""
        if page is None or not data:
            return Told("", "none: it ended meanwhile")
        page.taken_by = None
        return Told(stack_text.from_faulthandler(data), _without_tasks("faulthandler", NO_ANSWER))

    async def stack_of(self, incarnation: Incarnation, signal: Signal) -> Told:
        """Raises ``OSError`` where we are out of descriptors. With "end" it may have ended by it. There is one look at
        an incarnation at a time, for all who want one; the firmest of the signals that they allow may be sent."""
        n = incarnation.n
        look = self._looks.get(n)
        if look is None:
            look = self._looks[n] = _Look(signal)
            look.task = asyncio.get_running_loop().create_task(self._find(incarnation, look))
        look.signal = max(look.signal, signal, key=_FIRMEST.index)
        look.askers += 1
        try:
            return await asyncio.shield(look.task)
        finally:
            look.askers -= 1
            if not look.askers:
                look.task.cancel()  # if they would not wait for it; else it is done
                if self._looks.get(n) is look:
                    del self._looks[n]

    async def _find(self, incarnation: Incarnation, look: _Look) -> Told:
        if not isinstance(incarnation.birth, AgentBirth):
            return Told("", "a program has no Python stack")
        if incarnation.born is None or incarnation.agent_pid is None or incarnation.exited:
            return Told("", "it had no process")
        try:
            return Told(await self._ask(incarnation), "its own thread")
        except Cannot as reason:
            first = str(reason)
        why = [first]
        try:
            if incarnation.exited:
                raise Cannot(ENDED)
            return Told(await self._py_spy.stack_of(incarnation.agent_pid), _without_tasks("py-spy", first))
        except Cannot as reason:
            why.append(str(reason))
        try:
            return Told(await self._signal(incarnation, look.signal), _without_tasks("faulthandler", first))
        except Cannot as reason:
            why.append(str(reason))
        return Told("", "none: " + "; ".join(dict.fromkeys(why)))

    # ---- asked

    async def _ask(self, incarnation: Incarnation) -> str:
        assert incarnation.born is not None
        if incarnation.frozen:
            raise Cannot(why_it_stands(incarnation))
        self._last_id += 1
        key = incarnation.n, self._last_id
        future = self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            incarnation.born.birth_socket.send(encode(WantStack(id=self._last_id)))
            async with asyncio.timeout(ASK_S):
                return stack_text.bounded(await future)
        except (OSError, TimeoutError):
            raise Cannot(why_it_stands(incarnation) or NO_ANSWER) from None
        finally:
            del self._asked[key]

    # ---- by a signal

    async def _signal(self, incarnation: Incarnation, signal: Signal) -> str:
        assert incarnation.born is not None and incarnation.agent_pid is not None
        page, pid = incarnation.born.slate, incarnation.agent_pid
        if page is None:
            raise Cannot("it has no handler for a signal")
        if incarnation.exited:
            raise Cannot(ENDED)
        if not signal:
            raise Cannot("it is not sent a signal as long as it may come back")
        threads = main.threads if (main := procfs.stat(pid)) is not None else 0
        number = _number(signal, threads)
        if why := _why_not_by_signal(pid, number, incarnation):
            raise Cannot(why)
        until = time.monotonic() + SIGNAL_S
        while _is_taken(page, pid):
            if time.monotonic() > until:
                raise Cannot("another agent was asked for the same page and may still write there")
            await asyncio.sleep(LOOK_S)
        page.wipe()
        page.taken_by = pid, procfs.start_time(pid) or 0
        self._writing[incarnation.n] = page
        is_over = False
        try:
            incarnation.signal_main(number)
            until, before_bytes = time.monotonic() + SIGNAL_S, 0
            while not is_over and time.monotonic() < until:
                await asyncio.sleep(LOOK_S)
                written_bytes = page.written_bytes
                is_over = 0 < written_bytes == before_bytes and not _is_handling(pid, number)
                before_bytes = written_bytes
        finally:
            self._writing.pop(incarnation.n, None)
            if is_over:
                page.taken_by = None
        data = page.read()
        if not data:
            raise Cannot(f"its handler of signal {number} did not run")
        stack = stack_text.from_faulthandler(data) + _untold(number, threads)
        return stack if is_over else f"{stack}\n[... it was not written to its end ...]"


def _number(signal: Signal, threads: int) -> int:
    if signal != "end":
        return slate.SIGNAL
    return slate.LAST_SIGNAL if threads < slate.MOST_THREADS else slate.LAST_ALONE_SIGNAL


def _untold(number: int, threads: int) -> str:
    if threads < slate.MOST_THREADS:
        return ""
    which = "this one alone is" if number == slate.LAST_ALONE_SIGNAL else f"the newest {slate.MOST_THREADS} are"
    return f"\n[... of its {threads} threads {which} told ...]"


def _is_taken(page: slate.Slate, pid: int) -> bool:
    """By another one, also by one that has ended and was not reaped yet: what it has written will be read then."""
    if page.taken_by is None or page.taken_by[0] == pid:
        return False
    return procfs.start_time(page.taken_by[0]) == page.taken_by[1]


def _without_tasks(means: str, why: str) -> str:
    return f"{means}; its async tasks are not known, for {why}"


def _why_not_by_signal(pid: int, number: int, incarnation: Incarnation) -> str:
    """Without its handler the signal would end it, and tell nothing; one that stands still would write when nobody
    reads any more."""
    status = _status(f"/proc/{pid}/status")
    if not status:
        return ENDED
    bit = 1 << (number - 1)
    if not int(status.get(b"SigCgt", b"0"), 16) & bit:
        return f"it has no handler for signal {number} any more"
    if int(status.get(b"SigBlk", b"0"), 16) & bit:
        return "it blocks the signal"
    if still := why_it_stands(incarnation):
        return still
    return "it waits in the kernel, where no signal reaches it" if status.get(b"State", b"?")[:1] == b"D" else ""


def _is_handling(pid: int, number: int) -> bool:
    """The signal is on its way, or its handler runs: while it does the kernel blocks it in that thread
    (sigaction(2)). After a last one its process has ended."""
    if number != slate.SIGNAL:
        main = procfs.stat(pid)
        return main is not None and main.alive
    bit = 1 << (number - 1)
    try:
        threads = os.listdir(f"/proc/{pid}/task")[:MOST_THREADS]
    except OSError:
        return False
    for thread in threads:
        status = _status(f"/proc/{pid}/task/{thread}/status")
        for name in (b"SigBlk", b"SigPnd", b"ShdPnd"):
            if int(status.get(name, b"0"), 16) & bit:
                return True
    return False


def _status(path: str) -> dict[bytes, bytes]:
    try:
        data = procfs.read_bytes(path) or b""
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(b":") for line in data.splitlines())}
