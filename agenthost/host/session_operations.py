"""What clients may ask about sessions: to look at them, and to change them while nobody has them in hand.

An agent that runs holds its state in memory and would write it over what is changed here. So a change is refused while
it runs, or with ``stop`` the agent is stopped for it, and started again after it. The rule it keeps: a session is given
only to a path that an agent can have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from agenthost.core.birth import AgentBirth
from agenthost.core.tree import State, Supervisor, Worker, owner_of
from agenthost.errors import Busy, UnknownName, UsageError
from agenthost.host.asked_path import normal
from agenthost.host.incarnation import Incarnation
from agenthost.host.journal_asking import JournalAsking
from agenthost.host.uploads import Uploads
from agenthost.protocol import operations as ask

Commanded = Callable[[Literal["start", "stop"], str, str], Awaitable[str]]
SESSIONS, ENTRIES = 1000, 1000
"""In one answer."""


class SessionOperations:
    """``commanded(verb, path, by)`` has the core stop and start an agent; what it refuses is raised."""

    def __init__(
        self,
        state: State,
        present: Callable[[str], Incarnation | None],
        asking: JournalAsking,
        commanded: Commanded,
    ) -> None:
        self._state, self._present = state, present
        self._asking, self._commanded = asking, commanded
        self._uploads = Uploads()

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """None: it is no operation of these. ``by`` is "uid 1000"."""
        asked = self._asking.ask
        match wanted:
            case ask.Sessions(prefix=prefix, after=after, limit=limit):
                return asked("sessions", {"prefix": prefix, "after": after, "limit": min(limit, SESSIONS)})
            case ask.Session(path=path):
                return asked("session", {"path": normal(path)})
            case ask.Log(path=path, after=after, limit=limit):
                return asked("log", {"path": normal(path), "after": after, "limit": min(limit, ENTRIES)})
            case ask.Piece(path=path, seq=seq, checkpoint=checkpoint, at=at):
                return asked("piece", {"path": normal(path), "seq": seq, "checkpoint": checkpoint, "at": at})
            case ask.Upload(name=name, at=at, data=data):
                return self._upload(by, name, at, data)
            case ask.OnSession():
                return self._change(wanted, by)
        return None

    async def _upload(self, by: str, name: str, at: int, data: bytes) -> int:
        return self._uploads.take(by, name, at, data)

    async def _change(self, wanted: ask.OnSession, by: str) -> Any:
        path = normal(wanted.path)
        match wanted:
            case ask.Fork(source=source, checkpoint=checkpoint):
                self._check_owner(path)
                what, args = "fork", {"source": normal(source), "checkpoint": checkpoint}
            case ask.Import():
                self._check_owner(path)
                what, args = "import", self._imported(wanted, by)
            case ask.Rollback(checkpoint=checkpoint):
                what, args = "rollback", {"checkpoint": checkpoint}
            case ask.Remove():
                what, args = "remove", {}
            case _:
                what, args = "revive", {}
        if what in ("rollback", "remove") and wanted.stop:  # nobody is stopped for a name that is mistyped
            about = await self._asking.ask("session", {"path": path})
            name = args.get("checkpoint")
            if name is not None and name not in [point["name"] for point in about.get("checkpoints", ())]:
                raise UnknownName(f"cannot roll {path} back to {name!r}: there is no such checkpoint")
        was_stopped = what != "revive" and await self._at_rest(path, wanted.stop, by)
        try:
            return await self._asking.ask(what, {"path": path, **args})
        finally:
            if was_stopped and what != "remove":
                await self._commanded("start", path, by)

    async def _at_rest(self, path: str, stop: bool, by: str) -> bool:
        """Whether it was stopped for this. ``Busy``: it runs, and is not to be stopped."""
        node = self._state.nodes.get(path)
        if isinstance(node, Supervisor):
            raise UsageError(f"cannot change the session of {path}: it is a supervisor", hint="name one of its agents")
        if self._present(path) is None and (node is None or not node.alive):
            return False
        if not stop:
            raise Busy(f"cannot change the session of {path}: it runs", hint="with --stop it is stopped for that")
        await self._commanded("stop", path, by)
        return True

    def _check_owner(self, path: str) -> None:
        """``UnknownName``, ``UsageError``: nobody could ever have a session of that path."""
        node = self._state.nodes.get(path)
        above = self._state.nodes.get(path.rpartition("/")[0] or "/")
        is_member = node is None and isinstance(above, Supervisor) and above.is_pool
        if not is_member and not (isinstance(node, Worker) and isinstance(node.spec.birth, AgentBirth)):
            raise UnknownName(f"cannot put a session at {path}: no agent is there, and no pool above it")
        if node is not None and owner_of(node) is not None:
            raise UsageError(f"cannot put a session at {path}: what another agent has started begins without one")

    def _imported(self, wanted: ask.Import, by: str) -> dict[str, Any]:
        return {
            "state": self._uploads.give(by, wanted.state) if wanted.state else None,
            "state_version": wanted.state_version,
            "entries": self._uploads.give(by, wanted.entries) if wanted.entries else None,
            "after": wanted.after,
        }
