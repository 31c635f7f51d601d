"""Members of a pool that are woken all the time, and one that wakes them."""

from __future__ import annotations

from agenthost import Agent, Context, Message

PATIENCE_S = 120.0


class Chat(Agent):
    """Its state is read and changed by every turn."""

    def handle(self, message: Message, ctx: Context) -> int:
        self.state["n"] = int(self.state["n"]) + 1
        return int(self.state["n"])


class Waker(Agent):
    def handle(self, message: Message, ctx: Context) -> int:
        return len(ctx.gather([(path, None) for path in message.body], timeout=PATIENCE_S))
