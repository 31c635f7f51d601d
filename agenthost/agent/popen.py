"""``ctx.popen``: a tool that is talked to over its standard streams, for the turn or, with ``keep``, for longer.

:class:`Tool` has files, ``async_popen.AsyncTool`` asyncio's streams. A plain agent that reads from a tool waits in the
read: it hears nothing else meanwhile, as while it computes.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from agenthost.agent.birth import How, end_all
from agenthost.agent.blocking import finish
from agenthost.agent.kin import Kin
from agenthost.agent.progress import Output
from agenthost.agent.ran import words
from agenthost.agent.tool_pipes import Pipes, Where
from agenthost.agent.tool_wants import check_seconds, check_surroundings
from agenthost.agent.tools import Argv, ToolBirth, begin, plain_words, wait_ready
from agenthost.errors import TimedOut, UsageError

if TYPE_CHECKING:
    from agenthost.agent.monitor import Watch

_LAST_WORD_S = 10.0
"""How long the news of an end may take that the host has said to be over."""


async def start(
    kin: Kin,
    argv: Argv,
    *,
    stdin: Where,
    stdout: Where,
    stderr: Where,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    limits: dict[str, Any] | None,
    keep: bool,
    name: str | None,
) -> ToolBirth:
    """Running, its near ends not taken yet. Behind ``ctx.popen``."""
    called = plain_words(argv)
    if stdin == "log" or not {stdin, stdout, stderr} <= {"pipe", "log", "null"}:
        raise UsageError(
            f"cannot run {words(called)}: its streams cannot be {stdin!r}, {stdout!r}, {stderr!r}",
            hint='each is "pipe" or "null"; stdout and stderr may be "log"',
        )
    check_surroundings(env, cwd)
    pipes = Pipes(stdin, stdout, stderr)
    birth = begin(kin, called, pipes, env=env, cwd=cwd, limits=limits, until=None, of_turn=not keep, name=name)
    try:
        await wait_ready(birth, kin.limit(None))
    except BaseException:  # as in tools.run
        await end_all(kin, [birth], "kill")
        birth.over()
        raise
    return birth


class AnyTool:
    """What both kinds share: the end."""

    def __init__(self, kin: Kin, birth: ToolBirth) -> None:
        self._kin, self._birth = kin, birth
        self.path = birth.path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    @property
    def _watch(self) -> Watch:
        return self._birth.watch

    @property
    def reason(self) -> str | None:
        """Why it has ended, in words; None while it runs."""
        return None if self._watch.ended is None else self._watch.ended.reason

    def _status(self) -> int | None:
        """As ``subprocess`` has it: the exit status, or minus the number of the signal. None while it runs."""
        watch = self._watch
        if watch.ended is None:
            return None
        self._birth.over()
        return watch.status if watch.status is not None else -(watch.signal or 9)

    async def _wait(self, timeout: float | None) -> int:
        check_seconds(timeout)
        kin, watch = self._kin, self._watch
        if not await kin.until(lambda: watch.ended is not None, kin.patience(timeout), watch.bell):
            raise TimedOut(f"cannot wait for {self.path}: it has not ended in time")
        status = self._status()
        assert status is not None
        return status

    async def _end(self, how: How) -> None:
        kin, watch = self._kin, self._watch
        if watch.ended is None:
            await end_all(kin, [self._birth], how)
            await kin.until(lambda: watch.ended is not None, time.monotonic() + _LAST_WORD_S, watch.bell)
        self._birth.over()


class Tool(AnyTool):
    """Of an agent whose handler is a plain function. ``stdin``, ``stdout`` and ``stderr`` are binary files with a
    buffer, None where they are no pipe. It ends with the turn, and its files are closed then, unless it is kept."""

    def __init__(self, kin: Kin, birth: ToolBirth) -> None:
        super().__init__(kin, birth)
        self.stdin: BinaryIO | None = near_end(birth, "stdin", "wb")
        self.stdout: BinaryIO | None = near_end(birth, "stdout", "rb")
        self.stderr: BinaryIO | None = near_end(birth, "stderr", "rb")
        if birth.of_turn:
            kin.all_tools().to_close.append(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            _close(self.stdin)
        finally:
            finish(self._end("stop" if error is None else "kill"))
            self.close()

    def poll(self) -> int | None:
        """The exit status, minus the number of the signal that ended it, or None while anything of it runs."""
        self._kin.look()
        return self._status()

    def wait(self, timeout: float | None = None) -> int:
        """Until nothing of it is left; as :meth:`poll`. ``TimedOut`` after ``timeout`` seconds, or when the time of
        this turn's caller is over. Read its pipes before: it cannot end while it waits for a reader."""
        return finish(self._wait(timeout))

    def stop(self) -> None:
        """TERM, and KILL after five seconds; returns when nothing of it is left."""
        finish(self._end("stop"))

    def kill(self) -> None:
        """KILL; returns when nothing of it is left. What it has printed can still be read."""
        finish(self._end("kill"))

    def close(self) -> None:
        """Close its files."""
        for file in (self.stdin, self.stdout, self.stderr):
            _close(file)


def near_end(birth: ToolBirth, name: str, mode: str) -> Any:
    descriptor = birth.pipes.take(name)
    if descriptor is None:
        return None
    return io.BufferedReader(Output(descriptor, "rb")) if mode == "rb" else os.fdopen(descriptor, mode)


def _close(file: BinaryIO | None) -> None:
    if file is not None:
        try:
            file.close()
        except OSError:
            pass  # it did not want the rest of what was written (EPIPE)
