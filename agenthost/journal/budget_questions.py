"""Who is asked where a budget with ``at_limit: ask`` is used up between two turns: no turn was interrupted, so nothing
waits with the question yet. The message that would have been next is parked with it.

The rule it keeps: an agent that such a budget holds and that has mail has one message that asks; after a no the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agenthost.core.remedy.failure import Failure
from agenthost.journal import remedies, words
from agenthost.journal.answers import Answer, Rejected
from agenthost.journal.meters import Meters
from agenthost.journal.store import Reader
from agenthost.journal.values import Mail

LOOKED_AT = 1000
"""Messages of a mailbox; one of the oldest is the first of its lane."""


class BudgetQuestions:
    """``submit`` is the clerk's; ``tell`` reaches the host."""

    def __init__(
        self,
        submit: Callable[..., None],
        reader: Callable[[], Reader],
        meters: Meters,
        tell: Callable[[words.FromJournal], None],
    ) -> None:
        self._submit, self._reader, self._meters, self._tell = submit, reader, meters, tell
        self._wanted: dict[str, None] = {}

    @property
    def next_ms(self) -> int:
        """0: nobody is to be asked."""
        return 1 if self._wanted else 0

    def holds(self, path: str) -> bool:
        """As ``Meters.holds``; there may be mail for it, so somebody is asked soon."""
        if not self._meters.holds(path):
            return False
        if (standing := self._meters.standing(path)) is not None and standing.state == "asks":
            self._wanted[path] = None
        return True

    def tick(self, now_ms: int) -> None:
        while self._wanted:
            path = next(iter(self._wanted))
            self._ask(path, now_ms)
            self._wanted.pop(path, None)  # should the disk fail in the middle of a look it is looked at again

    def _ask(self, path: str, now_ms: int) -> None:
        crossing = self._meters.standing(path)
        if crossing is None or crossing.state != "asks":
            return
        reader = self._reader()
        first = self._first(reader.glance(path, LOOKED_AT), f"{crossing.meter} of {crossing.path}")
        if first is None:
            return
        text = crossing.words(self._meters.prices.currency)
        verdict = remedies.after_budget(first, Failure("budget", text=text), crossing, now_ms)

        def parked(answers: list[Answer] | None, error: Any) -> None:
            if answers is None or isinstance(answers[0], Rejected):
                return  # it has gone meanwhile; whoever comes next asks
            why, mark = verdict.remedy.why, verdict.fingerprint
            rung = verdict.remedy.label
            asks = words.Remedied(path, 0, 0, first.id, first.attempt, mark, rung, why, text, failed=False)
            nth = remedies.questions(self._reader().history(first.id))
            self._tell(msgspec.structs.replace(asks, question=nth))

        self._submit((verdict.op,), parked, now_ms)

    def _first(self, box: tuple[Mail, ...], budget: str) -> Mail | None:
        """Who would be next; None if one is in hand, or asks that already."""
        lanes = dict[str, Mail]()
        for one in box:
            if one.status == "leased":
                return None
            if one.status == "parked":
                question = remedies.question_of(one, self._reader().history(one.id))
                if question["budget"] == budget:
                    return None
            if one.status != "delayed":
                lane = one.session or f"from {one.sender}"
                if lane not in lanes or one.place < lanes[lane].place:
                    lanes[lane] = one
        ready = [one for one in lanes.values() if one.status == "waiting"]
        return min(ready, key=lambda one: one.place, default=None)
