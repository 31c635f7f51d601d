"""The journal's part in an attempt: what those before it have called, and where its own calls are written down.

Only turns of durable mail come here, and only a second attempt asks the journal anything before it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agenthost.agent.attempt import Attempt
from agenthost.agent.committing import Until, wait_answer
from agenthost.agent.durable import Durable
from agenthost.agent.tool_calls import ToolCalls
from agenthost.errors import TimedOut
from agenthost.protocol import mail

if TYPE_CHECKING:
    from agenthost.agent.door import Asked


class Book:
    """``tool_calls.Journal`` at our door, for one message."""

    __slots__ = ("_durable", "_message", "_until")

    def __init__(self, durable: Durable, until: Until, message: int) -> None:
        self._durable, self._until, self._message = durable, until, message

    async def intend(self, calls: Sequence[mail.Called], deadline: float) -> None:
        if (ahead := self._durable.ahead) is not None and ahead.is_open:
            await ahead.settle(self._durable, self._until)
        door = self._durable.open()
        asked = door.ask(lambda number: mail.Intend(number, self._message, tuple(calls)))
        try:
            if not await self._until(lambda: asked.answer is not None, deadline):
                raise TimedOut(f"cannot call {calls[0].tool}: the journal has not answered in time")
        finally:
            if asked.answer is None:
                door.forget(asked)
        if isinstance(asked.answer, mail.Refused):
            raise self._durable.error(asked.answer)

    def conclude(self, key: str, outcome: bytes) -> None:
        self._durable.open().ask(lambda number: mail.Conclude(number, self._message, key, outcome))


async def attempt_of(durable: Durable, until: Until, one: mail.Mail) -> Attempt:
    """As the turn of ``one`` begins. A stalled journal stalls turns."""
    book = Book(durable, until, one.message)
    if one.attempt == 1:
        return Attempt(1, "", ToolCalls(book, 1))
    earlier, why, more = list[mail.Called](), "", True
    while more:
        after = len(earlier)
        asked: Asked = durable.open().ask(lambda number: mail.Recall(number, one.message, after))  # noqa: B023
        answer = await wait_answer(until, asked)
        if isinstance(answer, mail.Refused):
            raise durable.error(answer)
        earlier += answer.calls
        why, more = answer.why, answer.more
    return Attempt(one.attempt, why, ToolCalls(book, one.attempt, earlier))
