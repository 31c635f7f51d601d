"""Agents whose remedies are code of their own, which may take for ever."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message, TurnFailed


class Stuck(Agent):
    """Its ``compact()`` never returns."""

    def handle(self, message: Message, ctx: Context) -> Any:
        if message.kind == "send" and "well" not in self.args:
            raise TurnFailed("no good")
        return self.args.get("well")

    def compact(self, state: dict[str, Any]) -> None:
        print("compacting", flush=True)
        time.sleep(1000)


class AsyncStuck(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        if message.kind == "send" and "well" not in self.args:
            raise TurnFailed("no good")
        return self.args.get("well")

    async def compact(self, state: dict[str, Any]) -> None:
        print("compacting", flush=True)
        await asyncio.sleep(1000)


class Owner(Agent):
    """Starts a child whose ladder leads nowhere at first."""

    def handle(self, message: Message, ctx: Context) -> str:
        ladder = [{"fall_back": {"agent": "/nobody"}}, {"vary": {"well": True}}]
        return ctx.start(f"{__file__}:Stuck", name="child", recovery=ladder).path
