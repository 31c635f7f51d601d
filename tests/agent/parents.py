"""Agents with children, for the tests with a fake host. A body is a list of a word and its arguments."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message
from agenthost.errors import AgenthostError, Down
from tests.agent.cast import Clerk, Echo


class AlarmError(Exception):
    """Raised by a signal's handler."""


class Parent(Clerk):
    def on_down(self, down: Any, ctx: Context) -> None:
        vars(self).setdefault("downs", []).append([*down])

    def do_downs(self, message: Message, ctx: Context) -> Any:
        return vars(self).get("downs", [])

    def do_start(self, message: Message, ctx: Context, name: str | None = None, timeout: float | None = None) -> Any:
        child = ctx.start(Echo, name=name, timeout=timeout)
        return [child.path, child.incarnation, child.call("hello")]

    def do_start_safely(self, message: Message, ctx: Context, *arguments: Any) -> Any:
        try:
            return self.do_start(message, ctx, *arguments)
        except AgenthostError as error:
            return [error.code, str(error)]

    def do_scope(self, message: Message, ctx: Context, count: int) -> Any:
        with ctx.scope() as scope:
            children = [scope.start(Echo) for _ in range(count)]
            return scope.gather([(child, number) for number, child in enumerate(children)])

    def do_interrupted(self, message: Message, ctx: Context, name: str) -> Any:
        """A signal's handler raises while a child is being started."""

        def ring(number: int, frame: Any) -> None:
            raise AlarmError

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            with ctx.scope() as scope:
                scope.start(Echo, name=name)
        except AlarmError:
            return "interrupted"

    def do_reuse(self, message: Message, ctx: Context, name: str) -> Any:
        """The second of that name is refused after nobody waits for it any more: the first must live."""
        first = ctx.start(Echo, name=name)
        try:
            ctx.start(Echo, name=name, timeout=0.3)
        except AgenthostError as error:
            return [error.code, first.call("still here")]

    def do_code(self, message: Message, ctx: Context) -> Any:
        child = ctx.start(lambda message: [message.body, os.getpid()])
        return [child.path, *child.call(5)]

    def do_too_large(self, message: Message, ctx: Context) -> Any:
        """Says which of its variables is the largest."""
        small, large = b"s" * 10_000, os.urandom(300_000)
        try:
            ctx.start(lambda message: [small, large])
        except AgenthostError as error:
            return str(error)

    def do_large_args(self, message: Message, ctx: Context) -> Any:
        try:
            ctx.start(Echo, args={"text": "x" * 300_000})
        except AgenthostError as error:
            return str(error)

    def do_strange_args(self, message: Message, ctx: Context) -> Any:
        try:
            ctx.start(Echo, args={"text": object()})
        except AgenthostError as error:
            return str(error)

    def do_unentered(self, message: Message, ctx: Context) -> Any:
        try:
            ctx.scope().start(Echo)
        except AgenthostError as error:
            return str(error)

    def do_after_error(self, message: Message, ctx: Context) -> Any:
        """What is caught in the block is not raised again, and the scope is over."""
        with ctx.scope() as scope:
            child = scope.start(Clerk)
            try:
                scope.gather([(child, ["refuse"])])
            except AgenthostError as error:
                first = str(error)
            try:
                scope.start(Clerk)
            except AgenthostError as error:
                return [first, str(error)]

    def do_survives_crash(self, message: Message, ctx: Context) -> Any:
        """Who is told by the call itself may go on without that child."""
        with ctx.scope() as scope:
            one, other = scope.start(Clerk), scope.start(Clerk)
            try:
                one.call(["raise"])
            except AgenthostError as error:
                return [error.code, other.call(["echo", 1])]

    def do_slow_in_scope(self, message: Message, ctx: Context, name: str) -> Any:
        """What is not ready in time is gone when that is raised, not only when the block is left."""
        with ctx.scope() as scope:
            other = scope.start(Echo)
            try:
                scope.start(Clerk, name=name, timeout=0.5)
            except AgenthostError as error:
                gone = ctx.monitor(f"{ctx.path}/{name}").ended
                return [error.code, gone is not None and gone.incarnation, other.call("well")]

    def do_name_again(self, message: Message, ctx: Context) -> Any:
        """The end of a child is known; that of the next one of its name is not, and fails the scope."""
        with ctx.scope() as scope:
            try:
                scope.start(Clerk, name="it").call(["raise"])
            except AgenthostError as error:
                first = error.code
            ctx.monitor(f"{ctx.path}/it").wait(20)
            again, other = scope.start(Clerk, name="it"), scope.start(Clerk)
            with contextlib.suppress(Down):  # it may be dead before it has said that it took it
                again.send(["die"])
            try:
                other.call(["wait_file", "/never"], timeout=20)
            except AgenthostError as error:
                return [first, error.code, "/it" in str(error)]

    def do_cancel(self, message: Message, ctx: Context) -> Any:
        with ctx.scope() as scope:
            scope.start(Echo)
            scope.cancel()
            try:
                scope.start(Echo)
            except AgenthostError as error:
                return str(error)

    def do_monitor(self, message: Message, ctx: Context, path: str) -> Any:
        monitor = vars(self)["monitor"] = ctx.monitor(path)
        return [monitor.incarnation, None if monitor.ended is None else [*monitor.ended]]

    def do_group(self, message: Message, ctx: Context, verb: str, body: Any) -> Any:
        return getattr(ctx.group("crew"), verb)(body)

    def do_start_die_monitor(self, message: Message, ctx: Context) -> Any:
        """Its end has been told before anybody monitors it; then twice more."""
        child = ctx.start(Clerk)
        child.send(["die"])
        ctx.monitor(child.path).wait(20)
        late = [child.monitor() for _ in range(2)]
        return [child.incarnation, *([*one.wait(20)] for one in late)]

    def do_stop_child(self, message: Message, ctx: Context) -> Any:
        ctx.start(Echo, name="it").stop()

    def do_fail_late(self, message: Message, ctx: Context) -> Any:
        """It has ended when the block does; nothing of the host is heard in between."""
        try:
            with ctx.scope() as scope:
                pid = scope.start(lambda message: os.getpid(), name="it").call()
                os.kill(pid, signal.SIGKILL)
                while os.path.exists(f"/proc/{pid}"):
                    os.sched_yield()
        except AgenthostError as error:
            return [error.code, str(error)]


class Plain(Parent):
    """Without ``on_down``."""

    on_down = None  # type: ignore[assignment]


class AsyncParent(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        verb, *rest = message.body
        return await getattr(self, "do_" + verb)(ctx, *rest)

    async def on_down(self, down: Any, ctx: AsyncContext) -> None:
        vars(self).setdefault("downs", []).append([*down])

    async def do_downs(self, ctx: AsyncContext) -> Any:
        return vars(self).get("downs", [])

    async def do_echo(self, ctx: AsyncContext, value: Any) -> Any:
        return value

    async def do_start(self, ctx: AsyncContext, name: str | None = None, timeout: float | None = None) -> Any:
        child = await ctx.start(Echo, name=name, timeout=timeout)
        return [child.path, child.incarnation, await child.call("hello")]

    async def do_start_safely(self, ctx: AsyncContext, *arguments: Any) -> Any:
        try:
            return await self.do_start(ctx, *arguments)
        except AgenthostError as error:
            return [error.code, str(error)]

    async def do_scope(self, ctx: AsyncContext, count: int) -> Any:
        async with ctx.scope() as scope:
            children = await asyncio.gather(*(scope.start(Echo) for _ in range(count)))
            return await scope.gather([(child, number) for number, child in enumerate(children)])

    async def do_cancelled_start(self, ctx: AsyncContext, name: str) -> Any:
        """What is there of a child whose start was given up, while its block goes on."""
        async with ctx.scope() as scope:
            other = await scope.start(Echo)
            task = asyncio.create_task(scope.start(Echo, name=name))
            await asyncio.sleep(0.3)  # its Begin is under way, and is not answered
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            there = await ctx.monitor(f"{ctx.path}/{name}")
            return [task.cancelled(), there.incarnation, await other.call("well")]

    async def do_many_calls(self, ctx: AsyncContext, count: int) -> Any:
        """How often who waits for one of so many calls has looked whether it has come."""
        async with ctx.scope() as scope:
            child = await scope.start(Echo)
            kin, looks = ctx._desk._kin, 0  # type: ignore[attr-defined]
            until = kin.until

            async def counting(ready: Any, *rest: Any) -> bool:
                def look() -> bool:
                    nonlocal looks
                    looks += 1
                    return bool(ready())

                return bool(await until(look, *rest))

            kin.until = counting
            said = await asyncio.gather(*(child.call(number) for number in range(count)))
            looked, kin.until = looks, until
            return [said == [*range(count)], looked]

    async def do_two_tasks_fail(self, ctx: AsyncContext) -> Any:
        """One child dies while two tasks wait for others: both get that error, when all are gone."""
        async with ctx.scope() as scope:
            children = [await scope.start(Clerk) for _ in range(3)]
            calls = [asyncio.create_task(child.call(["wait_file", "/never"])) for child in children[:2]]
            await children[2].send(["die"])
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            return [f"{type(one).__name__}: {one}" for one in outcomes]

    async def do_monitor(self, ctx: AsyncContext, path: str) -> Any:
        monitor = vars(self)["monitor"] = await ctx.monitor(path)
        return [monitor.incarnation, None if monitor.ended is None else [*monitor.ended]]

    async def do_group(self, ctx: AsyncContext, verb: str, body: Any) -> Any:
        return await getattr(ctx.group("crew"), verb)(body)
