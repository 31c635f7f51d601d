"""How much each peer may say: a token bucket per peer, so that one who floods is dropped and the others are not late.

Pure: time is an argument. A token is one message of up to ``MESSAGE_COST_BYTES``; longer messages cost more.
"""

from __future__ import annotations

from collections.abc import Hashable

from agenthost.protocol.limits import MESSAGE_COST_BYTES

_PRUNE_ABOVE = 8192
"""Peers remembered before those with a full bucket are forgotten: they are no different from new ones."""


class _Bucket:
    __slots__ = ("tokens", "told_at", "updated")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens, self.updated, self.told_at = tokens, now, float("-inf")


class Budgets:
    """``rate`` tokens a second, at most ``burst`` of them saved up."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: dict[Hashable, _Bucket] = {}
        self._prune_above = _PRUNE_ABOVE

    def take(self, peer: Hashable, message_bytes: int, now: float) -> bool:
        """Pay for a message. False if ``peer`` is over its budget; then nothing is taken."""
        bucket = self._bucket(peer, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.updated) * self._rate)
        bucket.updated = now
        cost = 1 + message_bytes // MESSAGE_COST_BYTES
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True

    def may_tell(self, peer: Hashable, now: float) -> bool:
        """True at most once a second per peer: for answers to what was dropped."""
        bucket = self._bucket(peer, now)
        if now - bucket.told_at < 1.0:
            return False
        bucket.told_at = now
        return True

    def _bucket(self, peer: Hashable, now: float) -> _Bucket:
        bucket = self._buckets.get(peer)
        if bucket is None:
            if len(self._buckets) >= self._prune_above:
                self._prune(now)
            bucket = self._buckets[peer] = _Bucket(self._burst, now)
        return bucket

    def _prune(self, now: float) -> None:
        full_after_s = self._burst / self._rate
        self._buckets = {
            peer: bucket for peer, bucket in self._buckets.items() if now - bucket.updated < max(full_after_s, 1.0)
        }
        self._prune_above = max(_PRUNE_ABOVE, 2 * len(self._buckets))
