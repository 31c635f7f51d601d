"""Agents of the kills: numbers from 1 on are counted, told and passed on, each once; ``account`` is what came of it."""

from __future__ import annotations

import time
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message

LATER_S = 0.05


def count(state: dict[str, Any], number: int) -> None:
    last = state.get("last", 0)
    if number != last + 1:
        state.setdefault("wrong", []).append([last, number])
    state["last"] = number
    state["count"] = state.get("count", 0) + 1


class Link(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        if message.body == "account":
            return self.state
        number = message.body
        count(self.state, number)
        ctx.emit("counted", number=number)
        with ctx.stream("said") as out:
            out.write("number ")
            out.write(str(number))
        if "next" in self.args:
            ctx.send(self.args["next"], number)
        if "later" in self.args:
            ctx.send_after(self.args["later"], [number, time.time() + LATER_S], LATER_S)
            ctx.send_after(self.args["later"], [-number, 0], 3600, key=f"reminder {number}")
            ctx.cancel(f"reminder {number - 1}")
        return None


class AsyncLink(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        if message.body == "account":
            return self.state
        number = message.body
        count(self.state, number)
        ctx.emit("counted", number=number)
        with ctx.stream("said") as out:
            out.write("number ")
            out.write(str(number))
        if "next" in self.args:
            await ctx.send(self.args["next"], number)
        return None


class Latecomer(Agent):
    """In any order. The sums tell a number that was lost from one that was doubled."""

    def handle(self, message: Message, ctx: Context) -> Any:
        state = self.state
        match message.body:
            case "account":
                return state
            case "tick":
                state["ticks"] = state.get("ticks", 0) + 1
            case [number, due]:
                state["count"] = state.get("count", 0) + 1
                state["sum"] = state.get("sum", 0) + number
                state["squares"] = state.get("squares", 0) + number * number
                if time.time() < due - 0.001:
                    state.setdefault("early", []).append(number)
        return None
