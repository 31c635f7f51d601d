"""Agents with asyncio."""

from __future__ import annotations

from agenthost import Agent, AsyncContext, Message


class Idle(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> object:
        return message.body
