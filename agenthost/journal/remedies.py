"""What becomes of a message whose turn has failed, as an operation of a store. ``core.remedy`` decides; pure.

Only attempts that failed by themselves count: a turn that was cut off because its host ended, or that an operator
stopped, costs a message nothing. ``Requeue`` of a dead letter begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from agenthost.core.budget.crossing import Crossing
from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.fingerprint import fingerprint
from agenthost.core.remedy.ladder import (
    Past,
    Remedy,
    decide,
    decide_again,
    last_fingerprint,
    since_requeued,
    usual,
)
from agenthost.core.remedy.rungs import Ladder, Step
from agenthost.journal import ops, values
from agenthost.journal.limits import CHECKPOINTS
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say

_AFTER_TURN = ".turn."
PASSED_OVER = "passed over: "
ESCALATED_MS = 1000
"""So long a message is held back whose agent is to be ended because of it: the next incarnation gets it."""

Settling = ops.BackOff | ops.Park | ops.DeadLetter | ops.Move

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Verdict(msgspec.Struct, frozen=True):
    """``op`` carries out ``remedy``; ``fingerprint`` is that of the failure it is for. ``passed_over``: those before it
    that could not be carried out, in words."""

    op: Settling
    remedy: Remedy
    fingerprint: str
    passed_over: str = ""

    @property
    def escalates(self) -> bool:
        rung = self.remedy.rung
        return isinstance(rung, on.Escalate) or (isinstance(rung, on.Dead_letter) and rung.escalates)


def after_failure(
    held: values.Mail,
    failure: Failure,
    history: Sequence[values.Failure],
    terms: Terms,
    now_ms: int,
    chance: int,
    *,
    final: bool = False,
    spent: float = 0.0,
) -> Verdict:
    """``final``: it need not be tried again, whatever its terms. ``spent``: what it has cost so far."""
    remedy = decide(ladder_of(terms), past_of(history), failure, held.attempt, chance, final=final, spent=spent)
    return _verdict(held, remedy, fingerprint(failure), failure.text, now_ms)


def after_budget(held: values.Mail, failure: Failure, used_up: Crossing, now_ms: int) -> Verdict:
    """Its turn was interrupted because a budget was used up. A ladder cannot help: it waits for a person, or is set
    aside."""
    why = "what a budget has stopped is not tried again before somebody grants more"
    question = f"{failure.text}; go on with as much again?"
    rung: on.Rung = on.Ask(question) if used_up.state == "asks" else on.Dead_letter()
    label = "ask" if used_up.state == "asks" else "dead_letter"
    found = _verdict(held, Remedy(Step(f"budget: {label}", rung), why), fingerprint(failure), failure.text, now_ms)
    if used_up.state != "asks":
        return found
    message = held.id if used_up.kind == "turn" else 0
    grant = {"path": used_up.path, "meter": used_up.meter, "amount": used_up.as_much_again, "message": message}
    kept = _pack({**_unpack(found.op.mark.remedy), "grant": grant})
    return replace(found, op=replace(found.op, mark=replace(found.op.mark, remedy=kept)))


def after_granting(held: values.Mail, failure: Failure, terms: Terms, now_ms: int, *, final: bool = False) -> Verdict:
    """Its turn was interrupted because of a budget that is not used up any more. It is tried again, as often as others
    are; of the ladder nothing is taken, for nothing is wrong with the work."""
    last = final or held.attempt >= ladder_of(terms).attempts
    step = Step("budget: dead_letter", on.Dead_letter()) if last else Step("budget: retry", on.Retry())
    why = f"attempt {held.attempt} was the last" if last else "the budget is not used up any more"
    return _verdict(held, Remedy(step, why), fingerprint(failure), failure.text, now_ms)


def instead(
    held: values.Mail, why: str, history: Sequence[values.Failure], terms: Terms, now_ms: int, chance: int
) -> Verdict:
    """The remedy of this attempt could not be applied, or nobody has answered: the next one for the same failure, whose
    reason stays."""
    lapsed, reason = held.status == "parked", _last_reason(history)
    if lapsed:
        reason = reason if reason.endswith(why) else f"{reason}; {why}" if reason else why
    found = _instead(held, why if lapsed else f"{PASSED_OVER}{why}", reason, history, terms, now_ms, chance)
    return _passed(found, "" if lapsed else why)


def _instead(
    held: values.Mail,
    why: str,
    reason: str,
    history: Sequence[values.Failure],
    terms: Terms,
    now_ms: int,
    chance: int,
) -> Verdict:
    past = past_of(history)
    remedy = decide_again(ladder_of(terms), past, why, held.attempt, chance)
    return _verdict(held, remedy, last_fingerprint(since_requeued(past)), reason, now_ms)


def _passed(found: Verdict, over: str) -> Verdict:
    """No turn was run that ended in ``found``."""
    kept = _pack({**_unpack(found.op.mark.remedy), "passed_over": True})
    return replace(found, op=replace(found.op, mark=replace(found.op.mark, remedy=kept)), passed_over=over)


def _last_reason(history: Sequence[values.Failure]) -> str:
    """Why the last turn that was run has failed."""
    return next((line.reason for line in reversed(history) if line.rung), "")


def falls_on_itself(verdict: Verdict, path: str) -> str:
    """Why it cannot be carried out, if it would move a message from ``path`` to ``path``; else ""."""
    if not isinstance(verdict.op, ops.Move) or verdict.op.receiver != path:
        return ""
    return f"cannot fall back to {path}: it is itself what has failed"


def instead_of(
    verdict: Verdict,
    why: str,
    held: values.Mail,
    history: Sequence[values.Failure],
    terms: Terms,
    now_ms: int,
    chance: int,
) -> Verdict:
    """``verdict`` cannot be carried out, says ``why``: the next one for its failure, which nobody has noted yet."""
    kept, reason = verdict.op.mark, verdict.op.reason
    line = values.Failure(held.id, held.attempt, now_ms, "moved", reason, kept.fingerprint, kept.rung, kept.remedy)
    over = f"{verdict.passed_over}, {why}" if verdict.passed_over else why
    found = _instead(held, f"{PASSED_OVER}{over}", reason, [*history, line], terms, now_ms, chance)
    return _passed(found, over) if _is_passed_over(line) else replace(found, passed_over=over)


def ladder_of(terms: Terms) -> Ladder:
    return terms.ladder or usual(terms.attempts, terms.initial_ms / 1000, terms.max_ms / 1000)


def for_attempt(history: Sequence[values.Failure]) -> say.Remedy | None:
    """What was decided after the last failure, for the attempt that begins now."""
    answer, by = "", ""
    for line in reversed(history):
        if line.what == "requeued":
            break
        kept = _unpack(line.remedy) if line.remedy else {}
        if line.what == "answered":
            answer, by = str(kept.get("answer", "")), str(kept.get("by", ""))
        elif line.rung:
            parameters = _pack(kept.get("parameters", {}))
            return say.Remedy(line.rung, str(kept.get("word", "")), parameters, answer, by)
    return None


def answer_of(
    parked: values.Mail, *, yes: bool, text: str, by: str, history: Sequence[values.Failure] = ()
) -> ops.Resume | ops.DeadLetter:
    """What a person has said to a message that waits for one. Where a budget has asked, yes grants as much again."""
    words = f"{'yes' if yes else 'no'}, says {by}" + (f": {text}" if text else "")
    if not yes:
        return ops.DeadLetter(parked.id, parked.attempt, words)
    grant = _asked(history).get("grant")
    more = None if grant is None else ops.Grant(by=by, **grant)
    return ops.Resume(parked.id, words, ops.Mark(remedy=_pack({"answer": text or "yes", "by": by})), more)


def _asked(history: Sequence[values.Failure]) -> dict[str, Any]:
    """What was kept with the question."""
    line = next((one for one in reversed(history) if one.what == "parked"), None)
    return _unpack(line.remedy) if line is not None and line.remedy else {}


def turns_kept(terms: Terms) -> int:
    """How many turns back its ladder may want to go."""
    rungs = terms.ladder.rungs if terms.ladder is not None else ()
    return max((rung.turns for rung in rungs if isinstance(rung, on.Roll_back)), default=0)


def checkpoint_name(kept: Sequence[values.State], turns: int) -> str:
    """Of the state after a turn, so that ``turns`` of them and the present one are there, newest first. The author's
    own count too. "" where there is no room for another."""
    ours = [one.name for one in kept if one.name.startswith(_AFTER_TURN)]
    if len(ours) > turns:
        return ours[-1]
    if len(kept) >= CHECKPOINTS:
        return ours[-1] if ours else ""
    return next(name for n in range(CHECKPOINTS) if (name := f"{_AFTER_TURN}{n}") not in ours)


def questions(history: Sequence[values.Failure]) -> int:
    """How many a message has asked; the last is open while it is parked."""
    return sum(line.what == "parked" for line in history)


def lapsed_words(parked: values.Mail, history: Sequence[values.Failure], nth: int) -> tuple[str, str] | None:
    """Why the ``nth`` question cannot be answered any more, and what to do; None if it is the open one, or nth is 0."""
    if nth in (0, now := questions(history)):
        return None
    name, open_ = f"{parked.id}.{nth}", f"{parked.id}.{now}" if now > 1 else str(parked.id)
    if nth > now:
        return f"cannot answer {name}: there is no such question", f"it asks {open_}; see agenthost asked"
    question = question_of(parked, history)["question"]
    name = name.removesuffix(".1")
    return f"cannot answer {name}: that question is over; now it asks {question!r}", f"if that is meant, answer {open_}"


def question_of(parked: values.Mail, history: Sequence[values.Failure]) -> dict[str, Any]:
    """What is asked, and why."""
    line = next((one for one in reversed(history) if one.what == "parked"), None)
    kept = _unpack(line.remedy) if line is not None and line.remedy else {}
    return {
        "nth": questions(history),
        "message": parked.id,
        "receiver": parked.receiver,
        "sender": parked.sender,
        "attempt": parked.attempt,
        "question": str(kept.get("parameters", {}).get("question", "")),
        "reason": "" if line is None else line.reason,
        "since": 0 if line is None else line.at_ms / 1000,
        "until": parked.due_ms / 1000,
        "budget": _budget_of(kept.get("grant")),
    }


def _budget_of(grant: dict[str, Any] | None) -> str:
    """ "cost of /team": all who wait because of that one ask the same. "" for what nobody else asks."""
    return "" if grant is None or grant.get("message") else f"{grant['meter']} of {grant['path']}"


def past_of(history: Sequence[values.Failure]) -> list[Past]:
    return [Past(line.attempt, line.fingerprint, line.rung, line.what, _is_passed_over(line)) for line in history]


def _is_passed_over(line: values.Failure) -> bool:
    return bool(line.remedy) and bool(_unpack(line.remedy).get("passed_over"))


def _verdict(held: values.Mail, remedy: Remedy, mark: str, reason: str, now_ms: int) -> Verdict:
    rung, parameters = remedy.rung, dict(remedy.parameters)
    match rung:
        case on.Roll_back(turns=turns):
            parameters["turns"] = turns
        case on.Ask(question=question):
            parameters["question"] = question
    kept = ops.Mark(mark, remedy.label, _pack({"word": on.word(rung), "parameters": parameters, "why": remedy.why}))
    number, attempt = held.id, held.attempt
    op: Settling
    match rung:
        case on.Dead_letter():
            op = ops.DeadLetter(number, attempt, reason, kept)
        case on.Ask(deadline_s=deadline_s):
            op = ops.Park(number, attempt, reason, now_ms + round(deadline_s * 1000) if deadline_s else 0, kept)
        case on.Fall_back(agent=path) if path:
            op = ops.Move(number, attempt, path, reason, kept)
        case on.Escalate():
            op = ops.BackOff(number, attempt, now_ms + ESCALATED_MS, reason, kept)
        case _:
            op = ops.BackOff(number, attempt, now_ms + round(remedy.pause_s * 1000), reason, kept)
    return Verdict(op, remedy, mark)
