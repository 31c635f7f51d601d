"""Whether an answer is good, before anybody gets it: ``schema`` of the config, ``check()`` of the agent, ``judge``.

What the answer is says ``answer``. The cheap ones come first, and the first that says no ends it: ``AnswerRejected``.
Then the turn has failed, so nothing of it is committed or said, and what was streamed is marked as broken. A check that
raises ends the turn as a handler does.

Made only for agents that have one of the three.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agenthost.agent.agent import Agent, Message
from agenthost.agent.authors_code import called
from agenthost.core.answers import Judge
from agenthost.errors import AnswerRejected
from agenthost.protocol.codec import pack_body, unpack_body

if TYPE_CHECKING:
    from agenthost.agent.async_context import AsyncContext
    from agenthost.agent.context import Context
    from agenthost.agent.judging import Ask


class Health:
    """Of one agent. ``ask`` is its desk's."""

    def __init__(self, agent: Agent, schema: Any, judge: Judge | None, ask: Ask) -> None:
        self._agent, self._judge, self._ask = agent, judge, ask
        self._check = check_of(agent)
        self._schema = None
        if schema is not None:
            from agenthost.agent.schemas import Schema

            self._schema = Schema(schema)

    async def examine(self, message: Message, answer: Any, context: Context | AsyncContext) -> None:
        """Raises ``AnswerRejected``, and what ``check()`` raises."""
        if self._schema is not None:
            fault = called(self._schema.fault, travelled(answer))
            if fault is not None:
                words, place = fault
                text = f"cannot take the answer: it is not as its schema wants it: {words}"
                raise AnswerRejected(text, by="schema", place=place)
        if self._check is not None:
            found = called(self._check, answer)
            accept(self._agent, await found if hasattr(found, "__await__") else found)
        if self._judge is not None:
            from agenthost.agent.judging import examine

            deadline = time.monotonic() + self._judge.timeout_s
            deadline = deadline if context.deadline is None else min(deadline, context.deadline)
            await examine(self._judge, self._ask, message.body, travelled(answer), deadline)


def check_of(agent: Any) -> Any:
    check = getattr(agent, "check", None)
    return check if callable(check) else None


def accept(agent: Agent, found: Any) -> None:
    """``found`` is what ``check()`` has returned: None, True or "" is yes, False or a text is no."""
    if found is None or found is True or found == "":
        return
    if found is False:
        raise AnswerRejected("cannot take the answer: check() says no", by="check")
    if isinstance(found, str):
        raise AnswerRejected(f"cannot take the answer: check() says: {found}", by="check")
    what = f"check() of {type(agent).__name__} returned {type(found).__name__}"
    raise TypeError(f"{what}: return None, True, False, or a text that says why not")


def travelled(answer: Any) -> Any:
    """As whoever gets it sees it: a tuple is a list."""
    return unpack_body(pack_body(answer))
