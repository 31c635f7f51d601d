"""Asking again while whoever was asked is being restarted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from agenthost_workers.again import ask_again, call_again, waits

from agenthost import Agent, Context, Message, Refuse
from agenthost.errors import Down, HandlerFailed, NotRunning, Overloaded, StartFailed, TimedOut
from agenthost.testing import AgentHarness


def answers(*outcomes: Any) -> Callable[[float], Any]:
    """A function that gives one outcome after the other; exceptions are raised."""
    left = list(outcomes)

    def ask(left_s: float) -> Any:
        assert left_s > 0
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return ask


def in_s(seconds: float) -> float:
    return time.monotonic() + seconds


def test_who_died_is_not_up_or_is_full_is_asked_again() -> None:
    refusals: list[Exception] = []
    outcomes = [Down("died"), NotRunning("not yet"), StartFailed("bad luck"), Overloaded("full")]
    assert ask_again(answers(*outcomes, "yes"), deadline=in_s(10), on_again=refusals.append) == "yes"
    assert refusals == outcomes


@pytest.mark.parametrize("final", [Refuse("no"), HandlerFailed("crashed"), StartFailed("no module", permanent=True)])
def test_an_answer_that_is_a_no_is_final(final: Exception) -> None:
    with pytest.raises(type(final)) as raised:
        ask_again(answers(final), deadline=in_s(10))
    assert raised.value is final


def test_the_deadline_ends_it_and_the_last_refusal_is_told() -> None:
    with pytest.raises(TimedOut, match="not yet") as raised:
        ask_again(answers(*[NotRunning("not yet")] * 9), deadline=in_s(0.2))
    assert isinstance(raised.value.__cause__, NotRunning)


def test_the_waits_grow_to_a_second_and_no_further() -> None:
    growing = waits()
    first = [next(growing) for _ in range(8)]
    assert first == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


class Asking(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        return call_again(ctx, "/other", None, deadline=in_s(30))


def test_an_agent_that_is_stopping_asks_nobody_again() -> None:
    with AgentHarness(Asking) as asking:

        def is_down(body: Any) -> None:
            asking.stopping = len(asking.calls) == 2
            raise NotRunning("not yet")

        asking.answers["/other"] = is_down
        with pytest.raises(NotRunning, match="/test is stopping"):
            asking.call()
        assert len(asking.calls) == 2
