"""What was used, as sums by path: known at once in memory, written with the next commit. What is made of it is
``meters``'s.

The rule it keeps: how far the words of an agent have been counted is written with the charge, so a sum that is said
again, to this journal or the next, is counted once. While charges of a path are on their way to the disk, what comes
gathers for the next: a path has one charge at a time under way, however much is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.scope import above
from agenthost.errors import AgenthostError
from agenthost.journal import ops
from agenthost.journal.store import Reader
from agenthost.journal.values import Incarnation, Spending
from agenthost.journal.writer import FOR_EVER_MS
from agenthost.protocol import mail as say

REMEMBERED = 20_000
"""Paths whose sums are kept in memory."""

_pack = msgspec.msgpack.Encoder().encode
_read_said = msgspec.msgpack.Decoder(say.Spent).decode
_NOTHING = say.Spent(0, 0)


class Spender:
    """What is known of one path: the incarnation that was heard last, what it has said in all, its turn."""

    __slots__ = ("in_turn", "inc", "path", "said", "turn")

    def __init__(self, path: str, kept: Spending | None) -> None:
        self.path = path
        self.inc: Incarnation = (0, 0) if kept is None else kept.incarnation
        self.turn = 0 if kept is None else kept.turn
        self.in_turn = Amounts() if kept is None else kept.in_turn
        self.said = _NOTHING if kept is None or not kept.said else _read_said(kept.said)

    def heard_of(self, inc: Incarnation) -> None:
        """A newer one begins anew."""
        if inc > self.inc:
            self.inc, self.turn, self.in_turn, self.said = inc, 0, Amounts(), _NOTHING

    def used(self, amounts: Amounts, turn: int) -> None:
        if turn > self.turn:
            self.turn, self.in_turn = turn, Amounts()
        if turn and turn == self.turn:
            self.in_turn += amounts

    def value(self) -> Spending:
        return Spending(self.path, self.inc, self.turn, self.in_turn, _pack(self.said))


class Usage:
    """``submit`` and ``reader`` are the clerk's."""

    def __init__(self, submit: Callable[..., None], reader: Callable[[], Reader]) -> None:
        self._submit, self._reader = submit, reader
        self._totals: dict[str, Amounts] = {}
        self._spenders: dict[str, Spender] = {}
        self._unwritten: dict[int, Amounts] = {}
        """For messages; not committed yet."""
        self._flying: dict[str, int] = {}
        """Charges of a path that are on their way to the disk."""
        self._pending: dict[str, dict[int, Amounts]] = {}
        """What came meanwhile, by the message that it is for."""

    # ---- looking

    def used(self, path: str) -> Amounts:
        """At ``path`` and below it."""
        found = self._totals.get(path)
        if found is None:
            if len(self._totals) >= REMEMBERED and not self._flying:
                self._totals.clear()
                self._spenders.clear()
            found = self._totals[path] = self._reader().used(path)
        return found

    def spent_for(self, message: int) -> Amounts:
        return self._reader().spent(message) + self._unwritten.get(message, Amounts())

    def spender(self, path: str) -> Spender:
        found = self._spenders.get(path)
        if found is None:
            found = self._spenders[path] = Spender(path, self._reader().spending(path))
        return found

    # ---- counting

    def add(self, path: str, amounts: Amounts, message: int, now_ms: int) -> None:
        """Said by the agent itself, for that message."""
        self._sum_up(path, amounts)
        pending = self._pending.setdefault(path, {})
        pending[message] = pending.get(message, Amounts()) + amounts
        if message:
            self._unwritten[message] = self._unwritten.get(message, Amounts()) + amounts
        if path not in self._flying:
            self._write(path, now_ms)

    def add_all(self, counted: ops.Counted, charges: list[ops.Charge], done: Callable[[], None], now_ms: int) -> None:
        """Seen by the host, in one commit. ``done`` when it will not be lost."""
        for one in charges:
            self._sum_up(one.path, one.amounts, alone=one.alone)
        # How far the agent's own words have come is written with what they have added.
        written = {path: self._pending.pop(path, {}) for path in dict.fromkeys(one.path for one in charges)}
        own = [charge for path, pending in written.items() for charge in self._charges(path, pending)]
        self._fly([counted, *charges, *own], written, done, now_ms)

    def forget(self, path: str) -> None:
        self._totals.pop(path, None)
        self._spenders.pop(path, None)

    def _sum_up(self, path: str, amounts: Amounts, *, alone: bool = False) -> None:
        for place in (path,) if alone else above(path):
            self._totals[place] = self.used(place) + amounts

    # ---- writing

    def _write(self, path: str, now_ms: int) -> None:
        pending = self._pending.pop(path, {})
        self._fly([*self._charges(path, pending)], {path: pending}, lambda: None, now_ms)

    def _charges(self, path: str, pending: dict[int, Amounts]) -> Iterator[ops.Charge]:
        found = [ops.Charge(path, amounts, None, message) for message, amounts in pending.items()]
        last = found.pop() if found else ops.Charge(path, Amounts())
        yield from found
        yield msgspec.structs.replace(last, spending=self.spender(path).value())

    def _fly(
        self, batch: list[ops.Op], written: Mapping[str, dict[int, Amounts]], done: Callable[[], None], now_ms: int
    ) -> None:
        for path in written:
            self._flying[path] = self._flying.get(path, 0) + 1

        def token(answers: Any, error: AgenthostError | None) -> None:
            for path, pending in written.items():
                self._flying[path] -= 1
                if not self._flying[path]:
                    del self._flying[path]
                self._is_written(pending)
                if path in self._pending and path not in self._flying:
                    self._write(path, now_ms)
            done()

        self._submit(batch, token, now_ms, FOR_EVER_MS)

    def _is_written(self, pending: dict[int, Amounts]) -> None:
        for message, amounts in pending.items():
            if message in self._unwritten:
                left = _less(self._unwritten[message], amounts)
                if left:
                    self._unwritten[message] = left
                else:
                    del self._unwritten[message]


def _less(amounts: Amounts, written: Amounts) -> Amounts | None:
    """None: nothing is left, but for what adding of fractions leaves."""
    pairs = zip(msgspec.structs.astuple(amounts), msgspec.structs.astuple(written), strict=True)
    left = Amounts(*(a - b for a, b in pairs))
    return left if any(abs(one) > 1e-12 for one in msgspec.structs.astuple(left)) else None
