"""What clients may ask about what failed, and what will be: each operation as work that ends with its result."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from agenthost.host.explaining import Explaining
from agenthost.host.journaling import Journaling
from agenthost.protocol import operations as ask


class RecordOperations:
    def __init__(self, journaling: Journaling, explaining: Explaining) -> None:
        self._journaling, self._explaining = journaling, explaining

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """As in ``MailOperations``."""
        match wanted:
            case ask.Crashes(path=path, before=before, since=since, limit=limit):
                where = path and "/" + path.strip("/")
                args = {"path": "" if where == "/" else where, "before": before, "since": since, "limit": limit}
                return self._journaling.ask("crashes", args)
            case ask.Crash(number=number):
                return self._journaling.ask("crash", {"number": number})
            case ask.Explain(path=path):
                return self._explaining.explain("/" + path.strip("/"))
        return None
