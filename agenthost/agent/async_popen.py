"""``ctx.popen`` of an async agent: asyncio's streams on a tool's pipes."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from agenthost.agent.kin import Kin
from agenthost.agent.popen import AnyTool, near_end
from agenthost.agent.progress import steps
from agenthost.agent.tools import ToolBirth

LONGEST_LINE_BYTES = 16 * 1024 * 1024
"""Of what ``readline`` takes; answers of tool servers hold whole files."""


class AsyncTool(AnyTool):
    """Of an async agent; ``stdin`` is an ``asyncio.StreamWriter``, ``stdout`` and ``stderr`` are readers, None where
    they are no pipe. The rest as in :class:`Tool`."""

    def __init__(self, kin: Kin, birth: ToolBirth) -> None:
        super().__init__(kin, birth)
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._transports: list[asyncio.BaseTransport] = []
        if birth.of_turn:
            kin.all_tools().to_close.append(self.close)

    async def connect(self) -> Self:
        self.stdin = await self._writer()
        self.stdout, self.stderr = await self._reader("stdout"), await self._reader("stderr")
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.stdin is not None:
            self.stdin.close()
        try:
            await self._end("stop" if error is None else "kill")
        finally:
            self.close()

    def poll(self) -> int | None:
        """As in :class:`Tool`."""
        return self._status()

    async def wait(self, timeout: float | None = None) -> int:
        """As in :class:`Tool`."""
        return await self._wait(timeout)

    async def stop(self) -> None:
        """As in :class:`Tool`."""
        await self._end("stop")

    async def kill(self) -> None:
        """As in :class:`Tool`."""
        await self._end("kill")

    def close(self) -> None:
        """Close its streams."""
        for transport in self._transports:
            transport.close()

    async def _reader(self, name: str) -> asyncio.StreamReader | None:
        file = near_end(self._birth, name, "rb")
        if file is None:
            return None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LONGEST_LINE_BYTES, loop=loop)
        transport, _ = await loop.connect_read_pipe(lambda: _Counted(reader, loop=loop), file)
        self._transports.append(transport)
        return reader

    async def _writer(self) -> asyncio.StreamWriter | None:
        file = near_end(self._birth, "stdin", "wb")
        if file is None:
            return None
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(lambda: asyncio.streams.FlowControlMixin(loop=loop), file)
        self._transports.append(transport)
        return asyncio.StreamWriter(transport, protocol, None, loop)


class _Counted(asyncio.StreamReaderProtocol):
    def data_received(self, data: bytes) -> None:
        steps.count += 1
        super().data_received(data)
