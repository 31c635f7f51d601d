"""The agents that the tests start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agenthost import IGNORE, Agent, AsyncContext, Context, Message, Refuse


class Echo(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        return message.body


class AsyncEcho(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        return message.body


class Clerk(Agent):
    """Does what the body says: a list of a word and its arguments."""

    def on_start(self, ctx: Context) -> Any:
        ctx.log("starting", where=ctx.path)
        if self.args.get("start") == "ignore":
            return IGNORE
        if self.args.get("start") == "raise":
            raise ValueError("no licence")
        if self.args.get("start") == "call":
            ctx.call("/other", None)
        return None

    def handle(self, message: Message, ctx: Context) -> Any:
        vars(self)["turns"] = vars(self).get("turns", 0) + 1
        verb, *rest = message.body
        return getattr(self, "do_" + verb)(message, ctx, *rest)

    def on_stop(self, ctx: Context) -> None:
        ctx.log("goodbye", turns=vars(self).get("turns", 0))
        if "farewell" in self.args:
            ctx.send(self.args["farewell"], ["note", "farewell"], durable=False)

    def do_echo(self, message: Message, ctx: Context, value: Any) -> Any:
        return value

    def do_turns(self, message: Message, ctx: Context) -> int:
        return int(vars(self)["turns"])

    def do_who(self, message: Message, ctx: Context) -> dict[str, Any]:
        left_s = None if ctx.deadline is None else ctx.deadline - time.monotonic()
        return {"sender": message.sender, "kind": message.kind, "left_s": left_s, "inc": ctx.incarnation}

    def do_raise(self, message: Message, ctx: Context) -> None:
        raise ValueError("wrong number\nof arguments")

    def do_raise_beside_a_thread(self, message: Message, ctx: Context) -> None:
        threading.Thread(target=threading.Event().wait).start()
        raise ValueError("crash")

    def do_refuse(self, message: Message, ctx: Context) -> None:
        raise Refuse("no such item")

    def do_unsendable(self, message: Message, ctx: Context) -> Any:
        return {"parts": [1, {2, 3}]}

    def do_exit(self, message: Message, ctx: Context, status: int) -> None:
        sys.exit(status)

    def do_die(self, message: Message, ctx: Context) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_sleep(self, message: Message, ctx: Context, seconds: float) -> str:
        ctx.log("sleeping")
        time.sleep(seconds)
        return "slept"

    def do_wait_file(self, message: Message, ctx: Context, path: str) -> str:
        """A turn that ends when the test says so."""
        ctx.log("waiting")
        deadline = time.monotonic() + 20
        while not Path(path).exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        return "waited"

    def do_wait_stop(self, message: Message, ctx: Context) -> str:
        ctx.log("waiting")
        deadline = time.monotonic() + 20
        while not ctx.stopping and time.monotonic() < deadline:
            time.sleep(0.002)
        return "stopped" if ctx.stopping else "never"

    def do_ask(self, message: Message, ctx: Context, path: str, body: Any, timeout: float | None = None) -> Any:
        return ctx.call(path, body, timeout)

    def do_ask_safely(self, message: Message, ctx: Context, path: str, body: Any, timeout: float | None = None) -> Any:
        began = time.monotonic()
        try:
            return ctx.call(path, body, timeout)
        except Exception as error:  # the test looks at which it was
            took_s = time.monotonic() - began
            return {"error": type(error).__name__, "text": str(error), "took_s": took_s}

    def do_gather(self, message: Message, ctx: Context, wishes: list[Any]) -> Any:
        outcomes = ctx.gather([(path, body) for path, body in wishes], return_errors=True)
        return [repr(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]

    def do_burst(self, message: Message, ctx: Context, path: str, count: int) -> Any:
        replies = ctx.gather([(path, number) for number in range(count)])
        return replies == list(range(count))

    def do_tell(self, message: Message, ctx: Context, path: str, body: Any) -> None:
        ctx.send(path, body, durable=False)

    def do_tell_many(self, message: Message, ctx: Context, path: str, count: int) -> None:
        for number in range(count):
            ctx.send(path, ["note", number], durable=False)

    def do_note(self, message: Message, ctx: Context, value: Any) -> None:
        vars(self).setdefault("notes", []).append(value)

    def do_notes(self, message: Message, ctx: Context) -> Any:
        return vars(self).get("notes", [])

    def do_whereis(self, message: Message, ctx: Context, path: str) -> str | None:
        return ctx.whereis(path)

    def do_modules(self, message: Message, ctx: Context) -> list[str]:
        return sorted(sys.modules)


class AsyncClerk(Agent):
    async def on_start(self, ctx: AsyncContext) -> Any:
        if self.args.get("start") == "ignore":
            return IGNORE
        if self.args.get("start") == "raise":
            raise ValueError("no licence")
        return None

    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        verb, *rest = message.body
        return await getattr(self, "do_" + verb)(message, ctx, *rest)

    async def on_stop(self, ctx: AsyncContext) -> None:
        ctx.log("goodbye")

    async def do_echo(self, message: Message, ctx: AsyncContext, value: Any) -> Any:
        return value

    async def do_raise(self, message: Message, ctx: AsyncContext) -> None:
        raise ValueError("wrong number")

    async def do_refuse(self, message: Message, ctx: AsyncContext) -> None:
        raise Refuse("no such item")

    async def do_wait_file(self, message: Message, ctx: AsyncContext, path: str) -> str:
        ctx.log("waiting")
        while not Path(path).exists():  # noqa: ASYNC110, ASYNC240  # the test tells by a file, in both kinds of agents
            await asyncio.sleep(0.002)
        return "waited"

    async def do_wait_stop(self, message: Message, ctx: AsyncContext) -> str:
        ctx.log("waiting")
        while not ctx.stopping:  # noqa: ASYNC110  # as an author's loop would
            await asyncio.sleep(0.002)
        return "stopped"

    async def do_block(self, message: Message, ctx: AsyncContext, seconds: float) -> str:
        time.sleep(seconds)  # noqa: ASYNC251  # on purpose: it stalls the loop
        return "blocked"

    async def do_ask(self, message: Message, ctx: AsyncContext, path: str, body: Any) -> Any:
        return await ctx.call(path, body)

    async def do_ask_safely(
        self, message: Message, ctx: AsyncContext, path: str, body: Any, timeout: float | None = None
    ) -> Any:
        began = time.monotonic()
        try:
            return await ctx.call(path, body, timeout)
        except Exception as error:  # the test looks at which it was
            took_s = time.monotonic() - began
            return {"error": type(error).__name__, "text": str(error), "took_s": took_s}

    async def do_together(self, message: Message, ctx: AsyncContext, path: str, count: int) -> Any:
        replies = await asyncio.gather(*(ctx.call(path, number) for number in range(count)))
        return replies == list(range(count))

    async def do_burst(self, message: Message, ctx: AsyncContext, path: str, count: int) -> Any:
        return await ctx.gather([(path, number) for number in range(count)]) == list(range(count))

    async def do_tell(self, message: Message, ctx: AsyncContext, path: str, body: Any) -> None:
        await ctx.send(path, body, durable=False)

    async def do_whereis(self, message: Message, ctx: AsyncContext, path: str) -> str | None:
        return await ctx.whereis(path)

    async def do_leave_task(self, message: Message, ctx: AsyncContext) -> None:
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(3600))

    async def do_leave_stubborn_task(self, message: Message, ctx: AsyncContext) -> None:
        self.task = asyncio.get_running_loop().create_task(_never_cancelled())

    async def do_raise_beside_a_thread(self, message: Message, ctx: AsyncContext) -> None:
        threading.Thread(target=threading.Event().wait).start()
        raise ValueError("crash")


async def _never_cancelled() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


class Mixed(Agent):
    async def on_start(self, ctx: AsyncContext) -> None:
        """Refused: its handle() is not async."""

    def handle(self, message: Message, ctx: Context) -> None:
        return None


class Handleless(Agent):
    """Refused: nothing handles its messages."""


class NoAgent:
    """Refused: it is something else."""
