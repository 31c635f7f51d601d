"""How long to wait before a restart (deviation D1): at once, then longer and longer, with chance in it."""

from __future__ import annotations

from agenthost.core.spec import Backoff


def delay_s(backoff: Backoff | None, attempt: int, chance: float) -> float:
    """Seconds before restart number ``attempt`` (from 0) since the child was last calm. ``chance`` is in [0, 1)."""
    if backoff is None or attempt == 0:
        return 0.0
    # The exponent is capped so that a child that fails for a year does not overflow a float.
    grown = min(backoff.initial_s * backoff.factor ** min(attempt - 1, 64), backoff.max_s)
    return grown * (1.0 + backoff.jitter * chance)


class Chance:
    """A small generator of numbers in [0, 1): xorshift64 (Marsaglia 2003). Seeded from outside, so a run repeats."""

    def __init__(self, seed: int) -> None:
        self._state = (seed & 0xFFFFFFFFFFFFFFFF) or 0x9E3779B97F4A7C15

    @property
    def state(self) -> int:
        """What the next draw follows from, 64 bits."""
        return self._state

    def draw(self) -> float:
        x = self._state
        x ^= (x << 13) & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 7
        x ^= (x << 17) & 0xFFFFFFFFFFFFFFFF
        self._state = x
        return (x >> 11) / float(1 << 53)
