"""Turns of durable mail, as their agents tell of them at their doors: a message is taken, its turn is committed, breaks
or fails. What becomes of a failure is ``settling``'s, what readers of the log see of a turn is ``telling``'s.

The rule it keeps: the state, the mail that was sent and the end of the message are one operation, or nothing of it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agenthost.errors import AgenthostError
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Committed, Leased
from agenthost.journal.attendance import Attendance
from agenthost.journal.party import Party
from agenthost.journal.remedies import turns_kept
from agenthost.journal.replies import Replies
from agenthost.journal.settling import Settling, leased, whole
from agenthost.journal.store import Reader
from agenthost.journal.telling import Telling, entries_of
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say

LEASE_MS = 86_400_000
"""A lease ends with its holder; this only says since when it would be worth a look."""


class Turns:
    """``submit`` is the clerk's. ``is_held(path)``: no turn may begin there, its mail waits."""

    def __init__(
        self,
        submit: Callable[..., None],
        reader: Callable[[], Reader],
        replies: Replies,
        there: Attendance,
        telling: Telling,
        settling: Settling,
        is_held: Callable[[str], bool],
    ) -> None:
        self._submit, self._reader, self._replies, self._there = submit, reader, replies, there
        self._telling, self._settling, self._is_held = telling, settling, is_held

    def take(self, party: Party, message: say.Take, now_ms: int) -> None:
        """Nothing is given to one that a budget holds."""
        party.hinted = False
        if self._is_held(party.path):
            self._there.say(party, say.Leased(message.id))
            return
        op = ops.Lease(party.path, party.inc, now_ms + LEASE_MS, self._shown(party, message.show))
        self._replies.ask(party, message.id, op, lambda answer: self._leased(party, message.id, answer), now_ms)

    def commit(self, party: Party, message: say.Commit, now_ms: int) -> None:
        self._repeated(party, message, now_ms)
        if message.take:
            party.hinted = False
        terms = self._there.terms_of(party.path) or party.terms
        op = ops.CommitTurn(
            party.path,
            party.inc,
            message.message,
            message.attempt,
            message.state,
            message.state_version,
            tuple(accept(party.path, one, self._there.terms_of(one.to)) for one in message.sends),
            cancels=message.cancels,
            checkpoint=message.checkpoint or self._settling.kept_as(party.path, message, terms),
            lease_until_ms=now_ms + LEASE_MS if message.take and not self._is_held(party.path) else 0,
            entries=entries_of(message),
            turn=message.turn,
            show=self._shown(party, message.show),
            upon=message.upon,
        )

        def answer(answer: Answer) -> say.FromJournal:
            found = answer.next if isinstance(answer, Committed) else None
            if message.entries and isinstance(answer, Committed):
                self._telling.committed(party.path, message, answer.last_seq, twice=answer.twice)
            try:
                return self._leased(party, message.id, found, message.next)
            except AgenthostError:  # the disk fails in the middle of a look: it is true all the same
                self._there.say(party, say.Waiting())
                return say.Leased(message.id)

        stale = say.UNDONE if message.upon else say.STALE
        self._replies.ask(party, message.id, op, answer, now_ms, message.sends, stale)

    def broken(self, party: Party, message: say.Break, now_ms: int) -> None:
        """Of a turn whose failure is no business of the mail's."""
        parts = self._telling.broken_up_to(party.path, party.inc, message.part)
        batch = self._telling.append(party.path, party.inc, parts, message.turn)

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self._telling.broke(party.path, parts, answers)
            self._replies.done_or_refused(party, message.id, error)

        if batch:
            self._submit(batch, token, now_ms)
        else:
            self._there.say(party, say.Done(message.id))

    def failed(self, party: Party, message: say.Fail, now_ms: int) -> None:
        held = self._reader().held(party.path)
        parts = self._telling.broken(party.path, party.inc, message=message.message, attempt=message.attempt)
        if held is None or (held.id, held.attempt, held.incarnation) != (message.message, message.attempt, party.inc):
            self._telling.forget(party.path, parts)
            self._there.say(party, say.Done(message.id))  # said before, and done
            return
        self._repeated(party, message, now_ms)

        def then(error: AgenthostError | None) -> None:
            self._replies.done_or_refused(party, message.id, error)

        if message.unused:
            release = ops.Release(held.id, held.attempt, message.why)
            self._submit((release,), lambda answers, error: then(error), now_ms)
        else:
            failure = None if message.skipped else whole(message.failure, message.why)
            terms = self._there.terms_of(party.path) or party.terms
            self._settling.fail(party.path, held, failure, terms, then, now_ms, parts, message.why, final=message.final)

    def _leased(self, party: Party, id: int, answer: Any, known: int = 0) -> say.Leased:
        """With what the path repeats, once for each door."""
        repeats = b""
        if isinstance(answer, Leased) and not party.knows_repeats:
            repeats = self._reader().repeats(party.path)
            party.knows_repeats = True
        return leased(self._reader, id, answer, known, repeats)

    def _repeated(self, party: Party, message: say.Commit | say.Fail, now_ms: int) -> None:
        """Kept beside what is said with it: should this be lost, a count is."""
        if message.loops is not None:
            party.knows_repeats = True
            op = ops.Repeated(party.path, party.inc, message.loops)
            self._submit((op,), lambda answers, error: None, now_ms)

    def _shown(self, party: Party, wanted: int) -> int:
        """How many messages it may begin with before the turns before them are committed. None where a turn's commit
        depends on what those before it have left."""
        return 0 if turns_kept(self._there.terms_of(party.path) or party.terms) else wanted


def accept(sender: str, one: say.Sending | say.Send, terms: Terms | None) -> ops.Accept:
    """``terms`` are those of the receiver."""
    terms = terms or Terms()
    return ops.Accept(
        one.to,
        sender,
        one.body,
        key=one.key,
        due_ms=one.due_ms,
        limit=terms.limit,
        when_full=terms.when_full,
        by_clock=one.by_clock,
    )
