"""How many members of each pool sleep, as the journal counts them: of a million that takes it a second or two.

The rule it keeps: one count is under way at a time, and its result is kept however late it comes; nobody waits for it
longer than they said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from agenthost.core.tree import State, Supervisor
from agenthost.errors import AgenthostError

COUNTED_AGAIN = 20
"""The next count begins when so many times as long has passed as the last one took."""


class SleepersCounted:
    """``count(pools)`` asks the journal, ``pools`` being each pool's path and the names of its members that run."""

    def __init__(self, state: State, count: Callable[[dict[str, list[str]]], Awaitable[dict[str, int]]]) -> None:
        self._state, self._count = state, count
        self._counted: dict[str, int] | None = None
        self._until = 0.0
        self._counting: asyncio.Task[None] | None = None

    def close(self) -> None:
        if self._counting is not None:
            self._counting.cancel()

    async def by_pool(self, patience_s: float) -> dict[str, int] | None:
        """Members that sleep by the pool's path, as of the last count; None if there was none yet."""
        if self._counting is None and time.monotonic() >= self._until and (pools := self._pools()):
            self._counting = asyncio.get_running_loop().create_task(self._run(pools))
        if self._counting is not None:
            await asyncio.wait({self._counting}, timeout=patience_s)
        return self._counted

    def _pools(self) -> dict[str, list[str]]:
        return {
            path: list(node.children)
            for path, node in self._state.nodes.items()
            if isinstance(node, Supervisor) and node.is_pool
        }

    async def _run(self, pools: dict[str, list[str]]) -> None:
        began = time.monotonic()
        try:
            self._counted = await self._count(pools)
            self._until = time.monotonic() + (time.monotonic() - began) * COUNTED_AGAIN
        except AgenthostError:
            self._counted = None
        finally:
            self._counting = None
