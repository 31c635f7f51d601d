"""Agents of the tests of session logs: they tell what a message says, piece by piece, and wait for files in between."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message, Refuse


class Teller(Agent):
    """``{"pieces": [...], "wait": file, "then": how it ends, "times": how often so}``."""

    def handle(self, message: Message, ctx: Context) -> Any:
        body = message.body
        if not isinstance(body, dict) or "pieces" not in body:
            return getattr(self, f"do_{body}")(ctx) if str(body).startswith("try_") else {"heard": body}
        ctx.emit("note", attempt=ctx.attempt.number)
        with ctx.stream("answer", model="m") as out:
            for piece in body["pieces"]:
                out.write(piece)
                time.sleep(0.025)  # the pace of a model: each piece is said by itself
            while not _is_time(body):
                time.sleep(0.005)
            _end(body, ctx.attempt.number)
            out.set(done=True)
        return {"said": len(out.text)}

    def do_try_misuse(self, ctx: Context) -> list[str]:
        found = []
        with ctx.stream("s") as out:
            out.write("x")
        for deed in (
            lambda: ctx.emit("message", body=1),
            lambda: ctx.emit(""),
            lambda: ctx.stream("s", text="x"),
            lambda: ctx.emit("s", bad={1, 2}),
            lambda: ctx.emit("s", big=bytes(17 * 1024 * 1024)),
            lambda: out.write("after its block"),
        ):
            try:
                deed()
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}")
        self.kept = ctx
        return found

    def do_try_later(self, ctx: Context) -> str:
        try:
            self.kept.emit("late")
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "told"

    def do_try_left_block(self, ctx: Context) -> str:
        """The turn goes on after a stream that was left by an exception."""
        try:
            with ctx.stream("answer") as out:
                out.write("half")
                raise KeyError("in the midst")
        except KeyError:
            ctx.emit("note", text="went on")
        return "done"


class AsyncTeller(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        body = message.body
        if not isinstance(body, dict) or "pieces" not in body:
            return {"heard": body}
        ctx.emit("note", attempt=ctx.attempt.number)
        async with ctx.stream("answer", model="m") as out:
            for piece in body["pieces"]:
                out.write(piece)
                await asyncio.sleep(0)
            while not _is_time(body):  # noqa: ASYNC110 - what it waits for is a file of the test
                await asyncio.sleep(0.005)
            _end(body, ctx.attempt.number)
            out.set(done=True)
        return {"said": len(out.text)}


def _is_time(body: Any) -> bool:
    return "wait" not in body or Path(body["wait"]).exists()


def _end(body: Any, attempt: int) -> None:
    if attempt > body.get("times", 1 << 30):
        return
    match body.get("then"):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ValueError("in the middle")
        case "refuse":
            raise Refuse("not today")
