"""What must arrive is answered, and repeated until it is. Pure: time is an argument.

Agents, clients and the host keep one of these beside their socket. Losing a connection, the router or a message then
costs a pause, never the message. The receiver takes a repetition for what it is, by its id.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from agenthost.protocol.limits import RESEND_AFTER_S

K = TypeVar("K", bound=Hashable)
F = TypeVar("F")


class _Open(Generic[F]):
    __slots__ = ("attempt", "due", "frame")

    def __init__(self, frame: F, due: float) -> None:
        self.frame, self.due, self.attempt = frame, due, 1


class Unanswered(Generic[K, F]):
    """``frame`` is whatever the owner sends: bytes, or (peer, bytes) in the host. ``now`` is any steady clock in s."""

    def __init__(self, pauses_s: tuple[float, ...] = RESEND_AFTER_S) -> None:
        self._pauses_s = pauses_s
        self._open: dict[K, _Open[F]] = {}
        # entries of answered keys stay in the heap until they come up, or until they outnumber the open ones
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, key: K) -> bool:
        return key in self._open

    def ask(self, key: K, frame: F, now: float) -> None:
        """``frame`` is being sent now for the first time. The same key again replaces the frame and starts anew."""
        self._open[key] = entry = _Open(frame, now + self._pauses_s[0])
        self._push(entry.due, key)

    def answered(self, key: K) -> bool:
        """No more of ``key``, answered or given up. False if it was not open: a late or second answer."""
        if self._open.pop(key, None) is None:
            return False
        if len(self._heap) > 64 + 4 * len(self._open):
            self._heap = [item for item in self._heap if self._is_current(item)]
            heapq.heapify(self._heap)
        return True

    def due(self, now: float) -> list[F]:
        """The frames to send again now, oldest first; each is then due after its next pause."""
        frames: list[F] = []
        while self._heap and self._heap[0][0] <= now:
            item = heapq.heappop(self._heap)
            if not self._is_current(item):
                continue
            key = item[2]
            entry = self._open[key]
            frames.append(entry.frame)
            entry.due = now + self._pauses_s[min(entry.attempt, len(self._pauses_s) - 1)]
            entry.attempt += 1
            self._push(entry.due, key)
        return frames

    def next_due(self) -> float | None:
        """When ``due`` next has something; None if nothing is open."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def attempts(self, key: K) -> int:
        """How often ``key`` was sent; 0 if it is not open."""
        entry = self._open.get(key)
        return entry.attempt if entry else 0

    def _is_current(self, item: tuple[float, int, K]) -> bool:
        entry = self._open.get(item[2])
        return entry is not None and entry.due == item[0]

    def _push(self, due: float, key: K) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
