"""Agents that sleep, for the tests of sleep. What they have got stands in their state; files hold them up."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message


class Sleeper(Agent):
    """Numbers are written down; ``{"do": verb}`` is done. While the file ``FOLDER/hold-start`` or ``hold-stop`` is
    there, its start or its end waits, and says so by ``starting`` or ``stopping``."""

    def on_start(self, ctx: Context) -> None:
        hold(self.args, "start")

    def on_stop(self, ctx: Context) -> None:
        self.state["stops"] = self.state.get("stops", 0) + 1
        hold(self.args, "stop")

    def handle(self, message: Message, ctx: Context) -> Any:
        body = message.body
        if not isinstance(body, dict):
            return note(self.state, message)
        match body["do"]:
            case "state":
                return self.state
            case "pid":
                return os.getpid()
            case "monitor":
                monitor = ctx.monitor(body["path"])
                Path(body["file"]).touch()
                ended = monitor.wait(timeout=50)
                return [ended.incarnation == monitor.incarnation, ended.reason, ended.well]
            case "many":
                return [ctx.call(body["path"], number, timeout=50) for number in body["numbers"]]
            case "sub":
                child = ctx.start(f"{__file__}:Sleeper", name="sub", args={})
                return child.call(body["number"])
            case "nap":
                time.sleep(body["s"])
        return None


class AsyncSleeper(Agent):
    async def on_start(self, ctx: AsyncContext) -> None:
        hold(self.args, "start")

    async def on_stop(self, ctx: AsyncContext) -> None:
        self.state["stops"] = self.state.get("stops", 0) + 1
        hold(self.args, "stop")

    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        body = message.body
        if not isinstance(body, dict):
            return note(self.state, message)
        if body["do"] == "state":
            return self.state
        if body["do"] == "many":
            return [await ctx.call(body["path"], number, timeout=50) for number in body["numbers"]]
        return None


def note(state: Any, message: Message) -> int:
    """Returns how many times it was there before."""
    got = state.setdefault("got", {})
    name = str(message.body)
    got[name] = got.get(name, 0) + 1
    return int(got[name]) - 1


SIGNS = {"start": "starting", "stop": "stopping"}


def hold(args: dict[str, Any], what: str) -> None:
    folder = Path(args["folder"]) if "folder" in args else None
    if folder is None:
        return
    (folder / SIGNS[what]).touch()
    while (folder / f"hold-{what}").exists():
        time.sleep(0.002)
