"""What clients may ask to see of one agent or program as it is now: its turn, its processes, its stack. Nothing is
changed by looking."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from agenthost.core.tree import State, Supervisor, Worker
from agenthost.core.view import shown
from agenthost.errors import AgenthostError, NotRunning, UnknownName, UsageError
from agenthost.host.autopsy import Autopsy
from agenthost.host.explaining import near_to
from agenthost.host.incarnation import Incarnation
from agenthost.protocol import operations as ask

Look = Callable[..., Awaitable[Autopsy]]
_OF_AN_END = frozenset({"kind", "reason", "is_end", "killed", "boot", "n"})


class Inspecting:
    """``look`` is ``Examining.look_at``; ``pid`` tells a process as people see it."""

    def __init__(
        self,
        state: State,
        present: Callable[[str], Incarnation | None],
        pid: Callable[[Incarnation], int | None],
        look: Look,
    ) -> None:
        self._state, self._present, self._pid, self._look = state, present, pid, look

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """None: it is no operation of these."""
        return self._inspect(wanted) if isinstance(wanted, ask.Inspect) else None

    async def _inspect(self, wanted: ask.Inspect) -> dict[str, Any]:
        path = "/" + wanted.path.strip("/")
        node = self._state.nodes.get(path)
        if node is None:
            raise self._unknown(path)
        if not isinstance(node, Worker):
            raise UsageError(f"cannot look at {path}: a supervisor has no process", hint="name one of those below it")
        incarnation = self._present(path)
        if incarnation is None or incarnation.exited or incarnation.born is None:
            why = f"cannot look at {path}: it is {shown(node)} and has no process"
            raise NotRunning(why, hint=f"see: agenthost explain {path}")
        beat_at = incarnation.beat_at  # before it is asked
        silent_s = None if beat_at is None or not incarnation.turn.number else max(0.0, time.monotonic() - beat_at)
        seen = msgspec.to_builtins(await self._look(incarnation, with_stack=wanted.stack))
        found = {name: value for name, value in seen.items() if name not in _OF_AN_END}
        return {
            **found,
            "incarnation": incarnation.name,
            "pid": self._pid(incarnation),
            "state": shown(node),
            "frozen": incarnation.frozen,
            "silent_s": silent_s,
        }

    def _unknown(self, path: str) -> AgenthostError:
        pool = self._state.nodes.get(path.rpartition("/")[0])
        if isinstance(pool, Supervisor) and pool.is_pool:
            why = f"cannot look at {path}: it has no process; as a member of a pool it gets one when it is wanted"
            return NotRunning(why, hint=f"see: agenthost explain {path}")
        near = near_to(path, self._state.nodes)
        hint = f"did you mean {near}?" if near else "see: agenthost status -o name"
        return UnknownName(f"cannot look at {path}: there is nothing of that name", hint=hint)
