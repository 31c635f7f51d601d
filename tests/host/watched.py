"""Agents whose turns stand still, or do not. The body is a list of a word and its arguments."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from typing import Any

from agenthost import Agent

SECRET = "hunter2-and-more"
STEP_S = 0.1


class Plain(Agent):
    def handle(self, message: Any, ctx: Any) -> Any:
        verb, *rest = message.body
        return getattr(self, verb)(ctx, *rest)

    def pid(self, ctx: Any) -> int:
        return os.getpid()

    def tick(self, ctx: Any, times: int) -> int:
        for _ in range(times):
            time.sleep(STEP_S)
            ctx.progress()
        return times

    def listen(self, ctx: Any, times: int) -> int:
        """To a tool that prints while it works."""
        script = f"for i in $(seq {times}); do sleep {STEP_S}; echo $i; done"
        return len(ctx.run(["sh", "-c", script]).text.split())

    def stand(self, ctx: Any, seconds: float = 1000.0) -> str:
        time.sleep(seconds)
        return "stood"

    def swallow(self, ctx: Any) -> None:
        while True:
            try:
                time.sleep(1000)
            except BaseException:  # as an author should not
                ctx.log("no")

    def hold(self, ctx: Any, fifo: str) -> str:
        """C code that holds the interpreter, some while after the turn began, until somebody writes. A signal does not
        end it: read(2) is begun again (signal(7), SA_RESTART)."""
        time.sleep(3 * STEP_S)
        return self.grab(ctx, fifo)

    def grab(self, ctx: Any, fifo: str) -> str:
        """The same from the first moment on: not a single beat."""
        descriptor = os.open(fifo, os.O_RDWR)
        ctypes.PyDLL(None).read(descriptor, ctypes.create_string_buffer(1), 1)
        os.close(descriptor)
        return "held"

    def tool(self, ctx: Any) -> Any:
        return ctx.run(["sh", "-c", "sleep 1000; true", "sh", "--password", SECRET], timeout=1000).status


class Async(Agent):
    async def handle(self, message: Any, ctx: Any) -> Any:
        beside = asyncio.create_task(self.wait(), name="beside")
        try:
            await self.wait()
        finally:
            beside.cancel()

    async def wait(self) -> None:
        await asyncio.sleep(1000)
