"""What waits for its other half: by key, and not for long. Bounded in number, bytes and time, the oldest go first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Awaiting(Generic[K, V]):
    """``clock`` in seconds."""

    def __init__(
        self, most: int, most_bytes: int, longest_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._most_bytes, self._longest_s, self._clock = most, most_bytes, longest_s, clock
        self._held: OrderedDict[K, tuple[V, int, float]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def put(self, key: K, value: V, size_bytes: int) -> None:
        self.pop(key)
        now = self._clock()
        self._held[key] = value, size_bytes, now + self._longest_s
        self.size_bytes += size_bytes
        while self._held:
            oldest = next(iter(self._held))
            is_over = len(self._held) > self._most or self.size_bytes > self._most_bytes
            if not is_over and self._held[oldest][2] > now:
                break
            self.pop(oldest)

    def get(self, key: K) -> V | None:
        held = self._held.get(key)
        return None if held is None else held[0]

    def pop(self, key: K) -> V | None:
        held = self._held.pop(key, None)
        if held is None:
            return None
        self.size_bytes -= held[1]
        return held[0]
