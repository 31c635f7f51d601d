"""What the asynchronous desk needs of asyncio: the end of its loop, and a gate for calls waited for together."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any

from agenthost.agent.progress import steps
from agenthost.transport.caller import Call

_TASKS_S = 1.0
"""What tasks that the agent has left running get to end in after they were cancelled."""


class Gate:
    """Opens when so many calls have their outcome, or by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        self.left = left
        self.opened: asyncio.Future[None] = loop.create_future()
        if not left:
            self.open()

    def one_passed(self, call: Call) -> None:
        self.left -= 1
        steps.count += 1
        if not self.left:
            self.open()

    def open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)


async def settled(value: Any) -> Any:
    """The value of a method that may be ``def`` or ``async def``."""
    return await value if inspect.isawaitable(value) else value


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """As ``asyncio.run``, but without waiting for threads of the default executor, nor for tasks that will not be
    cancelled: the process ends anyway."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(_within(_TASKS_S, *left))
        loop.run_until_complete(_within(_TASKS_S, loop.create_task(loop.shutdown_asyncgens())))
        asyncio.set_event_loop(None)
        loop.close()


async def _within(seconds: float, *tasks: asyncio.Task[Any]) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
