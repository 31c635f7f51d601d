"""Agents of ten thousand messages: clerks who answer each number once, if they can, and a book that counts answers."""

from __future__ import annotations

import os
import signal
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message, TurnFailed

POISON_RAISES, POISON_KILLS, MOODY, CRASHING = 101, 103, 29, 31


def is_poison(number: int) -> bool:
    """Nobody can answer it."""
    return number % POISON_RAISES == 0 or number % POISON_KILLS == 0


def work(number: int, attempt: int) -> None:
    if number % POISON_RAISES == 0:
        raise TurnFailed(f"cannot answer {number}: attempt {attempt} was no good either")
    if number % POISON_KILLS == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if number % MOODY == 0 and attempt <= 2:
        raise TurnFailed(f"not yet: {number}")
    if number % CRASHING == 0 and attempt == 1:
        raise ValueError(f"garbage for {number}")


class Clerk(Agent):
    def handle(self, message: Message, ctx: Context) -> None:
        self.state["handled"] = self.state.get("handled", 0) + 1
        ctx.send("/book", message.body)
        work(message.body, ctx.attempt.number)


class AsyncClerk(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> None:
        self.state["handled"] = self.state.get("handled", 0) + 1
        await ctx.send("/book", message.body)
        work(message.body, ctx.attempt.number)


class Book(Agent):
    """A bit for each number; which came twice."""

    def handle(self, message: Message, ctx: Context) -> Any:
        state = self.state
        if message.body == "account":
            return state
        number = message.body
        bits = bytearray(state.get("bits", b""))
        bits.extend(bytes(max(0, number // 8 + 1 - len(bits))))
        if bits[number // 8] >> number % 8 & 1:
            state.setdefault("twice", []).append(number)
        bits[number // 8] |= 1 << number % 8
        state["bits"] = bytes(bits)
        state["count"] = state.get("count", 0) + 1
        return None


def numbers(bits: bytes) -> set[int]:
    return {place * 8 + bit for place, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1}
