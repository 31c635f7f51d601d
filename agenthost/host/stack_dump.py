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
import contextlib
import os
import shutil
import subprocess
import sys
import time
from typing import Literal, NamedTuple

from agenthost.containment import procfs
from agenthost.core.birth import AgentBirth
from agenthost.host import stack_text
from agenthost.host.incarnation import Incarnation
from agenthost.launch import slate
from agenthost.protocol.birth import Stack, WantStack
from agenthost.protocol.codec import encode

Signal = Literal["", "go_on", "end"]
"""Whether one may be sent, and what comes after it."""
ASK_S, PY_SPY_S, SIGNAL_S = 0.6, 0.9, 0.4
"""Together less than the 2 s that a kill may wait."""
LOOK_S = 0.004
MOST_THREADS = 256
"""Of a process are looked at to see whether the handler still runs."""
MOST_SAID_BYTES = 4 * 1024 * 1024
NO_TASKS = "its async tasks are not known, for it did not answer"


class Told(NamedTuple):
    """``stack`` is empty if there is none; ``means`` says how it was had, or why not."""

    stack: str
    means: str


class _Cannot(Exception):
    """These means do not help; the text says why."""


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
        self._pids: set[int] = set()
        self._writing: dict[int, slate.Slate] = {}
        """Who was sent a signal."""

    def pids(self) -> set[int]:
        """Of processes that look; they are the host's own."""
        return set(self._pids)

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
        return Told(stack_text.from_faulthandler(data), f"faulthandler; {NO_TASKS}")

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
        why: list[str] = []
        try:
            return Told(await self._ask(incarnation), "its own thread")
        except _Cannot as reason:
            why.append(str(reason))
        try:
            return Told(await self._py_spy(incarnation), f"py-spy; {NO_TASKS}")
        except _Cannot as reason:
            why.append(str(reason))
        try:
            return Told(await self._signal(incarnation, look.signal), f"faulthandler; {NO_TASKS}")
        except _Cannot as reason:
            why.append(str(reason))
        return Told("", "none: " + "; ".join(dict.fromkeys(why)))

    # ---- asked

    async def _ask(self, incarnation: Incarnation) -> str:
        if incarnation.frozen:
            raise _Cannot("it is frozen")
        assert incarnation.born is not None
        self._last_id += 1
        key = incarnation.n, self._last_id
        future = self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            incarnation.born.birth_socket.send(encode(WantStack(id=self._last_id)))
            async with asyncio.timeout(ASK_S):
                return stack_text.bounded(await future)
        except (OSError, TimeoutError):
            raise _Cannot(f"it did not answer within {ASK_S:g} s") from None
        finally:
            del self._asked[key]

    # ---- from outside

    async def _py_spy(self, incarnation: Incarnation) -> str:
        if incarnation.exited:
            raise _Cannot("it has ended")
        program = py_spy()
        if program is None:
            raise _Cannot("py-spy is not installed")
        argv = [program, "dump", "--json", "--nonblocking", "--full-filenames", "--pid", str(incarnation.agent_pid)]
        status, said, error = await self._run(argv)
        if status is None:
            raise _Cannot(f"py-spy did not end within {PY_SPY_S:g} s")
        if status != 0:
            lines = error.decode("utf-8", "replace").strip().splitlines()
            raise _Cannot(f"py-spy: {lines[0][:200] if lines else f'exit status {status}'}")
        try:
            return stack_text.from_py_spy(said)
        except ValueError as reason:
            raise _Cannot(str(reason)) from None

    async def _run(self, argv: list[str]) -> tuple[int | None, bytes, bytes]:
        """Status, stdout, stderr; None if it took too long. subprocess makes no copy of us: it has vfork(2)."""
        with contextlib.ExitStack() as opened:
            files = []
            for _ in range(2):
                files.append(os.memfd_create("agenthost-py-spy", os.MFD_CLOEXEC))
                opened.callback(os.close, files[-1])
            try:
                child = subprocess.Popen(  # noqa: ASYNC220  # 1 ms; waiting for it is what must not block
                    argv, stdin=subprocess.DEVNULL, stdout=files[0], stderr=files[1], start_new_session=True
                )
            except OSError as error:
                raise _Cannot(f"{argv[0]}: {error.strerror}") from None
            ended = self._reap_later(child)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PY_SPY_S):
                    return await asyncio.shield(ended), _content(files[0]), _content(files[1])
            return None, b"", b""

    def _reap_later(self, child: subprocess.Popen[bytes]) -> asyncio.Future[int]:
        """Its exit status, when it has ended; it is killed if that takes too long, whoever waits."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        self._pids.add(child.pid)
        try:
            pidfd = os.pidfd_open(child.pid)
        except OSError:  # out of descriptors
            child.kill()
            self._reap_soon(child)
            raise
        late = loop.call_later(PY_SPY_S, child.kill)

        def reap() -> None:
            late.cancel()
            loop.remove_reader(pidfd)
            os.close(pidfd)
            ended.set_result(child.wait())
            self._pids.discard(child.pid)

        loop.add_reader(pidfd, reap)
        return ended

    def _reap_soon(self, child: subprocess.Popen[bytes]) -> None:
        """One that was killed, where no descriptor tells that it has ended."""
        if child.poll() is None:
            asyncio.get_running_loop().call_later(LOOK_S, self._reap_soon, child)
        else:
            self._pids.discard(child.pid)

    # ---- by a signal

    async def _signal(self, incarnation: Incarnation, signal: Signal) -> str:
        assert incarnation.born is not None and incarnation.agent_pid is not None
        page, pid = incarnation.born.slate, incarnation.agent_pid
        number = slate.LAST_SIGNAL if signal == "end" else slate.SIGNAL
        if page is None:
            raise _Cannot("it has no handler for a signal")
        if incarnation.exited:
            raise _Cannot("it has ended")
        if not signal:
            raise _Cannot("it is not sent a signal as long as it may come back")
        if why := _why_not_by_signal(pid, number, incarnation):
            raise _Cannot(why)
        until = time.monotonic() + SIGNAL_S
        while _is_taken(page, pid):
            if time.monotonic() > until:
                raise _Cannot("another agent was asked for the same page and may still write there")
            await asyncio.sleep(LOOK_S)
        page.wipe()
        page.taken_by = pid, procfs.start_time(pid) or 0
        self._writing[incarnation.n] = page
        is_over = False
        try:
            incarnation.signal_main(number)
            until = time.monotonic() + SIGNAL_S
            while not is_over and time.monotonic() < until:
                await asyncio.sleep(LOOK_S)
                is_over = page.written_bytes > 0 and not _is_handling(pid, number)
        finally:
            self._writing.pop(incarnation.n, None)
            if is_over:
                page.taken_by = None
        data = page.read()
        if not data:
            raise _Cannot(f"its handler of signal {number} did not run")
        return stack_text.from_faulthandler(data) + ("" if is_over else "\n[... it was not written to its end ...]")


def _is_taken(page: slate.Slate, pid: int) -> bool:
    """By another one, also by one that has ended and was not reaped yet: what it has written will be read then."""
    if page.taken_by is None or page.taken_by[0] == pid:
        return False
    return procfs.start_time(page.taken_by[0]) == page.taken_by[1]


def py_spy() -> str | None:
    """The one that was installed with us, or the first in PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "py-spy")
    return beside if os.access(beside, os.X_OK) else shutil.which("py-spy")


def _content(file: int) -> bytes:
    return os.pread(file, min(MOST_SAID_BYTES, os.fstat(file).st_size), 0)


def _why_not_by_signal(pid: int, number: int, incarnation: Incarnation) -> str:
    """Without its handler the signal would end it, and tell nothing; one that stands still would write when nobody
    reads any more."""
    status = _status(f"/proc/{pid}/status")
    if not status:
        return "it has ended"
    bit = 1 << (number - 1)
    if not int(status.get(b"SigCgt", b"0"), 16) & bit:
        return f"it has no handler for signal {number} any more"
    if int(status.get(b"SigBlk", b"0"), 16) & bit:
        return "it blocks the signal"
    state = status.get(b"State", b"?")[:1].decode()
    if incarnation.frozen or state in "Tt":
        return "it stands still"
    return "it waits in the kernel, where no signal reaches it" if state == "D" else ""


def _is_handling(pid: int, number: int) -> bool:
    """The signal is on its way, or its handler runs: while it does the kernel blocks it in that thread
    (sigaction(2)); but for that of the last one, which has ended its process after it."""
    bit = 1 << (number - 1)
    if number == slate.LAST_SIGNAL:
        return True
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
