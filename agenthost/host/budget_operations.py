"""What clients may ask about budgets: each operation as work that ends with its result. The journal counts and decides
(``journal.meters``); who granted what is in its database and in the records."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Any

from agenthost.core.budget.meters import METERS
from agenthost.errors import UsageError
from agenthost.host.journaling import Journaling
from agenthost.protocol import operations as ask

MOST = 1e15


class BudgetOperations:
    def __init__(self, journaling: Journaling) -> None:
        self._journaling = journaling

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """None: it is no operation of these. ``by`` is "uid 1000"."""
        match wanted:
            case ask.Budgets(path=path, below=below, after=after):
                args = {"path": path and _normal(path), "below": below, "after": after}
                return self._journaling.ask("budgets", args)
            case ask.Grant():
                return self._grant(_normal(wanted.path), wanted.meter, wanted.amount, by)
        return None

    async def _grant(self, path: str, meter: str, amount: float, by: str) -> Any:
        if meter not in METERS:
            raise UsageError(f"cannot grant {meter!r}: there are {', '.join(METERS)}")
        if not math.isfinite(amount) or not 0 < amount <= MOST:
            raise UsageError(f"cannot grant {amount:g}: give a number above 0")
        return await self._journaling.ask("grant", {"path": path, "meter": meter, "amount": amount, "by": by})


def _normal(path: str) -> str:
    return "/" + path.strip("/")
