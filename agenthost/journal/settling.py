"""What becomes of a message whose turn has failed, carried out: the operation, who hears of it, what the next attempt
is given, and the name of a state that one may want to go back to. What is decided is in ``remedies``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from agenthost.core.remedy.failure import Failure
from agenthost.errors import AgenthostError
from agenthost.journal import crashes, ops, remedies, values, words
from agenthost.journal.answers import Answer, Leased, Rejected
from agenthost.journal.meters import Meters
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
    host. ``find(path, then)`` tells ``then`` why no mail may be sent there, "" if it may. ``chance`` gives any whole
    number."""

    def __init__(
        self,
        submit: Callable[..., None],
        reader: Callable[[], Reader],
        notify: Callable[[str], None],
        due_at: Callable[[int], None],
        tell: Callable[[words.FromJournal], None],
        telling: Telling,
        find: Callable[[str, Callable[[str], None]], None],
    ) -> None:
        self._submit, self._reader, self._notify, self._due_at = submit, reader, notify, due_at
        self._tell, self._telling, self._find = tell, telling, find
        self.chance: Callable[[], int] = lambda: 0
        self.meters: Meters | None = None
        """Set by the clerk."""
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
        ended: bool = False,
    ) -> None:
        """``parts`` of its turn become broken entries with the failure. None: the remedy that was decided could not be
        applied, says ``why``. ``ended``: its process has."""
        breaks = self._telling.append(path, held.incarnation, parts)
        if (by := self._unwanted.get(held.id)) is not None:

            def dropped(answers: list[Answer] | None, error: AgenthostError | None) -> None:
                if answers is not None:  # else its turn fails again, or is said to have failed again
                    self._unwanted.pop(held.id, None)
                self._telling.broke(path, parts, answers)
                self._notify(path)
                then(error)

            end = (ops.DeadLetter(held.id, held.attempt, why or by), ops.Drop(held.id, by))
            self._submit((*breaks, *end), dropped, now_ms)
            return
        chance = self.chance()
        try:
            history = self._reader().history(held.id)
            if failure is None:
                verdict = remedies.instead(held, why, history, terms, now_ms, chance)
            else:
                verdict = self._verdict(path, held, failure, history, terms, now_ms, chance, final=final)
        except AgenthostError as error:  # the disk fails in the middle of a look
            then(error)
            return

        def carry_out(verdict: Verdict, why_not: str = "") -> None:
            """``why_not`` it cannot be moved to whom the verdict names."""
            if why_not:
                instead = remedies.instead_of(verdict, why_not, held, history, terms, now_ms, chance)
                self._move_on(instead, path, carry_out)
            else:
                noted = crashes.of_attempt(path, held, failure, verdict, ended=ended)
                batch = (*breaks, verdict.op, *noted)
                self._submit(batch, lambda answers, error: token(verdict, answers, error), now_ms)

        def token(verdict: Verdict, answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self._telling.broke(path, parts, answers)
            answer = answers[len(breaks)] if answers is not None else None
            if isinstance(answer, Rejected) and answer.code == "removed" and isinstance(verdict.op, ops.Move):
                breaks.clear()  # they are written
                carry_out(verdict, answer.why)
                return
            try:
                if answer is not None and not isinstance(answer, Rejected):
                    self._settled(path, held, verdict, now_ms, failed=failure is not None)
            finally:
                then(error)

        self._move_on(verdict, path, carry_out)

    def _verdict(
        self,
        path: str,
        held: Mail,
        failure: Failure,
        history: Sequence[values.Failure],
        terms: Terms,
        now_ms: int,
        chance: int,
        *,
        final: bool,
    ) -> Verdict:
        meters = self.meters
        assert meters is not None
        if failure.kind == "budget":
            used_up = meters.crossed(path, held.incarnation, held.id, terms)
            if used_up is None:
                return remedies.after_granting(held, failure, terms, now_ms, final=final)
            return remedies.after_budget(held, failure, used_up, now_ms)
        spent = meters.usage.spent_for(held.id).cost if terms.ladder is not None and terms.ladder.spend else 0.0
        return remedies.after_failure(held, failure, history, terms, now_ms, chance, final=final, spent=spent)

    def _move_on(self, verdict: Verdict, path: str, carry_out: Callable[[Verdict, str], None]) -> None:
        """It is asked first whether there is whom it should be moved to: mail to nobody would lie there for ever."""
        if not isinstance(verdict.op, ops.Move):
            carry_out(verdict, "")
        elif why := remedies.falls_on_itself(verdict, path):
            carry_out(verdict, why)
        else:
            receiver = verdict.op.receiver
            self._find(
                receiver, lambda why: carry_out(verdict, f"cannot fall back to {receiver}: {why}" if why else "")
            )

    def _settled(self, path: str, held: Mail, verdict: Verdict, now_ms: int, *, failed: bool) -> None:
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
            failed,
            remedies.questions(self._reader().history(held.id)) if isinstance(op, ops.Park) else 0,
        )
        self._tell(said)

    def kept_as(self, path: str, message: say.Commit, terms: Terms) -> str:
        """The name under which the state after a turn is kept so that one can go back; "" if nobody will."""
        if message.state is None or not (turns := remedies.turns_kept(terms)):
            return ""
        return remedies.checkpoint_name(self._reader().checkpoints(path), turns)


def leased(reader: Callable[[], Reader], id: int, answer: Any, known: int = 0, loops: bytes = b"") -> say.Leased:
    """As its agent gets it, with what was decided after the attempt before; and what it is shown, as it would get it.
    ``known``: the message that it has seen already. ``loops`` go with it."""
    if not isinstance(answer, Leased):
        return say.Leased(id)
    one = answer.mail
    if one.id == known and one.attempt == 1:
        return say.Leased(id, None, loops, True)
    remedy = remedies.for_attempt(reader().history(one.id)) if one.attempt > 1 else None
    mail = _mail(one, one.attempt, remedy)
    return say.Leased(id, mail, loops, False, tuple(_mail(other, 1) for other in answer.shown))


def _mail(one: Mail, attempt: int, remedy: say.Remedy | None = None) -> say.Mail:
    in_session = one.session == one.receiver
    return say.Mail(one.id, one.sender, one.body, attempt, one.accepted_ms, in_session, remedy)


def whole(failure: Failure | None, why: str) -> Failure:
    """With its text, which is said beside it."""
    return replace(failure or Failure("error"), text=why)
