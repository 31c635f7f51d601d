"""Agents that measure: they call each other, or fill their cell."""

from __future__ import annotations

import os
import subprocess
import time

from agenthost import Agent, Context, Message


class Echo(Agent):
    def handle(self, message: Message, ctx: Context) -> object:
        return message.body


class Caller(Agent):
    """``{"calls": n}``: microseconds of each of n calls, one after the other. ``{"batches": n, "each": m}``: calls a
    second, m of them under way at once."""

    def handle(self, message: Message, ctx: Context) -> object:
        wish = message.body
        if "calls" in wish:
            return [_us(ctx, _body(number)) for number in range(wish["calls"])]
        each, batches = wish["each"], wish["batches"]
        wishes = [[("/calls/echo", _body(n * each + m)) for m in range(each)] for n in range(batches + 1)]
        ctx.gather(wishes.pop())
        began = time.perf_counter()
        for batch in wishes:
            ctx.gather(batch)
        return batches * each / (time.perf_counter() - began)


def _body(number: int) -> bytes:
    """100 bytes, never the same twice in a turn: that would be a loop."""
    return number.to_bytes(100, "big")


def _us(ctx: Context, body: bytes) -> float:
    began = time.perf_counter()
    ctx.call("/calls/echo", body)
    return (time.perf_counter() - began) * 1e6


class Smith(Agent):
    """Runs ``true`` n times as a tool and n times as a plain subprocess, by turns; milliseconds of each."""

    def handle(self, message: Message, ctx: Context) -> list[list[float]]:
        ours, plain = [], []
        for _ in range(message.body):
            began = time.perf_counter()
            ctx.run(["true"])
            between = time.perf_counter()
            subprocess.run(["true"], capture_output=True, check=True)
            ours.append((between - began) * 1e3)
            plain.append((time.perf_counter() - between) * 1e3)
        return [ours, plain]


class Crowd(Agent):
    """Starts as many sleeping processes as it is told."""

    def handle(self, message: Message, ctx: Context) -> int:
        for _ in range(message.body):
            os.posix_spawn("/bin/sleep", ["sleep", "infinity"], {})
        return os.getpid()
