"""py-spy: a program that reads the calls of a Python process from its memory, from outside (the extra ``dump``).

It needs nothing of the process that it looks at, and only moves it where the kernel must be asked for leave: ours are
below us, and let us and all below us look (``kernel.try_let_trace``). What it reads was written by an author, and so
may be anything: its time, its memory and what it says are bounded. The rule: it is reaped, whoever waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys

from agenthost.host import stack_text

VARIABLE = "AGENTHOST_PY_SPY"
LONGEST_S = 0.9
MOST_SAID_BYTES = 4 * 1024 * 1024
"""Some fifteen thousand calls."""
MOST_MEMORY_BYTES = 512 * 1024 * 1024
"""RLIMIT_DATA: what it allocates; files that it maps do not count (setrlimit(2))."""
REAP_AGAIN_S = 0.004
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Cannot(Exception):
    """These means do not help; the text says why."""


def py_spy() -> str | None:
    """The one that ``AGENTHOST_PY_SPY`` names, or that was installed with us, or the first in PATH. None: there is
    none, or that variable is empty."""
    if (named := os.environ.get(VARIABLE)) is not None:
        return named or None
    beside = os.path.join(os.path.dirname(sys.executable), "py-spy")
    return beside if os.access(beside, os.X_OK) else shutil.which("py-spy")


class PySpy:
    def __init__(self) -> None:
        self._pids: set[int] = set()

    def pids(self) -> set[int]:
        """Of those that look; they are the host's own."""
        return set(self._pids)

    async def stack_of(self, pid: int) -> str:
        """``Cannot``; ``OSError`` where we are out of descriptors."""
        program = py_spy()
        if program is None:
            raise Cannot("py-spy is not installed")
        status, said, error = await self.run([program, "dump", "--json", "--nonblocking", "--pid", str(pid)])
        if status is None:
            raise Cannot(f"py-spy did not end within {LONGEST_S:g} s")
        if status != 0:
            lines = error.decode("utf-8", "replace").strip().splitlines()
            raise Cannot(f"py-spy: {lines[0][:200] if lines else f'exit status {status}'}")
        try:
            return stack_text.from_py_spy(said)
        except ValueError as reason:
            raise Cannot(str(reason)) from None

    async def run(self, argv: list[str]) -> tuple[int | None, bytes, bytes]:
        """Status, stdout, stderr; None if it took too long. subprocess makes no copy of us: it has vfork(2)."""
        with contextlib.ExitStack() as opened:
            files = []
            for _ in range(2):
                files.append(os.memfd_create("agenthost-py-spy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
                opened.callback(os.close, files[-1])
                os.ftruncate(files[-1], MOST_SAID_BYTES)
                fcntl.fcntl(files[-1], fcntl.F_ADD_SEALS, _SEALS)  # who says more fails
            try:
                child = subprocess.Popen(  # noqa: ASYNC220  # 1 ms; waiting for it is what must not block
                    argv, stdin=subprocess.DEVNULL, stdout=files[0], stderr=files[1], start_new_session=True
                )
            except OSError as error:
                raise Cannot(f"{argv[0]}: {error.strerror}") from None
            ended = self._reap_later(child)
            with contextlib.suppress(OSError):  # it has ended already
                resource.prlimit(child.pid, resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_S):
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
            _kill(child)
            self._reap_soon(child)
            raise
        late = loop.call_later(LONGEST_S, _kill, child)

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
            asyncio.get_running_loop().call_later(REAP_AGAIN_S, self._reap_soon, child)
        else:
            self._pids.discard(child.pid)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """It leads a group of its own, and is not reaped yet, so the number is its."""
    os.killpg(child.pid, signal.SIGKILL)


def _content(file: int) -> bytes:
    """What was written: its place in the file is ours, too (open(2))."""
    return os.pread(file, os.lseek(file, 0, os.SEEK_CUR), 0)
