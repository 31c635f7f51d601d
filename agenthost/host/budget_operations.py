"""What clients may ask about budgets: each operation as work that ends with its result. The journal counts and decides
(``journal.meters``); who granted what is in its database and in the records."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Any

from agenthost.core.budget.budget import MOST
from agenthost.core.budget.meters import METERS
from agenthost.errors import UsageError
from agenthost.host.asked_path import normal
from agenthost.host.journal_asking import JournalAsking
from agenthost.protocol import operations as ask


class BudgetOperations:
    def __init__(self, asking: JournalAsking) -> None:
        self._asking = asking

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """None: it is no operation of these. ``by`` is "uid 1000"."""
        match wanted:
            case ask.Budgets(path=path, below=below, after=after):
                args = {"path": path and normal(path), "below": below, "after": after}
                return self._asking.ask("budgets", args)
            case ask.Grant():
                return self._grant(normal(wanted.path), wanted.meter, wanted.amount, by)
        return None

    async def _grant(self, path: str, meter: str, amount: float, by: str) -> Any:
        if meter not in METERS:
            raise UsageError(f"cannot grant {meter!r}: there are {', '.join(METERS)}")
        if not math.isfinite(amount) or not 0 < amount <= MOST:
            raise UsageError(f"cannot grant {amount:g}: give a number above 0")
        return await self._asking.ask("grant", {"path": path, "meter": meter, "amount": amount, "by": by})
