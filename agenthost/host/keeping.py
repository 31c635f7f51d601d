"""Children of run time that persist (D6), over the end of this host: written down in the journal, read when it is open.

The core decides what is kept and when it is started; here stands what a child was asked for as, so that the next host
can ask the same. The rule: what cannot be started any more (its owner is gone, may not, or it does not read) is let go
and recorded, and costs nobody else anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.spec import ChildSpec, WorkerSpec
from agenthost.core.tree import State, Supervisor, Worker
from agenthost.errors import AgenthostError, UnknownName
from agenthost.host.asked_for import AskedFor
from agenthost.host.journaling import Journaling
from agenthost.protocol import wishes as wish

_PATIENCE_S = 30.0
_AGAIN_S = 1.0


class Keeping:
    """``tell`` reaches the core, ``record(name, path, **fields)`` people."""

    def __init__(
        self,
        *,
        state: State,
        journaling: Journaling,
        asked_for: AskedFor,
        tell: Callable[[on.Event], None],
        record: Callable[..., None],
    ) -> None:
        self._state, self._journaling, self._asked_for = state, journaling, asked_for
        self._tell, self._record = tell, record
        self._asked: dict[str, bytes] = {}
        """What was asked for and is not kept yet, by path."""
        self._task: asyncio.Task[None] | None = None
        journaling.on_open = self._opened

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # ---- what begins and ends

    def asked(self, path: str, wanted: wish.Begin) -> None:
        """The core will say whether it is kept."""
        self._asked[path] = msgspec.msgpack.encode(wanted)

    def forget(self, path: str) -> None:
        """It was refused."""
        self._asked.pop(path, None)

    def keep(self, effect: do.Keep) -> None:
        if effect.kept:
            self._journaling.keep(effect.path, self._asked.pop(effect.path, b""))
        else:
            self._journaling.keep(effect.path, None)
            if self._is_pool(effect.path.rpartition("/")[0]):
                return  # its session is found by its name, whether it runs or not
            self._journaling.clear(effect.path, "the agent has ended, and will not come back")

    # ---- what the host before has kept

    def _opened(self) -> None:
        """Once in the life of a host."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._restore())

    async def _restore(self) -> None:
        kept: list[dict[str, Any]] = []
        while True:
            try:
                after = kept[-1]["path"] if kept else ""
                page = await self._journaling.asking.ask("kept", {"after": after}, _PATIENCE_S)
            except AgenthostError:
                await asyncio.sleep(_AGAIN_S)  # it has ended meanwhile, or stands still: another one will say it
                continue
            if not page:
                break
            kept += page
        specs: dict[str, ChildSpec] = {}
        for one in sorted(kept, key=lambda one: one["path"].count("/")):  # who has started it first
            path, record = one["path"], one["record"]
            above, _, name = path.rpartition("/")
            spec: ChildSpec | None = None
            if not record and not self._is_pool(above):
                self._record("agent.not_restored", path, why="there is no such pool any more")
                self._journaling.keep(path, None)
                continue
            try:
                if record:
                    spec = specs[path] = self._read(above or "/", record, specs)
            except (AgenthostError, msgspec.DecodeError) as error:
                self._record("agent.not_restored", path, why=str(error))
                self.keep(do.Keep(path, kept=False))
                continue
            self._tell(on.Restore(above or "/", name, spec))

    def _is_pool(self, path: str) -> bool:
        node = self._state.nodes.get(path or "/")
        return isinstance(node, Supervisor) and node.is_pool

    def _read(self, above: str, record: bytes, specs: dict[str, ChildSpec]) -> ChildSpec:
        node = self._state.nodes.get(above)
        spec = node.spec if node is not None else specs.get(above)
        if isinstance(node, Supervisor) or not isinstance(spec, WorkerSpec) or not isinstance(spec.birth, AgentBirth):
            raise UnknownName(f"cannot start it again: there is no agent {above} any more, which had started it")
        owner = node if isinstance(node, Worker) else Worker(path=above, parent=None, spec=spec)
        wanted = msgspec.msgpack.decode(record, type=wish.Begin)
        found, asked = self._asked_for.read(owner, wanted)
        if (refused := self._asked_for.refusal_of_one(owner, asked)) is not None:
            raise refused
        return found
