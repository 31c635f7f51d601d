"""What comes next for a message whose turn has failed: the ladder, climbed for each message and fingerprint.

The rules: a step is never taken twice for the same fingerprint; a failure of another fingerprint begins at the bottom;
a message has at most ``attempts`` turns and costs at most ``spend``, whatever the ladder says; where no step is left
it is a dead letter. A remedy that could not be applied (nothing to compact) is followed, without a pause, by the next
for the same failure. What was requeued by a person begins anew.

It leaves to others: carrying it out, and whether the process comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.fingerprint import fingerprint as fingerprint_of
from agenthost.core.remedy.rungs import USUAL_ATTEMPTS, Ladder, Parameters, Rung, Step, steps

WAITS_AT_MOST_S = 3600.0
"""What somebody else says of when to come again is not heeded beyond this."""
DEAD_LETTER = "dead_letter"
_END = Step(DEAD_LETTER, on.Dead_letter())


class Past(msgspec.Struct, frozen=True):
    """What was decided after an earlier attempt. ``what`` as in ``journal.values.Failure``. ``passed_over``: the remedy
    of that attempt could not be applied, and no turn was run; or nobody has answered in time."""

    attempt: int
    fingerprint: str
    rung: str
    what: str
    passed_over: bool = False


class Remedy(msgspec.Struct, frozen=True):
    """``why`` tells people: the attempt that failed, and what of the ladder is left. ``rung`` names the step in the
    history. ``attempt`` is the number of the next one."""

    step: Step
    why: str
    pause_s: float = 0.0
    parameters: Parameters = {}

    @property
    def rung(self) -> Rung:
        return self.step.rung

    @property
    def label(self) -> str:
        return self.step.label


def usual(attempts: int = USUAL_ATTEMPTS, initial_s: float = 1.0, max_s: float = 60.0) -> Ladder:
    """Without configuration: again after a pause, then set aside."""
    bottom = (on.Retry(attempts - 1, initial_s, max_s),) if attempts > 1 else ()
    return Ladder((*bottom, on.Dead_letter()), attempts)


def decide(
    ladder: Ladder,
    history: Sequence[Past],
    failure: Failure,
    attempt: int,
    chance: int = 0,
    *,
    final: bool = False,
    spent: float = 0.0,
) -> Remedy:
    """``history`` is this message's, oldest first; ``attempt`` is the one that failed. ``chance``: any whole number,
    for random parameters. ``final``: nothing that another attempt could change. ``spent``: what it has cost."""
    past = since_requeued(history)
    mark = fingerprint_of(failure)
    return _decide(ladder, past, mark, attempt, failure.retry_after_s, chance, final=final, spent=spent)


def decide_again(ladder: Ladder, history: Sequence[Past], why: str, attempt: int, chance: int = 0) -> Remedy:
    """The last remedy could not be applied in ``attempt``, or nobody has answered in time: the next one for the same
    failure, at once."""
    past = since_requeued(history)
    return _decide(ladder, past, last_fingerprint(past), attempt, 0.0, chance, instead=why)


def last_fingerprint(past: Sequence[Past]) -> str:
    """Of the failure that a remedy was decided for last."""
    return next((one.fingerprint for one in reversed(past) if one.rung), "")


def since_requeued(history: Sequence[Past]) -> list[Past]:
    past: list[Past] = []
    for one in history:
        if one.what == "requeued":
            past.clear()
        else:
            past.append(one)
    return past


FAILED = frozenset({"backed_off", "parked", "moved"})
"""Of an attempt that failed by itself; others were cut off, and cost nothing."""


def attempts(past: Iterable[Past]) -> set[int]:
    """Those that count."""
    return {one.attempt for one in past if one.what in FAILED and not one.passed_over}


def _decide(
    ladder: Ladder,
    past: Sequence[Past],
    fingerprint: str,
    attempt: int,
    retry_after_s: float,
    chance: int,
    *,
    final: bool = False,
    spent: float = 0.0,
    instead: str = "",
) -> Remedy:
    now = set[int]() if instead else {attempt}
    failed = len(attempts(past) | now)
    told = f"attempt {failed} of {ladder.attempts}"
    if instead:
        told = f"{instead}; {told}"
    if final:
        return Remedy(_END, "another attempt could not help")
    if failed >= ladder.attempts:
        return Remedy(_END, f"{told} was the last")
    if ladder.spend and spent >= ladder.spend:
        return Remedy(_END, f"{told}, and it has cost {spent:g} of at most {ladder.spend:g}")
    taken = {one.rung for one in past if one.rung and one.fingerprint == fingerprint}
    found = next((one for one in steps(ladder.rungs) if one.label not in taken), None)
    step = found or _END
    same = len(attempts(one for one in past if one.fingerprint == fingerprint) | now)
    kind = f"the same failure for the {_th(same)} time" if same > 1 and not instead else ""
    left = "" if found is not None else "no rung is left"
    why = "; ".join(part for part in (told, kind, left) if part)
    pause_s = 0.0
    match step.rung:
        case on.Retry(initial_s=initial_s, max_s=max_s):
            before = sum(1 for one in past if one.rung == "retry" or one.rung.startswith("retry "))
            pause_s = 0.0 if instead else min(initial_s * 2.0 ** min(before, 40), max_s)
        case on.Dead_letter() | on.Ask() | on.Escalate():
            return Remedy(step, why)
    pause_s = max(pause_s, min(retry_after_s, WAITS_AT_MOST_S))
    return Remedy(step, why, pause_s, on.parameters(step.rung, step.turn, chance))


def _th(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number % 100 < 14 else ends.get(number % 10, 'th')}"
