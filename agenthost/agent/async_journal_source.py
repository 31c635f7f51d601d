"""The door to the journal in the loop of an agent with asyncio. Whether it can be written to is asked only while
something waits for room.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agenthost.agent.async_listening import AsyncListener
    from agenthost.agent.door import Door
    from agenthost.agent.durable import Durable
    from agenthost.agent.sentry import Sentry


class AsyncJournalSource:
    def __init__(self, listener: AsyncListener, durable: Durable, sentry: Sentry) -> None:
        self._listener, self._durable, self._sentry = listener, durable, sentry
        self._loop = asyncio.get_running_loop()
        sentry.on_budget = durable.heed_budget
        sentry.on_door = lambda number, descriptor: durable.open().came(number, descriptor)
        durable.on_door = self._on_door
        if durable.door is not None:
            self._on_door(durable.door)

    def _on_door(self, door: Door) -> None:
        door.hear_birth = self._sentry.hear
        door.is_heard_elsewhere = lambda: self._sentry.is_awake
        door.on_came, door.on_close = self._on_came, self._listener.detach
        door.on_blocked = self._on_blocked
        for packet in door.packets:
            self._sentry.obey(packet, [])
        door.packets.clear()
        if door.sock is not None:
            self._heed()

    def _on_came(self, descriptor: int) -> None:
        """In the sentry's thread perhaps."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody needs it any more
            self._loop.call_soon_threadsafe(self._heed)

    def _heed(self) -> None:
        door = self._durable.open()
        door.adopt()
        if door.sock is not None and not self._listener.is_closed:
            self._loop.add_reader(door.sock.fileno(), self._on_readable)
        self._on_readable()

    def _on_blocked(self) -> None:
        sock = self._durable.open().sock
        if sock is not None:
            self._loop.add_writer(sock.fileno(), self._on_room)

    def _on_room(self) -> None:
        door = self._durable.open()
        if door.sock is not None:
            self._loop.remove_writer(door.sock.fileno())
        door.flush()

    def _on_readable(self) -> None:
        self._durable.open().pump()
        self._listener.news.set()
