"""The pipes of a tool: made by the agent, their far ends given to the host; and :class:`Pump`, which feeds and empties
those of ``ctx.run`` while the agent waits.

The rule: what is made here is closed here, whatever happens, and nothing here waits.
"""

from __future__ import annotations

import os
from typing import Literal, Protocol

from agenthost.agent.progress import steps
from agenthost.agent.tool_output import Echo, Kept

Where = Literal["pipe", "log", "null"]
"""``log``: the agent's own stdout, and so its log."""

_CHUNK_BYTES, _CHUNKS_AT_ONCE = 64 * 1024, 16
_LAST_BYTES = 2 * 1024 * 1024
"""What a pipe may hold when its tool has gone: 64 KiB by default, 1 MiB at most for users (pipe(7))."""


class Plugs(Protocol):
    """What a desk does for pipes. ``wake`` is called whenever the descriptor can be read or written."""

    def attach(self, descriptor: int, wake: Wake, *, writes: bool = False) -> None: ...

    def detach(self, descriptor: int) -> None: ...

    def give(self, number: int, descriptors: list[int]) -> None:
        """The packet Streams. ``Overloaded`` if the host does not take it now."""


class Wake(Protocol):
    def __call__(self) -> None: ...


class Pipes:
    """``near`` are the agent's ends, None where there is none; ``far`` the tool's: stdout, stderr, and stdin unless
    that is /dev/null."""

    def __init__(self, stdin: Where, stdout: Where, stderr: Where) -> None:
        self.near: dict[str, int | None] = {"stdin": None, "stdout": None, "stderr": None}
        self.far: list[int] = []
        self._to_close: list[int] = []
        try:
            for name, where in (("stdout", stdout), ("stderr", stderr)):
                self.far.append(self._output(name, where))
            if stdin == "pipe":
                read, write = os.pipe()
                self.near["stdin"] = write
                self._to_close.append(read)
                self.far.append(read)
        except OSError:
            self.close()
            raise

    def given(self) -> None:
        """The host has the far ends."""
        for descriptor in self._to_close:
            os.close(descriptor)
        self._to_close.clear()

    def take(self, name: str) -> int | None:
        """A near end; whoever takes it closes it."""
        descriptor, self.near[name] = self.near[name], None
        return descriptor

    def close(self) -> None:
        self.given()
        for name in self.near:
            if (descriptor := self.take(name)) is not None:
                os.close(descriptor)

    def _output(self, name: str, where: Where) -> int:
        if where == "log":
            return 1
        if where == "null":
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            self._to_close.append(null)
            return null
        read, write = os.pipe()
        self.near[name] = read
        self._to_close.append(write)
        return write


class Pump:
    """Reads both outputs as they come and writes ``feed`` as it is taken."""

    def __init__(self, plugs: Plugs, pipes: Pipes, feed: bytes, most: int, echo: tuple[Echo, Echo]) -> None:
        self._plugs = plugs
        self.out, self.err = Kept(most), Kept(most)
        self._echo = echo
        self._feed = memoryview(feed)
        self._stdin = pipes.take("stdin")
        self._open: dict[int, tuple[Kept, Echo]] = {}
        for name, kept, to in (("stdout", self.out, echo[0]), ("stderr", self.err, echo[1])):
            descriptor = pipes.take(name)
            assert descriptor is not None
            self._open[descriptor] = (kept, to)
        for descriptor in (*self._open, *(() if self._stdin is None else (self._stdin,))):
            os.set_blocking(descriptor, False)

    def begin(self) -> None:
        for descriptor in list(self._open):
            self._plugs.attach(descriptor, _Reads(self, descriptor))
        if self._stdin is not None:
            self._plugs.attach(self._stdin, self._write, writes=True)

    def finish(self) -> None:
        """The tool has gone: what it has written is in the pipes. Whoever else holds them is not waited for."""
        for descriptor in list(self._open):
            left = _LAST_BYTES
            while descriptor in self._open and left > 0 and (read := self._read_once(descriptor)):
                left -= read
        self.close()

    def close(self) -> None:
        for descriptor in list(self._open):
            self._shut(descriptor)
        self._shut_stdin()
        for echo in self._echo:
            echo.close()
        self._echo = ()  # type: ignore[assignment]  # said once

    def read(self, descriptor: int) -> None:
        for _ in range(_CHUNKS_AT_ONCE):
            if descriptor not in self._open or self._read_once(descriptor) < _CHUNK_BYTES:
                return

    def _read_once(self, descriptor: int) -> int:
        """Bytes that came, 0 if none are there."""
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._shut(descriptor)
            return 0
        steps.count += 1
        kept, echo = self._open[descriptor]
        kept.add(data)
        echo.add(data)
        return len(data)

    def _write(self) -> None:
        assert self._stdin is not None
        try:
            while self._feed:
                self._feed = self._feed[os.write(self._stdin, self._feed[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass  # it does not want the rest
        self._shut_stdin()

    def _shut(self, descriptor: int) -> None:
        del self._open[descriptor]
        self._plugs.detach(descriptor)
        os.close(descriptor)

    def _shut_stdin(self) -> None:
        descriptor, self._stdin = self._stdin, None
        if descriptor is not None:
            self._plugs.detach(descriptor)
            os.close(descriptor)


class _Reads:
    __slots__ = ("_descriptor", "_pump")

    def __init__(self, pump: Pump, descriptor: int) -> None:
        self._pump, self._descriptor = pump, descriptor

    def __call__(self) -> None:
        self._pump.read(self._descriptor)
