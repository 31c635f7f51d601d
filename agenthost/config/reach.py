"""Which rungs of a ladder can ever be taken: a message has so many attempts and no more, whatever stands above.

Only what is certain is refused. A rung that may be passed over, or that moves the message to another agent's ladder,
costs nothing here, nor does a question that lapses.
"""

from __future__ import annotations

from collections.abc import Iterable

from agenthost.config.document import Node
from agenthost.config.kinds import Reading
from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.rungs import Rung


def check_reach(rungs: Iterable[tuple[Rung, Node, str]], attempts: int, reading: Reading) -> None:
    """``rungs`` from the bottom, each with its place. That a message becomes a dead letter needs no attempt."""
    made = 1
    for rung, node, where in rungs:
        if made >= attempts and rung != on.Dead_letter():
            often = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            what = f"this rung is never reached: a message has {often}, and {made} would have to fail before it"
            reading.say(node, where, what, f"remove it, or allow more: {{steps: [...], attempts: {made + 1}}}")
        made += _cost(rung)


def _cost(rung: Rung) -> int:
    """Attempts that it takes for certain before the next rung is."""
    match rung:
        case on.Retry(times=times):
            return times
        case on.Vary(each=each):
            return max([1, *(len(values) for values in each.values())])
        case on.Fall_back(agent="") | on.Ask(deadline_s=0.0):
            return 1
    return 0
