"""What the host says to peers and must arrive: said again until it is answered (``transport.unanswered``)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable

from agenthost.transport.unanswered import Unanswered


class Repeating:
    """``send(peer, frame)`` says it once; it may be lost."""

    def __init__(self, send: Callable[[bytes, bytes], None]) -> None:
        self._send = send
        self._unanswered: Unanswered[Hashable, tuple[bytes, bytes]] = Unanswered()
        self._expires: dict[Hashable, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def say(self, key: Hashable, peer: bytes, frame: bytes, *, for_s: float | None = None) -> None:
        """Until ``settled(key)``; with ``for_s`` only so long, for a peer that may have gone for good."""
        now = time.monotonic()
        self._unanswered.ask(key, (peer, frame), now)
        if for_s is not None:
            self._expires[key] = now + for_s
        self._send(peer, frame)
        self._arm()

    def settled(self, key: Hashable) -> None:
        self._unanswered.answered(key)
        self._expires.pop(key, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        due = self._unanswered.next_due()
        if due is not None and self._timer is None:
            delay_s = max(0.0, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._say_again)

    def _say_again(self) -> None:
        self._timer = None
        now = time.monotonic()
        for key in [key for key, at in self._expires.items() if at <= now]:
            self.settled(key)
        for peer, frame in self._unanswered.due(now):
            self._send(peer, frame)
        self._arm()
