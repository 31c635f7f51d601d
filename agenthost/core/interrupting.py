"""Interrupting a turn: the work in hand is given up, the process goes on; only who does not come back is ended.

Leaves to the host how an agent is reached, and what a turn is. The rules: the agent has ``WorkerSpec.interrupt_s`` from
the moment it was told; an interruption that is under way is joined, not begun again; every operator that asked is
answered exactly once, also if the process ends meanwhile. Its clock stands still while the agent is frozen.
"""

from __future__ import annotations

from agenthost.core import effects as do
from agenthost.core.events import Overrun, TurnEnded
from agenthost.core.freezing import frozen_above, timer
from agenthost.core.life import Life
from agenthost.core.reason import Reason
from agenthost.core.tree import Inquiry, Interruption, Turn, Worker

TIMER = "interrupt"
MOST_TOLD = 20
"""So many agents are named in one answer; the rest is counted."""


def can_be(worker: Worker) -> bool:
    """It runs, and can hear that it is interrupted."""
    return worker.life is Life.READY and not stands_still(worker)


def stands_still(worker: Worker) -> bool:
    return worker.frozen_at is not None or frozen_above(worker) is not None


def begin(turn: Turn, worker: Worker, why: str, late: Reason, *, n: int = 0, alone: bool = True) -> list[Worker]:
    """Tell it. Returns the tools of its turn, which are to be killed now. ``why`` is what its turn's caller will read,
    ``late`` what the incarnation is ended with if it does not come back. ``alone``: nobody else was meant."""
    tools = [one for one in worker.below if isinstance(one, Worker) and one.spec.of_turn and one.alive]
    worker.interruption = Interruption(why, late)
    worker.deadlines[TIMER] = turn.now + worker.spec.interrupt_s
    paths = tuple(one.path for one in tools)
    turn.effects.append(do.Interrupt(worker.path, worker.n, why, turn=n, tools=paths, alone=alone, kind=late.kind))
    turn.effects.append(do.SetTimer(timer(TIMER, worker), worker.deadlines[TIMER]))
    return tools


def begin_by(turn: Turn, worker: Worker, by: str, inquiry: Inquiry) -> list[Worker]:
    """As ``begin``, for an operator, who joins an interruption that is under way."""
    inquiry.left += 1
    tools: list[Worker] = []
    if worker.interruption is None:
        text = f"interrupted by {by}, it did not come back within {worker.spec.interrupt_s:g} s"
        late = Reason("interrupted", text=text)
        tools = begin(turn, worker, f"its turn was interrupted by {by}", late, alone=not inquiry.of_many)
    assert worker.interruption is not None
    worker.interruption.inquiries.append(inquiry)
    return tools


def begin_overrun(turn: Turn, worker: Worker, event: Overrun) -> list[Worker]:
    """The turn is beyond a bound."""
    if worker.interruption is not None or not can_be(worker):
        return []
    _record(turn, worker, "turn.overran", text=event.text, kind=event.kind)
    late = Reason(event.kind, text=f"{event.text}, and it did not come back within {worker.spec.interrupt_s:g} s")
    return begin(turn, worker, event.text, late, n=event.turn)


def turn_ended(turn: Turn, worker: Worker, event: TurnEnded) -> None:
    """The agent has come back, or there was no turn to interrupt."""
    interruption = worker.interruption
    if interruption is None:
        return
    if event.in_turn:
        _record(turn, worker, "agent.interrupted", why=interruption.why, text=event.text)
    _over(turn, worker, event.text if event.in_turn else "")


def left(turn: Turn, worker: Worker) -> None:
    """The main process is gone: nobody needs to be given up on any more."""
    if worker.interruption is not None and worker.deadlines.pop(TIMER, None) is not None:
        turn.effects.append(do.CancelTimer(timer(TIMER, worker)))


def ended(turn: Turn, worker: Worker, reason: Reason) -> None:
    """Nothing of the incarnation is left."""
    if worker.interruption is not None:
        _over(turn, worker, f"its process was ended, {reason.words()}" if reason.kind in _OURS else _ended(reason))


_OURS = frozenset({"interrupted", "turn_timeout", "no_progress", "budget"})


def _ended(reason: Reason) -> str:
    return f"its process has ended meanwhile: {reason.words()}"


def _over(turn: Turn, worker: Worker, text: str) -> None:
    """``text`` is empty if no turn was in hand."""
    interruption, worker.interruption = worker.interruption, None
    assert interruption is not None
    if worker.deadlines.pop(TIMER, None) is not None:
        turn.effects.append(do.CancelTimer(timer(TIMER, worker)))
    for inquiry in interruption.inquiries:
        inquiry.left -= 1
        if text:
            inquiry.hits += 1
            if inquiry.hits <= MOST_TOLD:
                inquiry.told.append(f"{worker.path}: {text}" if inquiry.of_many else text)
        answer(turn, inquiry)


def answer(turn: Turn, inquiry: Inquiry) -> None:
    """If everybody who was interrupted for it has come back."""
    if inquiry.left:
        return
    if not inquiry.hits:
        where = f"at or below {inquiry.path}" if inquiry.of_many else f"at {inquiry.path}"
        turn.effects.append(do.Answer(inquiry.op, "not_running", f"no turn is in hand {where}"))
        return
    more = [f"and {inquiry.hits - MOST_TOLD} more"] if inquiry.hits > MOST_TOLD else []
    turn.effects.append(do.Answer(inquiry.op, None, "; ".join([*inquiry.told, *more])))


def _record(turn: Turn, worker: Worker, name: str, **fields: object) -> None:
    turn.effects.append(do.Record(name, worker.path, {"incarnation": worker.n, **fields}))
