"""Agents whose turns are interrupted. The body is a list of a word and its arguments; ``log`` says that it is there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message, Refuse, TurnInterrupted


class Plain(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        verb, *rest = message.body
        return getattr(self, "do_" + verb)(ctx, *rest)

    def do_echo(self, ctx: Context, value: Any) -> Any:
        return value

    def do_brief(self, ctx: Context, value: int) -> int:
        """So short that its end and an interruption meet; lets go of the interpreter, or no sentry could run."""
        time.sleep(0.0002)
        return value

    def do_notes(self, ctx: Context) -> Any:
        return vars(self).get("notes", [])

    def note(self, text: str) -> None:
        vars(self).setdefault("notes", []).append(text)

    # ---- ways to be busy

    def do_sleep(self, ctx: Context) -> None:
        ctx.log("there")
        time.sleep(1000)

    def do_compute(self, ctx: Context) -> None:
        ctx.log("there")
        while True:
            pass

    def do_wait_for_a_program(self, ctx: Context) -> None:
        with subprocess.Popen(["sleep", "1000"]) as program:
            try:
                ctx.log("there")
                program.wait()
            finally:
                program.kill()

    def do_read_a_socket(self, ctx: Context) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ctx.log("there")
            ours.recv(1)

    def do_wait_for_a_lock(self, ctx: Context) -> None:
        lock = threading.Lock()
        lock.acquire()
        ctx.log("there")
        lock.acquire()

    def do_log(self, ctx: Context) -> None:
        while True:
            ctx.log("there")

    def do_call(self, ctx: Context, path: str, body: Any = None) -> Any:
        ctx.log("there")
        return ctx.call(path, body, timeout=1000)

    def do_gather(self, ctx: Context, path: str, body: Any) -> Any:
        ctx.log("there")
        return ctx.gather([(path, body), (path, body)], timeout=1000)

    def do_scope(self, ctx: Context) -> Any:
        with ctx.scope() as scope:
            child = scope.start("tests.agent.interrupted:Plain", name="sub")
            ctx.log("there")
            return child.call(["sleep"], timeout=1000)

    def do_chatter(self, ctx: Context, path: str) -> None:
        """Goes through our book-keeping all the time."""
        ctx.log("there")
        for number in itertools.count():
            assert ctx.call(path, number) == number
            assert ctx.gather([(path, n) for n in range(5)]) == list(range(5))
            ctx.send(path, number)
            ctx.whereis(path)

    # ---- what an author makes of it

    def do_tidy_up(self, ctx: Context) -> None:
        try:
            ctx.log("there")
            time.sleep(1000)
        except Exception:
            self.note("an Exception")  # it is none
        except TurnInterrupted as error:
            self.note(str(error))
            raise
        finally:
            self.note("tidy")

    def do_swallow(self, ctx: Context) -> str:
        with contextlib.suppress(TurnInterrupted):
            ctx.log("there")
            time.sleep(1000)
        return "all is well"

    def do_refuse(self, ctx: Context) -> None:
        try:
            ctx.log("there")
            time.sleep(1000)
        finally:
            raise Refuse("something else")

    def do_break(self, ctx: Context) -> None:
        try:
            ctx.log("there")
            time.sleep(1000)
        finally:
            raise LookupError("the tidying up failed")

    def do_thread(self, ctx: Context, file: str) -> None:
        def work() -> None:
            while not ctx.interrupted:
                time.sleep(0.002)
            Path(file).touch()

        threading.Thread(target=work, daemon=True).start()
        ctx.log("there")
        time.sleep(1000)

    def do_on_down(self, ctx: Context, path: str) -> None:
        ctx.monitor(path)

    def on_down(self, down: Any, ctx: Context) -> None:
        self.note("down")
        ctx.log("there")
        time.sleep(1000)


class Async(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        verb, *rest = message.body
        return await getattr(self, "do_" + verb)(ctx, *rest)

    def note(self, text: str) -> None:
        vars(self).setdefault("notes", []).append(text)

    async def do_echo(self, ctx: AsyncContext, value: Any) -> Any:
        return value

    async def do_brief(self, ctx: AsyncContext, value: int) -> int:
        for _ in range(3):
            await asyncio.sleep(0)
        return value

    async def do_notes(self, ctx: AsyncContext) -> Any:
        return vars(self).get("notes", [])

    async def do_sleep(self, ctx: AsyncContext) -> None:
        ctx.log("there")
        await asyncio.sleep(1000)

    async def do_block(self, ctx: AsyncContext) -> None:
        ctx.log("there")
        time.sleep(1000)  # noqa: ASYNC251  # on purpose: the loop stands still

    async def do_timeout(self, ctx: AsyncContext) -> None:
        async with asyncio.timeout(1000):
            ctx.log("there")
            await asyncio.sleep(1000)

    async def do_group_of_tasks(self, ctx: AsyncContext) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1000))
            ctx.log("there")

    async def do_executor(self, ctx: AsyncContext) -> None:
        ctx.log("there")
        await asyncio.to_thread(self._until, ctx)

    def _until(self, ctx: AsyncContext) -> None:
        while not ctx.interrupted:
            time.sleep(0.002)

    async def do_call(self, ctx: AsyncContext, path: str, body: Any = None) -> Any:
        ctx.log("there")
        return await ctx.call(path, body, timeout=1000)

    async def do_gather(self, ctx: AsyncContext, path: str, body: Any) -> Any:
        ctx.log("there")
        return await asyncio.gather(*(ctx.call(path, body, timeout=1000) for _ in range(2)))

    async def do_chatter(self, ctx: AsyncContext, path: str) -> None:
        ctx.log("there")
        for number in itertools.count():
            assert await ctx.call(path, number) == number
            assert await asyncio.gather(*(ctx.call(path, n) for n in range(5))) == list(range(5))
            await ctx.send(path, number)
            await ctx.whereis(path)

    async def do_scope(self, ctx: AsyncContext) -> Any:
        async with ctx.scope() as scope:
            child = await scope.start("tests.agent.interrupted:Plain", name="sub")
            ctx.log("there")
            return await child.call(["sleep"], timeout=1000)

    async def do_tidy_up(self, ctx: AsyncContext) -> None:
        try:
            ctx.log("there")
            await asyncio.sleep(1000)
        except Exception:
            self.note("an Exception")
        except asyncio.CancelledError as error:
            self.note(str(error))
            raise
        finally:
            self.note("tidy")

    async def do_swallow(self, ctx: AsyncContext) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            ctx.log("there")
            await asyncio.sleep(1000)
        await asyncio.sleep(0)  # is not cancelled once more
        return "all is well"

    async def do_refuse(self, ctx: AsyncContext) -> None:
        try:
            ctx.log("there")
            await asyncio.sleep(1000)
        finally:
            raise Refuse("something else")

    async def do_break(self, ctx: AsyncContext) -> None:
        try:
            ctx.log("there")
            await asyncio.sleep(1000)
        finally:
            raise LookupError("the tidying up failed")

    async def do_cancel_oneself(self, ctx: AsyncContext) -> None:
        raise asyncio.CancelledError

    async def do_count_cancellations(self, ctx: AsyncContext) -> int:
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    async def do_on_down(self, ctx: AsyncContext, path: str) -> None:
        await ctx.monitor(path)

    async def on_down(self, down: Any, ctx: AsyncContext) -> None:
        self.note("down")
        ctx.log("there")
        await asyncio.sleep(1000)


def function(message: Message, ctx: Context) -> Any:
    if message.body[0] == "sleep":
        ctx.log("there")
        time.sleep(1000)
    return message.body[0]


async def async_function(message: Message, ctx: AsyncContext) -> Any:
    if message.body[0] == "sleep":
        ctx.log("there")
        await asyncio.sleep(1000)
    return message.body[0]
