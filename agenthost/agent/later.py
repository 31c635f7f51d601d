"""Mail for later, as authors ask for it: :class:`Later` for ``def``, :class:`AsyncLater` for ``async def``.

What is meant is said here, as a value (``Wish``); a desk hands it to ``later_mail``, which knows the door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agenthost.later import checked_key, checked_name, due, in_zone

if TYPE_CHECKING:
    from datetime import datetime

    from agenthost.agent.async_context import AsyncContext
    from agenthost.agent.context import Context


class Post(msgspec.Struct, frozen=True):
    """``due_ms`` 0: now. ``by_clock``: at that time of the clock, also after it was set."""

    path: str
    body: Any
    key: str = ""
    due_ms: int = 0
    by_clock: bool = False


class Cancel(msgspec.Struct, frozen=True):
    key: str


class Schedule(msgspec.Struct, frozen=True):
    """``cron`` as in ``agenthost.cron``."""

    name: str
    cron: str
    path: str
    body: Any


class Unschedule(msgspec.Struct, frozen=True):
    name: str


Wish = Post | Cancel | Schedule | Unschedule


class LaterDesk(Protocol):
    def later(self, context: Context, wish: Wish, deadline: float) -> None:
        """With the turn of ``context``, at once where that is over; schedules at once in any case."""


class AsyncLaterDesk(Protocol):
    async def later(self, context: AsyncContext, wish: Wish, deadline: float) -> None: ...


class Later:
    __slots__ = ()

    if TYPE_CHECKING:

        def _later(self, wish: Wish, timeout: float | None) -> None: ...

    def send_after(
        self,
        path: str,
        body: Any = None,
        after_s: float | None = None,
        *,
        at: datetime | float | None = None,
        key: str = "",
        timeout: float | None = None,
    ) -> None:
        """Durable mail that is delivered ``after_s`` seconds from now, or ``at`` a time of the clock: a datetime with a
        zone, or seconds since 1970. Like :meth:`send` it leaves with the turn. ``key``: taken once, and
        :meth:`cancel` takes it back.

        Raises ``UnknownName``, ``TimedOut``, ``UsageError``.
        """
        due_ms, by_clock = due(after_s, at)
        key = key and checked_key(key)
        self._later(Post(path, body, key, due_ms, by_clock), timeout)

    def cancel(self, key: str, timeout: float | None = None) -> None:
        """What this agent has sent with that key is not delivered, with this turn's end, if nobody has begun to handle
        it by then. Afterwards the key may be used again. No error if there is nothing to cancel."""
        self._later(Cancel(checked_key(key)), timeout)

    def schedule(
        self, name: str, cron: str, path: str, body: Any = None, *, zone: str = "", timeout: float | None = None
    ) -> None:
        """Send ``body`` to ``path`` whenever the cron expression says, such as "30 2 * * mon-fri", in the time zone
        ``zone`` ("Europe/Berlin"; the machine's own without). At once and not with the turn. This agent's message of
        the same ``name`` is replaced; the same again changes nothing.

        Raises ``UnknownName``, ``UsageError``, ``TimedOut``.
        """
        self._later(Schedule(checked_name(name), in_zone(cron, zone), path, body), timeout)

    def unschedule(self, name: str, timeout: float | None = None) -> None:
        """End what :meth:`schedule` has begun. ``UnknownName`` if there is none of that name."""
        self._later(Unschedule(checked_name(name)), timeout)


class AsyncLater:
    __slots__ = ()

    if TYPE_CHECKING:

        async def _later(self, wish: Wish, timeout: float | None) -> None: ...

    async def send_after(
        self,
        path: str,
        body: Any = None,
        after_s: float | None = None,
        *,
        at: datetime | float | None = None,
        key: str = "",
        timeout: float | None = None,
    ) -> None:
        """As in :class:`Later`."""
        due_ms, by_clock = due(after_s, at)
        key = key and checked_key(key)
        await self._later(Post(path, body, key, due_ms, by_clock), timeout)

    async def cancel(self, key: str, timeout: float | None = None) -> None:
        """As in :class:`Later`."""
        await self._later(Cancel(checked_key(key)), timeout)

    async def schedule(
        self, name: str, cron: str, path: str, body: Any = None, *, zone: str = "", timeout: float | None = None
    ) -> None:
        """As in :class:`Later`."""
        await self._later(Schedule(checked_name(name), in_zone(cron, zone), path, body), timeout)

    async def unschedule(self, name: str, timeout: float | None = None) -> None:
        """As in :class:`Later`."""
        await self._later(Unschedule(checked_name(name)), timeout)
