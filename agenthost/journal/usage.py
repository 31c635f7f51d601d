"""What was used, as sums by path: known at once in memory, written with the next commit. What is made of it is
``meters``'s.

The rule it keeps: how far the words of an agent have been counted is written with the charge, so a sum that is said
again, to this journal or the next, is counted once. While charges of a path are on their way to the disk, what comes
gathers for the next: a path has one charge at a time under way, however much is said. What an agent has said never
goes to the disk in one request with what the host has: should the disk refuse it, nobody else loses anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.scope import above
from agenthost.errors import AgenthostError
from agenthost.journal import ops
from agenthost.journal.answers import Rejected
from agenthost.journal.spender import Spender
from agenthost.journal.store import Reader
from agenthost.journal.writer import FOR_EVER_MS

REMEMBERED = 20_000
"""Paths whose sums are kept in memory."""


class Usage:
    """``submit`` and ``reader`` are the clerk's."""

    def __init__(self, submit: Callable[..., None], reader: Callable[[], Reader]) -> None:
        self._submit, self._reader = submit, reader
        self._totals: dict[str, Amounts] = {}
        self._spenders: dict[str, Spender] = {}
        self._trim_at = REMEMBERED
        self._unwritten: dict[int, tuple[Amounts, int]] = {}
        """For messages, not committed yet; and in how many charges that is."""
        self._flying: dict[str, int] = {}
        """Charges of a path that are on their way to the disk."""
        self._pending: dict[str, dict[int, Amounts]] = {}
        """What came meanwhile, by the message that it is for."""

    # ---- looking

    def used(self, path: str) -> Amounts:
        """At ``path`` and below it."""
        found = self._totals.get(path)
        if found is None:
            found = self._totals[path] = self._reader().used(path)
        return found

    def spent_for(self, message: int) -> Amounts:
        return self._reader().spent(message) + self._unwritten.get(message, (Amounts(), 0))[0]

    def spender(self, path: str) -> Spender:
        found = self._spenders.get(path)
        if found is None:
            found = self._spenders[path] = self.look_up(path)
        return found

    def look_up(self, path: str) -> Spender:
        """As ``spender``, of any name that somebody asks for: it is not remembered."""
        found = self._spenders.get(path)
        return Spender(path, self._reader().spending(path)) if found is None else found

    def look_at(self, path: str) -> Amounts:
        """As ``used``, in the same way."""
        found = self._totals.get(path)
        return self._reader().used(path) if found is None else found

    def believed(self, spender: Spender, message: int) -> int:
        """``message`` if it is one for this path, else 0: nobody works for another's. It need not be leased yet, for
        mail runs ahead."""
        if message and message != spender.message:
            if self._reader().receiver(message) != spender.path:
                return 0
            spender.message = message
        return message

    # ---- counting

    def trim(self) -> None:
        """Between words alone: what somebody has in hand must stay what is kept. What is on its way to the disk is not
        known there."""
        if max(len(self._totals), len(self._spenders)) < self._trim_at:
            return
        under_way = {place for path in (*self._flying, *self._pending) for place in above(path)}
        self._totals = {path: used for path, used in self._totals.items() if path in under_way}
        self._spenders = {path: one for path, one in self._spenders.items() if path in under_way}
        self._trim_at = max(REMEMBERED, 2 * len(self._totals))

    def add(self, path: str, amounts: Amounts, message: int, now_ms: int) -> None:
        """Said by the agent itself, for that message."""
        self._sum_up(path, amounts)
        pending = self._pending.setdefault(path, {})
        if message:
            before, charges = self._unwritten.get(message, (Amounts(), 0))
            self._unwritten[message] = before + amounts, charges + (message not in pending)
        pending[message] = pending.get(message, Amounts()) + amounts
        if path not in self._flying:
            self._write(path, now_ms)

    def add_all(self, counted: ops.Counted, charges: list[ops.Charge], done: Callable[[], None], now_ms: int) -> None:
        """Seen by the host, in one commit. ``done`` when it will not be lost."""
        for one in charges:
            self._sum_up(one.path, one.amounts, alone=one.alone)
        paths = list(dict.fromkeys(one.path for one in charges))

        def token(answers: Any, error: AgenthostError | None) -> None:
            self._landed(paths, now_ms)
            if answers is not None and not any(isinstance(one, Rejected) for one in answers):
                done()

        self._fly([counted, *charges], paths, token, now_ms)
        for path in paths:  # what was seen of its turn; in the same commit, as long as the disk takes both
            self._write(path, now_ms)

    def forget(self, path: str, now_ms: int) -> None:
        """Its session is about to be removed, or was: whoever has this name next begins with nothing. What is not
        written yet was used all the same, below those above it."""
        pending = self._pending.pop(path, {})
        for message, amounts in pending.items():
            self._is_written(message, amounts)
        total = sum(pending.values(), Amounts())
        if total and path != "/":
            self._submit((ops.Charge(above(path)[1], total),), lambda answers, error: None, now_ms, FOR_EVER_MS)
        before = self._spenders.get(path)
        spender = self._spenders[path] = Spender(path, None)
        if before is not None:
            spender.inc, spender.is_over = before.inc, True
        self._totals[path] = Amounts()

    def _sum_up(self, path: str, amounts: Amounts, *, alone: bool = False) -> None:
        for place in (path,) if alone else above(path):
            self._totals[place] = self.used(place) + amounts

    # ---- writing

    def _write(self, path: str, now_ms: int) -> None:
        pending = self._pending.pop(path, {})

        def token(answers: Any, error: AgenthostError | None) -> None:
            for message, amounts in pending.items():
                self._is_written(message, amounts)
            self._landed((path,), now_ms)

        self._fly(list(self._charges(path, pending)), (path,), token, now_ms)

    def _charges(self, path: str, pending: dict[int, Amounts]) -> Iterator[ops.Charge]:
        found = [ops.Charge(path, amounts, None, message) for message, amounts in pending.items()]
        last = found.pop() if found else ops.Charge(path, Amounts())
        yield from found
        yield msgspec.structs.replace(last, spending=self.spender(path).value())

    def _fly(self, batch: list[ops.Op], paths: Iterable[str], token: Callable[..., None], now_ms: int) -> None:
        for path in paths:
            self._flying[path] = self._flying.get(path, 0) + 1
        self._submit(batch, token, now_ms, FOR_EVER_MS)

    def _landed(self, paths: Iterable[str], now_ms: int) -> None:
        for path in paths:
            self._flying[path] -= 1
            if not self._flying[path]:
                del self._flying[path]
            if path in self._pending and path not in self._flying:
                self._write(path, now_ms)

    def _is_written(self, message: int, amounts: Amounts) -> None:
        """One charge of what is unwritten for it, or it is lost."""
        before, charges = self._unwritten.get(message, (Amounts(), 0))
        if charges > 1:
            self._unwritten[message] = _less(before, amounts), charges - 1
        else:
            self._unwritten.pop(message, None)


def _less(amounts: Amounts, written: Amounts) -> Amounts:
    pairs = zip(msgspec.structs.astuple(amounts), msgspec.structs.astuple(written), strict=True)
    return Amounts(*(a - b for a, b in pairs))
