"""Whether what is ready still works (``LivenessCheck``): looked at from outside, from time to time, each by itself.

So many failed looks in a row are told to the core, which ends the incarnation by the ladder. Nothing is looked at
before it is ready, while it is frozen, and once it has been asked to end or says that it is leaving.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from agenthost.core import events as on
from agenthost.core.birth import LivenessCheck
from agenthost.core.reason import Reason
from agenthost.errors import AgenthostError
from agenthost.host.incarnation import Incarnation
from agenthost.host.trying import try_http, try_tcp, try_within


class Run(Protocol):
    """``errands.Errands.run``."""

    def __call__(
        self, owner: Incarnation, name: str, argv: tuple[str, ...], *, timeout_s: float
    ) -> Awaitable[Reason]: ...


class Liveness:
    def __init__(self, tell: Callable[[on.Event], None], run: Run, record: Callable[..., None]) -> None:
        self._tell, self._run, self._record = tell, run, record
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def begin(self, incarnation: Incarnation) -> None:
        """It is ready."""
        check = incarnation.birth.liveness
        if check is not None and incarnation.n not in self._tasks and not incarnation.exited:
            self._tasks[incarnation.n] = asyncio.get_running_loop().create_task(self._look_on(incarnation, check))

    def end(self, incarnation: Incarnation) -> None:
        """Also of one that is asked to end. Safe to call twice."""
        task = self._tasks.pop(incarnation.n, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _look_on(self, incarnation: Incarnation, check: LivenessCheck) -> None:
        failures = 0
        incarnation.sign_at = time.monotonic()
        while failures < check.failures:
            await asyncio.sleep(check.interval_s)
            if _is_excused(incarnation, math.inf):
                continue
            began_at = time.monotonic()
            why = await self._look(incarnation, check)
            if _is_excused(incarnation, began_at):
                continue
            failures = failures + 1 if why else 0
            if why and failures < check.failures:
                text = f"{why} ({failures} of {check.failures})"
                self._record("agent.unwell", incarnation.path, incarnation=incarnation.n, text=text)
        times = f", {failures} times in a row" if failures > 1 else ""
        self._tell(on.Fault(incarnation.path, incarnation.n, Reason("not_live", text=f"{why}{times}")))

    async def _look(self, incarnation: Incarnation, check: LivenessCheck) -> str:
        """What is wrong, in words; empty if nothing is."""
        match check.kind:
            case "http":
                return await try_within(try_http, check.target, check.timeout_s)
            case "tcp":
                return await try_within(try_tcp, check.target, check.timeout_s)
            case "notify":
                silent_s = time.monotonic() - max(incarnation.sign_at, incarnation.excused_at)
                late = silent_s > check.interval_s + check.timeout_s
                return f"no WATCHDOG=1 for {silent_s:.3g} s" if late else ""
        try:
            ended = await self._run(incarnation, "live", check.argv, timeout_s=check.timeout_s)
        except TimeoutError:
            return f"{check.argv[0]} did not end within {check.timeout_s:g} s"
        except (AgenthostError, OSError) as error:
            return f"{check.argv[0]}: {error}"
        return "" if ended.well else f"{check.argv[0]}: {ended.words()}"


def _is_excused(incarnation: Incarnation, since: float) -> bool:
    """It stands still or is about to end, or was made to wait since then by our doing."""
    return incarnation.frozen or incarnation.is_leaving or incarnation.excused_at > since
