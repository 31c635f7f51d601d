"""Tools in a test without a host: real processes, each in a session of its own, ended with their turn.

Contained as well as a test can: what a tool has started carries the tool's mark in its environment, and is looked for
in /proc when the tool ends. What was started with another environment is not found; in a host it is in the cell.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from agenthost.core.reason import from_wait
from agenthost.errors import StartFailed
from agenthost.protocol import control, wishes

MARK = "AGENTHOST_TEST_TOOL"
_GRACE_S = 5.0
_PATIENCE_S = 10.0


class Workbench:
    """Of one agent. ``on_end`` hears of each tool that has ended, when nothing of it is left. In a plain agent
    ``listen`` waits, in an async one the loop does."""

    def __init__(self, path: str, on_end: Callable[[control.Down], None], *, is_async: bool) -> None:
        self._path, self._on_end, self._is_async = path, on_end, is_async
        self._given: dict[int, list[int]] = {}
        self._wakes: dict[int, tuple[Callable[[], None], bool]] = {}
        self._running: dict[str, _Running] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    # ---- pipes (``tool_pipes.Plugs``)

    def attach(self, descriptor: int, wake: Callable[[], None], *, writes: bool = False) -> None:
        if self._is_async:
            loop = self._loop = asyncio.get_running_loop()
            (loop.add_writer if writes else loop.add_reader)(descriptor, wake)
        self._wakes[descriptor] = wake, writes

    def detach(self, descriptor: int) -> None:
        if self._wakes.pop(descriptor, None) is not None and self._loop is not None:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)

    def give(self, number: int, descriptors: list[int]) -> None:
        self._given[number] = [os.dup(descriptor) for descriptor in descriptors]

    def listen(self, seconds: float) -> bool:
        """Wait for one of them. False at once if nothing is awaited."""
        if not self._wakes:
            return False
        poll = select.poll()
        for descriptor, (_, writes) in self._wakes.items():
            poll.register(descriptor, select.POLLOUT if writes else select.POLLIN)
        for descriptor, _ in poll.poll(max(0, min(seconds, 3600)) * 1000):
            if descriptor in self._wakes:
                self._wakes[descriptor][0]()
        return True

    # ---- tools

    def run(self, wish: wishes.Run) -> dict[str, Any]:
        path = f"{self._path.rstrip('/')}/{wish.name}"
        descriptors = self._given.pop(wish.streams)
        mark = secrets.token_hex(8)
        try:
            process = subprocess.Popen(
                wish.argv,
                stdout=descriptors[0],
                stderr=descriptors[1],
                stdin=descriptors[2] if len(descriptors) > 2 else subprocess.DEVNULL,
                env={**wish.env, MARK: mark},
                cwd=wish.cwd,
                start_new_session=True,
            )
        except OSError as error:
            why = f"cannot enter {wish.cwd!r}" if error.filename == wish.cwd else f"cannot run {wish.argv[0]!r}"
            raise StartFailed(f"failed to start: {why}: {error.strerror}") from None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        tool = self._running[path] = _Running(process, mark, os.pidfd_open(process.pid))
        self.attach(tool.pidfd, lambda: self._ended(path))
        return {"path": path, "incarnation": f"0.{process.pid}"}

    def has(self, path: str) -> bool:
        return path in self._running

    def end(self, path: str, how: str) -> None:
        """Returns when nothing of it is left."""
        tool = self._running[path]
        if how == "stop":
            tool.process.terminate()
            try:
                tool.process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                pass  # it does not want to
        tool.process.kill()
        tool.process.wait()
        self._ended(path)

    def close(self) -> None:
        for path in list(self._running):
            self.end(path, "kill")

    def _ended(self, path: str) -> None:
        tool = self._running.pop(path, None)
        if tool is None:
            return
        self.detach(tool.pidfd)
        os.close(tool.pidfd)
        status = tool.process.wait()
        _end_marked(f"{MARK}={tool.mark}".encode())
        reason = from_wait(abs(status), by_signal=status < 0)
        self._on_end(
            control.Down(
                id=0,
                path=path,
                inc=f"0.{tool.process.pid}",
                reason=reason.words(),
                well=reason.well,
                code=status if status >= 0 else None,
                signal=-status if status < 0 else None,
            )
        )


class _Running:
    def __init__(self, process: subprocess.Popen[bytes], mark: str, pidfd: int) -> None:
        self.process, self.mark, self.pidfd = process, mark, pidfd


def _end_marked(entry: bytes) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while (pids := _marked(entry)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended by itself


def _marked(entry: bytes) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as environ:
                    if entry in environ.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue  # it has ended, or is somebody else's
    return found
