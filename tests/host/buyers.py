"""Agents of the tests of attempts. What was really done is counted in files, which nothing takes back."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message
from agenthost.errors import OutcomeUnknown


def note(file: Path, line: object) -> None:
    """One write(2) with O_APPEND: whole, or not there."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def count(file: Path, line: object) -> int:
    note(file, line)
    return file.read_text().count("\n")


def wait_for(name: str | None) -> None:
    while name and not Path(name).exists():
        time.sleep(0.002)


class Till(Agent):
    """Takes money: ``{"order": n, "wait": a file that lets it answer}``."""

    def handle(self, message: Message, ctx: Context) -> Any:
        number = count(Path(self.args["folder"]) / "paid", message.body["order"])
        wait_for(message.body.get("wait"))
        return number


class Buyer(Agent):
    """Buys once a message. ``how``: call, gather, run or popen."""

    def handle(self, message: Message, ctx: Context) -> Any:
        if message.body == "account":
            return self.state
        note(Path(self.args["folder"]) / "attempts", f"{message.body['order']} {ctx.attempt.number}")
        try:
            result = self.buy(message.body, ctx)
        except OutcomeUnknown as error:
            if error.call != ctx.attempt.open[0]:
                raise
            self.state[f"line {message.body['order']}"] = ctx.attempt.what_happened
            result = "unknown"
        note(Path(self.args["folder"]) / "bought", message.body["order"])
        wait_for(message.body.get("then"))
        self.state[str(message.body["order"])] = result
        return None

    def buy(self, order: dict[str, Any], ctx: Context) -> Any:
        idempotent = order.get("idempotent", False)
        argv = [sys.executable, __file__, str(self.args["folder"]), str(order["order"]), order.get("wait", "")]
        match order.get("how", "call"):
            case "gather":
                found = ctx.gather([("/till", order)], idempotent=idempotent, return_errors=True)[0]
                if isinstance(found, Exception):
                    raise found
                return found
            case "run":
                return int(ctx.run(argv, check=True, idempotent=idempotent).text)
            case "popen":
                with ctx.popen(argv, idempotent=idempotent) as tool:
                    assert tool.stdout is not None
                    return int(tool.stdout.readline())
        return ctx.call("/till", order, idempotent=idempotent)


class AsyncBuyer(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        if message.body == "account":
            return self.state
        note(Path(self.args["folder"]) / "attempts", f"{message.body['order']} {ctx.attempt.number}")
        try:
            result = await self.buy(message.body, ctx)
        except OutcomeUnknown as error:
            if error.call != ctx.attempt.open[0]:
                raise
            self.state[f"line {message.body['order']}"] = ctx.attempt.what_happened
            result = "unknown"
        note(Path(self.args["folder"]) / "bought", message.body["order"])
        wait_for(message.body.get("then"))
        self.state[str(message.body["order"])] = result
        return None

    async def buy(self, order: dict[str, Any], ctx: AsyncContext) -> Any:
        idempotent = order.get("idempotent", False)
        argv = [sys.executable, __file__, str(self.args["folder"]), str(order["order"]), order.get("wait", "")]
        match order.get("how", "call"):
            case "gather":
                found = (await ctx.gather([("/till", order)], idempotent=idempotent, return_errors=True))[0]
                if isinstance(found, Exception):
                    raise found
                return found
            case "run":
                return int((await ctx.run(argv, check=True, idempotent=idempotent)).text)
            case "popen":
                async with await ctx.popen(argv, idempotent=idempotent) as tool:
                    assert tool.stdout is not None
                    return int(await tool.stdout.readline())
        return await ctx.call("/till", order, idempotent=idempotent)


class Keeper(Agent):
    """Points to go back to, and a state of its second version if it is told so."""

    def __init__(self) -> None:
        self.state_version = self.args.get("version", 0)

    def migrate(self, state: Any, from_version: int) -> Any:
        return {**state, "migrated": from_version}

    def handle(self, message: Message, ctx: Context) -> Any:
        body = message.body
        if "keep" in body:
            ctx.checkpoint(body["keep"])
        if "back" in body:
            ctx.roll_back(body["back"])
        if "set" in body:
            self.state["value"] = body["set"]
        return self.state


class Boss(Agent):
    """Starts and stops what persists."""

    def handle(self, message: Message, ctx: Context) -> Any:
        body = message.body
        if "start" in body:
            kind = {"agent": f"{__file__}:Boss"} if body.get("by_name") else {}
            what: Any = kind or (lambda message: ["code", message.body, body["start"]])
            return ctx.start(what, name=body["start"], persist=body.get("persist", True), **body.get("keys", {})).path
        if "count" in body:
            self.state["count"] = self.state.get("count", 0) + 1
            return self.state["count"]
        if "ask" in body:
            return ctx.call(f"{ctx.path}/{body['ask']}", body["body"])
        return "?"


if __name__ == "__main__":  # the tool
    print(count(Path(sys.argv[1]) / "paid", sys.argv[2]), flush=True)
    wait_for(sys.argv[3])
