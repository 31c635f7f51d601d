"""What clients may ask about mail for later: cancelling, periodic messages, what is not due yet.

Periodic messages of clients have plain names, and belong to all who control the host. Those of the config go with it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from agenthost.errors import UnknownName, UsageError
from agenthost.host.asked_path import normal
from agenthost.host.journal_asking import JournalAsking
from agenthost.journal import words
from agenthost.later import checked_name
from agenthost.protocol import operations as ask

LISTED = 100


class TimeOperations:
    def __init__(self, asking: JournalAsking) -> None:
        self._asking = asking

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """As in ``MailOperations``."""
        sender = f"client:{by.removeprefix('uid ')}"
        match wanted:
            case ask.Cancel(key=key):
                return self._asking.ask("cancel", {"sender": sender, "key": key})
            case ask.Schedule(name=name, cron=cron, path=path, body=body):
                what = words.Periodic(checked_name(name), normal(path), cron, body)
                return self._asking.schedule(sender, what)
            case ask.Unschedule(name=name):
                return self._unschedule(name)
            case ask.Schedules(after=after, limit=limit):
                return self._asking.ask("schedules", {"after": after, "limit": min(limit, LISTED)})
            case ask.Delayed(after=due_after, limit=limit):
                return self._asking.ask("delayed", {"after": due_after, "limit": min(limit, LISTED)})
            case ask.Undelay(message=message):
                return self._undelay(message, by)
        return None

    async def _undelay(self, message: int, by: str) -> None:
        found = await self._asking.ask("letter", {"message": message})
        if found is None or found["status"] != "delayed":
            raise UnknownName(f"cannot take back message {message}: no message of that number waits for its time")
        await self._asking.ask("drop", {"message": message, "by": f"by {by}"})

    async def _unschedule(self, name: str) -> None:
        if name.startswith("config:"):
            raise UsageError(f"cannot unschedule {name}: it stands in the config", hint="remove it there, and reload")
        await self._asking.ask("unschedule", {"name": name})
