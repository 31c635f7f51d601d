"""Agents without asyncio. In a file of their own, so that their zygote imports nothing that they do not use."""

from __future__ import annotations

from agenthost import Agent, Context, Message


class Idle(Agent):
    def handle(self, message: Message, ctx: Context) -> object:
        return message.body
