"""What the answer of a turn is: what ``handle`` returns. Where a turn of mail returns nothing it is the last ``answer``
that it has told of (``ctx.stream("answer")``), for that is what those read who have asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agenthost.agent.telling import Telling

ANSWER = "answer"
"""Type of the entries that are one."""
NONE = object()
"""There is no answer."""


def answer_of(reply: Any, telling: Telling | None) -> Any:
    """Of a turn of mail that has returned ``reply``, and told that; ``NONE`` if there is none."""
    if reply is not None:
        return reply
    told = [] if telling is None else [part for part in telling.parts if part.type == ANSWER and not part.is_broken]
    if not told:
        return NONE
    last = told[-1]
    return {**last.values, "text": last.text} if last.length >= 0 else dict(last.values)
