"""What becomes of a message whose turn has failed: again after a pause, or set aside. Pure.

Only attempts that failed by themselves count: a turn that was cut off because its host ended, or that an operator
stopped, costs a message nothing. ``Requeue`` of a dead letter begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from agenthost.journal import ops
from agenthost.journal.values import Failure
from agenthost.journal.words import Terms


def failures(history: Sequence[Failure]) -> int:
    """Attempts that have failed since it was last requeued."""
    count = 0
    for one in history:
        if one.what == "requeued":
            count = 0
        elif one.what == "backed_off":
            count += 1
    return count


def after_failure(
    message: int, attempt: int, why: str, history: Sequence[Failure], terms: Terms, now_ms: int, *, final: bool
) -> ops.BackOff | ops.DeadLetter:
    """``final``: it need not be tried again, whatever its terms."""
    before = failures(history)
    if final or before + 1 >= terms.attempts:
        return ops.DeadLetter(message, attempt, why)
    pause_ms = min(terms.initial_ms << min(before, 40), terms.max_ms)
    return ops.BackOff(message, attempt, now_ms + pause_ms, why)
