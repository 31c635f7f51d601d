"""Asking again while whoever was asked is being restarted.

Until mail is durable, a call to an agent that dies ends with ``Down``, and who asked asks again. This is the one place
where that is done: durable mail replaces it, because then the message is redelivered to the next incarnation.
The rule it keeps: only what says "not now" is asked again (the callee ended, is not up yet, is full). What the callee
answered, a failure too, is an answer. An agent that is stopping asks nobody again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from agenthost import Context
from agenthost.errors import Busy, Down, NotRunning, StartFailed, TimedOut

T = TypeVar("T")

NOT_NOW: tuple[type[Exception], ...] = (Down, NotRunning, StartFailed, Busy)
FIRST_WAIT_S, WAIT_MAX_S = 0.05, 1.0


def waits() -> Iterator[float]:
    """Seconds before the next try: 0.05, 0.1, 0.2, ... up to one second."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s
        wait_s = min(wait_s * 2, WAIT_MAX_S)


def ask_again(
    ask: Callable[[float], T],
    *,
    deadline: float,
    not_now: tuple[type[Exception], ...] = NOT_NOW,
    on_again: Callable[[Exception], None] | None = None,
) -> T:
    """``ask(left_s)`` until it returns, until ``deadline`` (``time.monotonic``), then the last refusal is raised."""
    for wait_s in waits():
        try:
            return ask(max(deadline - time.monotonic(), 0.001))
        except not_now as refusal:
            if getattr(refusal, "permanent", False):
                raise
            left_s = deadline - time.monotonic()
            if left_s <= wait_s:
                raise TimedOut(f"cannot get an answer in time: the last try said: {refusal}") from refusal
            if on_again is not None:
                on_again(refusal)
            time.sleep(wait_s)
    raise AssertionError("waits() has no end")


def call_again(ctx: Context, path: str, body: Any, *, deadline: float) -> Any:
    """``ctx.call`` until there is an answer."""
    return gather_again(ctx, [(path, body)], deadline=deadline)[0]


def gather_again(ctx: Context, wishes: Iterable[tuple[str, Any]], *, deadline: float) -> list[Any]:
    """``ctx.gather``; of several, only those are asked again that gave no answer. Each repetition is logged."""
    wanted = list(wishes)
    answers: dict[int, Any] = {}

    def ask(left_s: float) -> None:
        missing = [number for number in range(len(wanted)) if number not in answers]
        outcomes = ctx.gather([wanted[number] for number in missing], timeout=left_s, return_errors=True)
        refusals = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        for number, outcome in zip(missing, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                answers[number] = outcome
        final = [refusal for refusal in refusals if not isinstance(refusal, NOT_NOW)]
        if refusals:
            raise (final or refusals)[0]

    def note(refusal: Exception) -> None:
        missing = [path for number, (path, _) in enumerate(wanted) if number not in answers]
        if ctx.stopping:  # perhaps the callee too, and for good: whoever asked us asks our next incarnation
            raise NotRunning(f"cannot ask {', '.join(missing)} again: {ctx.path} is stopping") from refusal
        ctx.log("asking again", paths=missing, why=str(refusal))

    ask_again(ask, deadline=deadline, on_again=note)
    return [answers[number] for number in range(len(wanted))]
