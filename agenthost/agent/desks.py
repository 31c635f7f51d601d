"""What a context needs of its desk: :class:`Desk` for ``def``, :class:`AsyncDesk` for ``async def``.

The real ones are in ``desk`` and ``async_desk``, ``agenthost.testing`` has one without a host. Deadlines are on the
clock of ``time.monotonic``. Only for the type checker: an agent imports nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from agenthost.agent.later import AsyncLaterDesk, LaterDesk

if TYPE_CHECKING:
    from agenthost.agent.async_context import AsyncContext
    from agenthost.agent.context import Context
    from agenthost.agent.kin import Kin
    from agenthost.agent.loops import Brake
    from agenthost.agent.telling import Telling

Outcome = Any
"""The decoded reply, or an ``AgenthostError``."""
Tell = Callable[[int, Outcome, bool], None]
"""(place, from 0; outcome; whether the callee may have had it)"""


class Purse(Protocol):
    """Where ``spend`` is booked."""

    def spend(self, tokens_in: int, tokens_out: int, model: str, cost: float | None) -> None: ...


class AnyDesk(Protocol):
    """What never waits, and is the same for both. ``context`` is of the desk's own kind."""

    def account(self, context: Any) -> Telling:
        """For what the turn of ``context`` tells of itself. ``UsageError`` where that is over."""

    def purse(self, context: Any) -> Purse: ...

    def keep_checkpoint(self, context: Any, name: str) -> None:
        """Of the turn of ``context``; ``UsageError`` where that is over."""

    def is_stopping(self) -> bool: ...

    def kin(self) -> Kin:
        """For children, scopes, monitors and groups; made when it is first asked for."""


class Desk(AnyDesk, LaterDesk, Protocol):
    def ask(self, path: str, body: Any, deadline: float, brake: Brake | None = None) -> Outcome:
        """Call one and wait for its outcome. ``brake`` counts it before it is made, and may raise."""

    def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None, brake: Brake | None = None
    ) -> list[Outcome]:
        """Call all, in order, and wait until each has its outcome. ``tell`` is told of each at once; ``brake`` counts
        them all before the first is made."""

    def deliver(self, path: str, body: Any, deadline: float) -> None: ...

    def post(self, context: Context, path: str, body: Any, deadline: float) -> None:
        """Durable mail: with the turn of ``context``, at once where that is over."""

    def roll_back(self, context: Context, name: str, deadline: float) -> None: ...

    def locate(self, path: str, deadline: float) -> str | None: ...


class AsyncDesk(AnyDesk, AsyncLaterDesk, Protocol):
    async def ask(self, path: str, body: Any, deadline: float, brake: Brake | None = None) -> Outcome: ...

    async def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None, brake: Brake | None = None
    ) -> list[Outcome]: ...

    async def deliver(self, path: str, body: Any, deadline: float) -> None: ...

    async def post(self, context: AsyncContext, path: str, body: Any, deadline: float) -> None: ...

    async def roll_back(self, context: AsyncContext, name: str, deadline: float) -> None: ...

    async def locate(self, path: str, deadline: float) -> str | None: ...
