"""Agents of the tests of budgets: the body says what is used, in order, and how the turn ends."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from agenthost import Agent, TurnFailed


def spend(ctx: Any, body: Any) -> None:
    for cost in body.get("cost", ()):
        ctx.spend(10, 1, cost=cost)
    for model, tokens in body.get("tokens", {}).items():
        ctx.spend(tokens, model=model)


class Spender(Agent):
    def handle(self, message: Any, ctx: Any) -> Any:
        body: dict[str, Any] = message.body or {}
        spend(ctx, body)
        for _ in range(body.get("runs", 0)):
            ctx.run(["true"])
        match body.get("end"):
            case "compute":
                while True:
                    sum(range(1000))
            case "sleep":
                time.sleep(1000)
            case "die":
                os._exit(3)
            case "fail":
                raise TurnFailed("no good")
            case "again":
                before = dict(self.args)
                while self.args == before:  # the host hears, and answers
                    spend(ctx, {"cost": [0.0]})
                    time.sleep(0.001)
            case "hold":
                while not os.path.exists(body["until"]):
                    time.sleep(0.01)
                spend(ctx, {"cost": [0.0]})
        self.state["handled"] = self.state.get("handled", 0) + 1
        return dict(self.args)


class AsyncSpender(Agent):
    async def handle(self, message: Any, ctx: Any) -> Any:
        body: dict[str, Any] = message.body or {}
        spend(ctx, body)
        if body.get("end") == "sleep":
            await asyncio.sleep(1000)
        return dict(self.args)
