"""What becomes of a message whose turn has failed, carried out: the operation, who hears of it, what the next attempt
is given, and the states that one may want to go back to. What is decided is in ``remedies``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from agenthost.core.remedy.failure import Failure
from agenthost.errors import AgenthostError
from agenthost.journal import ops, remedies, words
from agenthost.journal.answers import Answer, Leased, Rejected
from agenthost.journal.parts import Part
from agenthost.journal.remedies import Verdict
from agenthost.journal.store import Reader
from agenthost.journal.telling import Telling
from agenthost.journal.values import Mail
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say

UNWANTED = 1000
"""Messages that are remembered as such."""


class Settling:
    """``submit(batch, token, now_ms)``, ``notify(path)`` and ``due_at(ms)`` are the clerk's; ``tell`` reaches the
    host. ``chance`` gives any whole number."""

    def __init__(
        self,
        submit: Callable[..., None],
        reader: Callable[[], Reader],
        notify: Callable[[str], None],
        due_at: Callable[[int], None],
        tell: Callable[[words.FromJournal], None],
        telling: Telling,
    ) -> None:
        self._submit, self._reader, self._notify, self._due_at = submit, reader, notify, due_at
        self._tell, self._telling = tell, telling
        self.chance: Callable[[], int] = lambda: 0
        self._unwanted: dict[int, str] = {}

    def unwanted(self, message: int, by: str) -> None:
        """It is in hand; should its turn fail it is dropped, and not tried again. Forgotten with this journal."""
        self._unwanted[message] = by
        while len(self._unwanted) > UNWANTED:
            del self._unwanted[next(iter(self._unwanted))]

    def fail(
        self,
        path: str,
        held: Mail,
        failure: Failure | None,
        terms: Terms,
        then: Callable[[AgenthostError | None], None],
        now_ms: int,
        parts: Sequence[Part] = (),
        why: str = "",
        *,
        final: bool = False,
    ) -> None:
        """``parts`` of its turn become broken entries with the failure. None: the remedy that was decided could not be
        applied, says ``why``."""
        breaks = self._telling.append(path, held.incarnation, parts)
        if (by := self._unwanted.pop(held.id, None)) is not None:

            def dropped(answers: list[Answer] | None, error: AgenthostError | None) -> None:
                self._telling.broke(path, parts, answers)
                self._notify(path)
                then(error)

            end = (ops.DeadLetter(held.id, held.attempt, why or by), ops.Drop(held.id, by))
            self._submit((*breaks, *end), dropped, now_ms)
            return
        chance = self.chance()
        try:
            history = self._reader().history(held.id)
        except AgenthostError as error:  # the disk fails in the middle of a look
            then(error)
            return
        if failure is None:
            verdict = remedies.instead(held, why, history, terms, now_ms, chance)
        else:
            verdict = remedies.after_failure(held, failure, history, terms, now_ms, chance, final=final)
        op = verdict.op

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self._telling.broke(path, parts, answers)
            answer = answers[-1] if answers is not None else None
            if isinstance(answer, Rejected) and isinstance(op, ops.Move):
                dead = ops.DeadLetter(held.id, held.attempt, f"{op.reason}; {answer.why}", op.mark)
                self._submit((dead,), lambda answers, error: then(error), now_ms)
                return
            try:
                if answer is not None and not isinstance(answer, Rejected):
                    self._settled(path, held, verdict, now_ms)
            finally:
                then(error)

        self._submit((*breaks, op), token, now_ms)

    def _settled(self, path: str, held: Mail, verdict: Verdict, now_ms: int) -> None:
        """Who hears of it: the host, and whoever has mail because of it."""
        op, (boot, n) = verdict.op, held.incarnation or (0, 0)
        pause_ms = 0
        match op:
            case ops.DeadLetter():
                self._tell(words.SetAside(path, held.id, held.sender, held.attempt, op.reason))
                self._notify(path)
            case ops.Move(receiver=receiver):
                self._notify(receiver)
            case ops.BackOff(until_ms=until_ms):
                pause_ms = max(0, until_ms - now_ms)
                self._due_at(until_ms)
            case ops.Park(until_ms=until_ms) if until_ms:
                self._due_at(until_ms)
        waits_itself = isinstance(op, ops.BackOff | ops.Park)
        if not isinstance(op, ops.DeadLetter) and self._reader().open_count(path) > waits_itself:
            self._notify(path)
        said = words.Remedied(
            path,
            boot,
            n,
            held.id,
            held.attempt,
            verdict.fingerprint,
            verdict.remedy.label,
            verdict.remedy.why,
            op.reason,
            pause_ms,
            verdict.escalates,
        )
        self._tell(said)

    def kept_as(self, path: str, message: say.Commit, terms: Terms) -> str:
        """The name under which the state after a turn is kept so that one can go back; "" if nobody will."""
        if message.state is None or not (turns := remedies.turns_kept(terms)):
            return ""
        return remedies.checkpoint_name(self._reader().checkpoints(path), turns)


def state_before(reader: Reader, path: str, message: say.Load) -> say.FromJournal:
    """As it was ``message.back`` committed turns ago."""
    made = reader.checkpoints(path)
    if message.back >= len(made):
        why = f"cannot go back {message.back} turns: the states after {len(made)} are kept"
        return say.Refused(message.id, "unknown_name", why)
    found = reader.state(path, made[message.back].name)
    return say.State(message.id, *(() if found is None else (found.state, found.state_version)))


def mail_of(reader: Reader, answer: Any) -> say.Mail | None:
    """As its agent gets it, with what was decided after the attempt before."""
    if not isinstance(answer, Leased):
        return None
    one = answer.mail
    return say.Mail(
        one.id,
        one.sender,
        one.body,
        one.attempt,
        one.accepted_ms,
        in_session=one.session == one.receiver,
        remedy=remedies.for_attempt(reader.history(one.id)) if one.attempt > 1 else None,
    )


def whole(failure: Failure | None, why: str) -> Failure:
    """With its text, which is said beside it."""
    return replace(failure or Failure("error"), text=why)
