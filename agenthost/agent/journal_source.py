"""The door to the journal among what a plain agent listens to. Whether it can be written to is asked only while
something waits for room.

It may come in the sentry's thread; that it can be written to wakes the desk, which adopts it.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agenthost.agent.door import Door
    from agenthost.agent.durable import Durable
    from agenthost.agent.listening import Listener
    from agenthost.agent.sentry import Sentry


class JournalSource:
    def __init__(self, listener: Listener, durable: Durable, sentry: Sentry) -> None:
        self._listener, self._durable, self._sentry = listener, durable, sentry
        self._mask = 0
        sentry.on_budget = durable.heed_budget
        sentry.on_door = lambda number, descriptor: durable.open().came(number, descriptor)
        durable.on_door = self._on_door
        if durable.door is not None:
            self._on_door(durable.door)

    def _on_door(self, door: Door) -> None:
        from agenthost.agent.ahead import Ahead

        self._durable.ahead = Ahead()
        door.hear_birth = self._sentry.hear
        door.is_heard_elsewhere = lambda: self._sentry.is_awake
        door.on_came, door.on_close = self._on_came, self._listener.detach
        door.on_blocked = self._on_blocked
        for packet in door.packets:
            self._sentry.obey(packet, [])
        door.packets.clear()
        if door.sock is not None:
            self._on_came(door.sock.fileno())

    def _on_came(self, descriptor: int) -> None:
        """In the sentry's thread perhaps."""
        self._mask = select.EPOLLIN | select.EPOLLOUT
        self._listener.attach_for(descriptor, self._on_ready, self._mask)

    def _on_blocked(self) -> None:
        self._heed(select.EPOLLIN | select.EPOLLOUT)

    def _on_ready(self) -> None:
        door = self._durable.open()
        door.adopt()
        door.pump()
        if door.is_blocked:
            door.flush()
        self._heed(select.EPOLLIN | (select.EPOLLOUT if door.is_blocked else 0))

    def _heed(self, mask: int) -> None:
        door = self._durable.door
        if door is not None and door.sock is not None and mask != self._mask:
            self._mask = mask
            self._listener.modify(door.sock.fileno(), mask)
