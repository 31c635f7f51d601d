"""Agents of the tests of durable mail and state. What they have done stands in their state, and in files."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message, Refuse


class Poster(Agent):
    """Does what a message says: ``{"do": verb, ...}``; anything else is written down."""

    def handle(self, message: Message, ctx: Context) -> Any:
        body = message.body
        if not isinstance(body, dict) or "do" not in body:
            self.state.setdefault("got", []).append([message.sender, body, message.attempt])
            return len(self.state["got"])
        return getattr(self, "do_" + body["do"])(body, message, ctx)

    def do_state(self, body: Any, message: Message, ctx: Context) -> Any:
        return self.state

    def do_set(self, body: Any, message: Message, ctx: Context) -> Any:
        self.state[body["key"]] = body["value"]

    def do_send(self, body: Any, message: Message, ctx: Context) -> Any:
        self.state["sends"] = self.state.get("sends", 0) + 1
        for value in body["values"]:
            ctx.send(body["to"], value)
        if body.get("then") == "refuse":
            raise Refuse("not today")
        if body.get("then") == "crash":
            raise ValueError("in the middle")
        return "sent"

    def do_crash(self, body: Any, message: Message, ctx: Context) -> Any:
        """As often as it is told to, by a file that survives."""
        file = Path(body["file"])
        count = int(file.read_text()) if file.exists() else 0
        file.write_text(str(count + 1))
        self.state["lost"] = True
        if count < body["times"]:
            if body.get("how") == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("crashed as told")
        del self.state["lost"]
        self.state["crashed"] = [message.attempt, ctx.attempt.number]

    def do_refuse(self, body: Any, message: Message, ctx: Context) -> Any:
        self.state["lost"] = True
        raise Refuse("never")

    def do_unfit(self, body: Any, message: Message, ctx: Context) -> Any:
        self.state["set"] = {1, 2}

    def do_huge(self, body: Any, message: Message, ctx: Context) -> Any:
        self.state["huge"] = "x" * (17 * 1024 * 1024)

    def do_nap(self, body: Any, message: Message, ctx: Context) -> Any:
        Path(body["file"]).touch()
        while not Path(body["until"]).exists():
            time.sleep(0.005)
        self.state["napped"] = message.attempt

    def do_sub(self, body: Any, message: Message, ctx: Context) -> Any:
        child = ctx.start(f"{__file__}:Poster", name=body["name"])
        try:
            before = child.call({"do": "state"})
            child.call("something to remember")
            after = child.call({"do": "state"})
        finally:
            child.stop()
        return [before, after]


class Starter(Poster):
    """Touches its state before it is up."""

    def __init__(self) -> None:
        self.at_birth = dict(self.state)

    def on_start(self, ctx: Context) -> None:
        self.state["starts"] = self.state.get("starts", 0) + 1

    def do_at_birth(self, body: Any, message: Message, ctx: Context) -> Any:
        return self.at_birth


class AsyncPoster(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        body = message.body
        if not isinstance(body, dict) or "do" not in body:
            self.state.setdefault("got", []).append([message.sender, body, message.attempt])
            return len(self.state["got"])
        if body["do"] == "state":
            return self.state
        if body["do"] == "send":
            self.state["sends"] = self.state.get("sends", 0) + 1
            for value in body["values"]:
                await ctx.send(body["to"], value)
            if body.get("then") == "refuse":
                raise Refuse("not today")
            if body.get("then") == "crash":
                raise ValueError("in the middle")
            return "sent"
        raise Refuse("never")


class Plain(Agent):
    """Uses nothing durable."""

    def handle(self, message: Message, ctx: Context) -> Any:
        if message.body == "has a door":
            return [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_stream(int(fd))]
        return message.body


def _is_stream(fd: int) -> bool:
    """A connected socket pair: neither end has a name."""
    try:
        with socket.socket(fileno=os.dup(fd)) as found:
            is_stream = found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM
            return is_stream and not found.getsockname() and not found.getpeername()
    except OSError:
        return False  # no socket, or one that listens


class Relay(Agent):
    """Numbers come from 1 on. Each is to be counted once, in order, and passed on."""

    def handle(self, message: Message, ctx: Context) -> Any:
        if message.body == "account":
            return self.state
        number = message.body
        last = self.state.get("last", 0)
        if number != last + 1:
            self.state.setdefault("wrong", []).append([last, number])
        self.state["last"] = number
        self.state["count"] = self.state.get("count", 0) + 1
        if "next" in self.args:
            ctx.send(self.args["next"], number)
        return None


class AsyncRelay(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        if message.body == "account":
            return self.state
        number = message.body
        last = self.state.get("last", 0)
        if number != last + 1:
            self.state.setdefault("wrong", []).append([last, number])
        self.state["last"] = number
        self.state["count"] = self.state.get("count", 0) + 1
        if "next" in self.args:
            await ctx.send(self.args["next"], number)
        return None
