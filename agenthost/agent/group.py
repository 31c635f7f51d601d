"""``ctx.group(name)``: whoever carries ``group: name`` in the config and is ready, wherever in the tree.

The host knows who is busy: a turn of 50 ms or more is in hand. Among equals the one with the fewest open messages of
ours is taken, then the one that we have said something to longest ago. Oneself is a member, but never chosen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from agenthost.agent.bell import Bell
from agenthost.agent.blocking import finish
from agenthost.agent.kin import Kin
from agenthost.errors import AgenthostError, NotRunning, TimedOut
from agenthost.protocol import wishes
from agenthost.transport.caller import Call


class Member(NamedTuple):
    path: str
    incarnation: str
    busy: bool


class AsyncGroup:
    def __init__(self, kin: Kin, name: str) -> None:
        self.name = name
        self._kin = kin

    async def members(self, timeout: float | None = None) -> list[Member]:
        """All that are ready now, in start order; oneself too."""
        return await self._members(self._kin.limit(timeout))

    async def send_all(self, body: Any = None, timeout: float | None = None) -> int:
        """Put it into the mailbox of every member but oneself; returns how many took it."""
        deadline = self._kin.limit(timeout)
        posted = [self._kin.post(one.path, body) for one in await self._others(deadline)]
        bell, left = Bell(), posted.copy()
        for call in posted:
            call.on_outcome = bell.ring

        def all_have() -> bool:
            while left and left[-1].outcome is not None:
                left.pop()
            return not left

        try:
            await self._kin.until(all_have, deadline, bell)
        finally:
            for call in posted:
                if call.outcome is None:
                    self._kin.abandon(call, "its time is over")
        return sum(not isinstance(call.outcome, AgenthostError) for call in posted)

    async def send(self, body: Any = None, timeout: float | None = None) -> str:
        """Put it into the mailbox of the least busy member; returns its path. ``NotRunning`` if there is none."""
        deadline = self._kin.limit(timeout)
        refusal: AgenthostError | None = None
        for path in self._ranked(await self._others(deadline)):
            call = self._kin.post(path, body)
            outcome = await self._kin.outcome(call, deadline)
            if not isinstance(outcome, AgenthostError):
                return path
            refusal = _raise_if_had(call, outcome)
        raise refusal or self._nobody()

    async def call(self, body: Any = None, timeout: float | None = None) -> Any:
        """Ask the least busy member. The next one is asked if it is sure that this one did not get the message: a call
        whose outcome is unknown is not repeated, but raises ``Down``. ``NotRunning`` if there is no member."""
        deadline = self._kin.limit(timeout)
        refusal: AgenthostError | None = None
        for path in self._ranked(await self._others(deadline)):
            call = self._kin.call(path, body, deadline)
            outcome = await self._kin.outcome(call, deadline)
            if not isinstance(outcome, AgenthostError):
                return outcome
            refusal = _raise_if_had(call, outcome)
        raise refusal or self._nobody()

    async def _members(self, deadline: float) -> list[Member]:
        asked = self._kin.request(wishes.Members(group=self.name))
        found = await self._kin.answer(asked, deadline, f"see who is in group {self.name}")
        return [Member(one["path"], one["incarnation"], bool(one["busy"])) for one in found]

    async def _others(self, deadline: float) -> list[Member]:
        return [one for one in await self._members(deadline) if one.path != self._kin.path]

    def _ranked(self, members: list[Member]) -> list[str]:
        def rank(one: Member) -> tuple[bool, int, int]:
            return one.busy, self._kin.load_of(one.path), self._kin.contact_with(one.path)

        return [one.path for one in sorted(members, key=rank)]

    def _nobody(self) -> NotRunning:
        return NotRunning(f"cannot reach group {self.name}: no other member of it is ready")


def _raise_if_had(call: Call, error: AgenthostError) -> AgenthostError:
    """The error, if it is sure that the message was not taken; else it is raised."""
    if call.is_had or isinstance(error, TimedOut):
        raise error
    return error


class Group:
    """Of an agent whose handler is a plain function."""

    def __init__(self, twin: AsyncGroup) -> None:
        self._twin = twin

    @property
    def name(self) -> str:
        return self._twin.name

    def members(self, timeout: float | None = None) -> list[Member]:
        """As in :class:`AsyncGroup`."""
        return finish(self._twin.members(timeout))

    def send_all(self, body: Any = None, timeout: float | None = None) -> int:
        """As in :class:`AsyncGroup`."""
        return finish(self._twin.send_all(body, timeout))

    def send(self, body: Any = None, timeout: float | None = None) -> str:
        """As in :class:`AsyncGroup`."""
        return finish(self._twin.send(body, timeout))

    def call(self, body: Any = None, timeout: float | None = None) -> Any:
        """As in :class:`AsyncGroup`."""
        return finish(self._twin.call(body, timeout))
