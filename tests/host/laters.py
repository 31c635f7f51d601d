"""Agents of the tests of mail for later. What they have got stands in their state."""

from __future__ import annotations

import time
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message


class Later(Agent):
    """Does what a message says: ``{"do": verb, ...}``; anything else is written down with its time."""

    def handle(self, message: Message, ctx: Context) -> Any:
        match message.body:
            case "got":
                return self.state.get("got", [])
            case {"do": "later", "body": body, **how}:
                ctx.send_after(how.pop("to", self.args.get("to", ctx.path)), body, **how)
            case {"do": "send", "body": body, "key": key}:
                ctx.send(ctx.path, body, key=key)
            case {"do": "replace", "key": key, "body": body, "after_s": after_s}:
                ctx.send_after(ctx.path, "never", after_s, key=key)
                ctx.cancel(key)
                ctx.send_after(ctx.path, body, after_s, key=key)
            case {"do": "cancel", "key": key, **then}:
                ctx.cancel(key)
                if then:
                    raise ValueError("after all not")
            case {"do": "schedule", **how}:
                ctx.schedule(**how)
            case {"do": "unschedule", "name": name}:
                ctx.unschedule(name)
            case body:
                self.state.setdefault("got", []).append([body, message.sender, time.time()])
        return "done"


class AsyncLater(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        match message.body:
            case "got":
                return self.state.get("got", [])
            case {"do": "later", "body": body, **how}:
                await ctx.send_after(how.pop("to", ctx.path), body, **how)
            case {"do": "send", "body": body, "key": key}:
                await ctx.send(ctx.path, body, key=key)
            case {"do": "replace", "key": key, "body": body, "after_s": after_s}:
                await ctx.send_after(ctx.path, "never", after_s, key=key)
                await ctx.cancel(key)
                await ctx.send_after(ctx.path, body, after_s, key=key)
            case {"do": "cancel", "key": key}:
                await ctx.cancel(key)
            case {"do": "schedule", **how}:
                await ctx.schedule(**how)
            case {"do": "unschedule", "name": name}:
                await ctx.unschedule(name)
            case body:
                self.state.setdefault("got", []).append([body, message.sender, time.time()])
        return "done"
