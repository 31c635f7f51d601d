"""What clients may ask about what failed, and what will be: each operation as work that ends with its result."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from agenthost.host.asked_path import normal
from agenthost.host.explaining import Explaining
from agenthost.host.journal_asking import JournalAsking
from agenthost.protocol import operations as ask


class RecordOperations:
    def __init__(self, asking: JournalAsking, explaining: Explaining) -> None:
        self._asking, self._explaining = asking, explaining

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """As in ``MailOperations``."""
        match wanted:
            case ask.Crashes(path=path, before=before, since=since, limit=limit):
                where = path and normal(path)
                args = {"path": "" if where == "/" else where, "before": before, "since": since, "limit": limit}
                return self._asking.ask("crashes", args)
            case ask.Crash(number=number):
                return self._asking.ask("crash", {"number": number})
            case ask.Explain(path=path):
                return self._explaining.explain(normal(path))
        return None
