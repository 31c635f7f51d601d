"""What clients may ask about mail and the journal: each operation as work that ends with its result.

The journal does it; nothing is kept here. The rule it keeps: what the journal refuses is raised as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from agenthost.errors import UnknownName
from agenthost.host.asked_path import normal
from agenthost.host.journal_asking import JournalAsking
from agenthost.protocol import operations as ask

LETTERS = 100
"""Dead letters in one answer."""


class MailOperations:
    def __init__(self, asking: JournalAsking) -> None:
        self._asking = asking

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """None: it is no operation of these. ``by`` is "uid 1000"."""
        match wanted:
            case ask.Send():
                return self._asking.send(
                    f"client:{by.removeprefix('uid ')}",
                    normal(wanted.path),
                    wanted.body,
                    wanted.key,
                    wanted.due_ms,
                    by_clock=wanted.by_clock,
                    in_session=wanted.session,
                    seat=wanted.seat,
                )
            case ask.Attach(path=path):
                return self._asking.attach(path and normal(path), int(by.removeprefix("uid ")))
            case ask.Letters(prefix=prefix, after=after, limit=limit):
                args = {"prefix": prefix, "after": after, "limit": min(limit, LETTERS)}
                return self._asking.ask("letters", args)
            case ask.Letter(message=message):
                return self._letter(message)
            case ask.Drop(message=message, in_hand=in_hand):
                return self._asking.ask("drop", {"message": message, "by": f"by {by}", "in_hand": in_hand})
            case ask.Requeue(message=message):
                return self._asking.ask("requeue", {"message": message, "by": f"by {by}"})
            case ask.Asked(prefix=prefix, after=after, limit=limit):
                args = {"prefix": prefix, "after": after, "limit": min(limit, LETTERS)}
                return self._asking.ask("asked", args)
            case ask.Answer(message=message, yes=yes, text=text, nth=nth):
                return self._asking.answer(message, text, by, yes=yes, nth=nth)
            case ask.Journal(what=what):
                return self._asking.ask(what)
        return None

    async def _letter(self, message: int) -> Any:
        found = await self._asking.ask("letter", {"message": message})
        if found is None:
            raise UnknownName(f"cannot show message {message}: there is none")
        return found
