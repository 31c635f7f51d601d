"""Agents of the tests of answers and loops."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message


def tell(ctx: Context | AsyncContext, text: str) -> None:
    with ctx.stream("answer") as out:
        for word in text.split():
            out.write(f"{word} ")
            time.sleep(0.025)  # the pace of a model


class Writer(Agent):
    """Tells the answer, and returns it to a call. The first that it thinks of is no good, the one after that is."""

    def handle(self, message: Message, ctx: Context) -> Any:
        self.state["tries"] = self.state.get("tries", 0) + 1
        text = "this is bad" if ctx.attempt.number <= message.body["bad"] else f"fine after {ctx.attempt.number}"
        tell(ctx, text)
        return text if message.kind == "call" else None

    def check(self, reply: Any) -> str | None:
        text = reply["text"] if isinstance(reply, dict) else reply
        return "it is bad" if "bad" in text else None


class AsyncWriter(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        self.state["tries"] = self.state.get("tries", 0) + 1
        text = "this is bad" if ctx.attempt.number <= message.body["bad"] else f"fine after {ctx.attempt.number}"
        tell(ctx, text)
        return text if message.kind == "call" else None

    async def check(self, reply: Any) -> str | None:
        text = reply["text"] if isinstance(reply, dict) else reply
        return "it is bad" if "bad" in text else None


class Slow(Agent):
    """Its check takes until it is interrupted."""

    def handle(self, message: Message, ctx: Context) -> Any:
        return message.body

    def check(self, reply: Any) -> None:
        Path(self.args["file"]).touch()
        time.sleep(60)


class Same(Agent):
    """Returns what it is told."""

    def handle(self, message: Message, ctx: Context) -> Any:
        return message.body


class Judge(Agent):
    """Takes its time over what is "slow"."""

    def handle(self, message: Message, ctx: Context) -> Any:
        Path(self.args["file"]).touch()
        while message.body["answer"] == "slow" and not ctx.stopping:
            time.sleep(0.01)
        return "yes" if message.body["answer"] == "good" else "no, it is not good"


class Circling(Agent):
    """``calls``: how often the same call is made; ``runs``: the same with a program; ``dies``: after that it kills its
    process. What is raised is written to a file and swallowed."""

    def handle(self, message: Message, ctx: Context) -> Any:
        for _ in range(message.body.get("calls", 0)):
            self._try(lambda: ctx.call("/echo", "same"))
        for _ in range(message.body.get("runs", 0)):
            self._try(lambda: ctx.run(["true"]))
        if message.body.get("dies", 0) >= ctx.attempt.number:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    def _try(self, deed: Any) -> None:
        try:
            deed()
            line = "made"
        except BaseException as error:
            line = type(error).__name__
        with Path(self.args["file"]).open("a") as file:
            file.write(f"{line}\n")
