"""What was used and the journal has not been told yet, summed up by incarnation and turn.

The rule it keeps: however long the journal is away, and however many turns and incarnations come and go meanwhile,
no sum is lost above the path where it was used, and there are no more of them than agents.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from agenthost.core.budget.amounts import Amounts
from agenthost.journal import words

FOLDED_FROM = 1000
MOST = 20_000
"""Sums that are kept apart."""
_Key = tuple[str, int, int]
"""(path, n, turn)"""


class Unsaid:
    """``turn_of(n)`` is the number of the turn that incarnation n has in hand, None once it is gone; ``there`` are the
    paths of the tree."""

    def __init__(self, turn_of: Callable[[int], int | None], there: Container[str]) -> None:
        self._turn_of, self._there = turn_of, there
        self._sums: dict[_Key, Amounts] = {}
        self._alone: dict[_Key, Amounts] = {}

    def __bool__(self) -> bool:
        return bool(self._sums or self._alone)

    def add(self, path: str, amounts: Amounts, n: int, turn: int, *, alone: bool = False) -> None:
        if amounts:
            kept, key = self._alone if alone else self._sums, (path, n, turn)
            kept[key] = kept.get(key, Amounts()) + amounts

    def announce(self, path: str, n: int) -> None:
        """How it stands is to be said."""
        self._sums.setdefault((path, n, 0), Amounts())

    def take(self) -> tuple[words.Used, ...]:
        """All of it; from here on it begins anew."""
        used = [words.Used(*key, amounts) for key, amounts in self._sums.items()]
        used += [words.Used(*key, amounts, alone=True) for key, amounts in self._alone.items()]
        self._sums, self._alone = {}, {}
        return tuple(used)

    def fold(self) -> None:
        """As long as nobody hears it."""
        self._sums = self._folded(self._sums, alone=False)
        self._alone = self._folded(self._alone, alone=True)

    def _folded(self, kept: dict[_Key, Amounts], *, alone: bool) -> dict[_Key, Amounts]:
        """Of turns that are over their sum is enough, and of incarnations that are. What is gone counts at the path
        above it, as do those that are far too many; what is counted ``alone`` is counted there already."""
        if len(kept) <= FOLDED_FROM:
            return kept
        found: dict[_Key, Amounts] = {}
        for (path, n, turn), amounts in kept.items():
            in_hand = self._turn_of(n)
            if in_hand is None:
                n = turn = 0
            elif turn not in (in_hand, words.IN_HAND):
                turn = 0
            if n or amounts:
                found[path, n, turn] = found.get((path, n, turn), Amounts()) + amounts
        if len(found) <= MOST:
            return found
        few: dict[_Key, Amounts] = {}
        for (path, n, turn), amounts in found.items():
            key = path, n, turn
            if not n and (path not in self._there or len(few) >= MOST):
                if alone:
                    continue
                key = path.rpartition("/")[0] or "/", 0, 0
            few[key] = few.get(key, Amounts()) + amounts
        return few
