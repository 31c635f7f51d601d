"""What an agent asks as operations of the store: handed to the writer, and answered at its door with what has come of
it. Which operations those are is ``clerk``'s and ``turns``' to say.

The rule it keeps: that something is done is said after the commit, and only then does a receiver hear of its mail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agenthost.errors import AgenthostError, JournalUnavailable
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Rejected
from agenthost.journal.attendance import Attendance
from agenthost.journal.party import Party
from agenthost.protocol import mail as say

_CODES = {
    "removed": "unknown_name",
    "overloaded": "overloaded",
    "too_large": "usage",
    "too_many": "usage",
    "stale": say.STALE,
}


class Replies:
    """``submit`` is the clerk's; ``due_at(ms)`` is told of mail that is for later."""

    def __init__(self, submit: Callable[..., None], there: Attendance, due_at: Callable[[int], None]) -> None:
        self._submit, self._there, self._due_at = submit, there, due_at

    def ask(
        self,
        party: Party,
        id: int,
        op: ops.Op,
        answered: Callable[[Any], say.FromJournal],
        now_ms: int,
        sends: Iterable[say.Sending | say.Send] = (),
        stale: str = say.STALE,
    ) -> None:
        """One operation, and what is said when it is committed, or was refused; ``stale`` is the code for that."""

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            party.open -= 1
            if answers is None:
                self._there.refuse(party, id, error or JournalUnavailable("cannot write the journal"))
                return
            (answer,) = answers
            if isinstance(answer, Rejected):
                code = stale if answer.code == "stale" else _CODES.get(answer.code, "error")
                self._there.say(party, say.Refused(id, code, answer.why))
                return
            try:
                self._there.say(party, answered(answer))
            except AgenthostError as error:  # asked again, it is answered
                self._there.refuse(party, id, error)
            for one in sends:
                if one.due_ms > now_ms:
                    self._due_at(one.due_ms)
                else:
                    self._there.notify(one.to)

        party.open += 1
        self._submit((op,), token, now_ms)

    def ask_all(self, party: Party, id: int, batch: Sequence[ops.Op], now_ms: int) -> None:
        """Done when all of them are; what was done before, or is not wanted any more, counts as done."""

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            party.open -= 1
            if answers is None:
                self._there.refuse(party, id, error or JournalUnavailable("cannot write the journal"))
                return
            refused = [one for one in answers if isinstance(one, Rejected) and one.code not in ("conflict", "unknown")]
            if refused:
                self._there.say(party, say.Refused(id, _CODES.get(refused[0].code, "error"), refused[0].why))
            else:
                self._there.say(party, say.Done(id))

        party.open += 1
        self._submit(batch, token, now_ms)

    def done_or_refused(self, party: Party, id: int, error: AgenthostError | None) -> None:
        if error is None:
            self._there.say(party, say.Done(id))
        else:
            self._there.refuse(party, id, error)
