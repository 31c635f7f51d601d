"""Agents whose turns last until they are interrupted. The body is a list of a word and its arguments."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from pathlib import Path
from typing import Any

from agenthost import Agent

ME = __file__


class Plain(Agent):
    def handle(self, message: Any, ctx: Any) -> Any:
        verb, *rest = message.body
        return getattr(self, verb)(ctx, *rest)

    def pid(self, ctx: Any) -> int:
        return os.getpid()

    def sleep(self, ctx: Any, seconds: float = 1000.0) -> str:
        time.sleep(seconds)
        return "slept"

    def hold(self, ctx: Any) -> None:
        """C code that holds the interpreter: nothing of Python runs any more."""
        ctypes.PyDLL(None).sleep(1000)

    def run(self, ctx: Any, *argv: str) -> Any:
        return ctx.run(list(argv), timeout=1000).status

    def talk(self, ctx: Any) -> Any:
        """What the end of a tool breaks: there is no number in an empty line."""
        return int(ctx.popen(["sleep", "1000"]).stdout.readline())

    def bear(self, ctx: Any) -> Any:
        """Interrupts a child, without a turn in hand and with one; then the child still answers."""
        child = ctx.start(f"{ME}:Plain", name="sub")
        before = child.call(["pid"])
        idle = child.interrupt()
        child.send(["touch", self.args["file"]])
        while not os.path.exists(self.args["file"]):
            time.sleep(0.002)
        done = child.interrupt("enough")
        return {"idle": idle, "done": done, "same": child.call(["pid"]) == before}

    def touch(self, ctx: Any, file: str) -> None:
        Path(file).touch()
        time.sleep(1000)

    def swallow(self, ctx: Any) -> None:
        while True:
            try:
                time.sleep(1000)
            except BaseException as error:  # as an author should not
                self.state["error"] = str(error)


class Async(Agent):
    async def handle(self, message: Any, ctx: Any) -> Any:
        verb, *rest = message.body
        return await getattr(self, verb)(ctx, *rest)

    async def pid(self, ctx: Any) -> int:
        return os.getpid()

    async def sleep(self, ctx: Any, seconds: float = 1000.0) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    async def run(self, ctx: Any, *argv: str) -> Any:
        return (await ctx.run(list(argv), timeout=1000)).status

    async def talk(self, ctx: Any) -> Any:
        return int(await (await ctx.popen(["sleep", "1000"])).stdout.readline())

    async def hold(self, ctx: Any, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        ctypes.PyDLL(None).sleep(1000)
