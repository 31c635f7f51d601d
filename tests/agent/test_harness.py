"""An agent in a test without a host behaves as it does in one."""

from __future__ import annotations

from typing import Any

import pytest

from agenthost import Agent, Context, Message, TurnInterrupted
from agenthost.errors import Down, Refuse, UnknownName, UsageError
from agenthost.testing import AgentHarness
from tests.agent.cast import AsyncClerk, Clerk


@pytest.mark.parametrize("kind", [Clerk, AsyncClerk])
def test_a_call_runs_a_turn_and_returns_what_a_caller_would_get(kind: Any) -> None:
    with AgentHarness(kind) as clerk:
        assert clerk.call(["echo", (1, 2)]) == [1, 2]


class Tally(Agent):
    def handle(self, message: Message, ctx: Context) -> int:
        self.state["turns"] = self.state.get("turns", 0) + 1
        return int(self.state["turns"])


def test_state_lives_from_turn_to_turn() -> None:
    with AgentHarness(Tally) as tally:
        tally.send()
        tally.send()
        assert tally.call() == 3
        assert tally.state["turns"] == 3


@pytest.mark.parametrize("kind", [Clerk, AsyncClerk])
def test_calls_go_to_the_answers_of_the_test_and_are_recorded(kind: Any) -> None:
    with AgentHarness(kind, answers={"/search": lambda body: {"hits": body["q"]}}) as clerk:
        assert clerk.call(["ask", "/search", {"q": "x"}]) == {"hits": "x"}
        assert clerk.calls == [("/search", {"q": "x"})]
        with pytest.raises(UnknownName, match="/elsewhere"):
            clerk.call(["ask", "/elsewhere", None])


def test_an_answer_may_be_async() -> None:
    async def answer(body: Any) -> Any:
        return body + 1

    with AgentHarness(AsyncClerk, answers={"/inc": answer}) as clerk:
        assert clerk.call(["ask", "/inc", 1]) == 2
        assert clerk.call(["together", "/inc", 0]) is True


@pytest.mark.parametrize("kind", [Clerk, AsyncClerk])
def test_an_answer_may_fail_as_an_agent_does(kind: Any) -> None:
    def answer(body: Any) -> Any:
        raise Down("cannot get an answer from /search: it has ended", path="/search", reason="killed")

    with AgentHarness(kind, answers={"/search": answer}) as clerk:
        assert clerk.call(["ask_safely", "/search", None])["error"] == "Down"


@pytest.mark.parametrize("kind", [Clerk, AsyncClerk])
def test_sent_messages_are_recorded(kind: Any) -> None:
    with AgentHarness(kind) as clerk:
        clerk.call(["tell", "/other", {"a": 1}])
        assert clerk.sent == [("/other", {"a": 1})]


@pytest.mark.parametrize("kind", [Clerk, AsyncClerk])
def test_what_a_handler_raises_reaches_the_test(kind: Any) -> None:
    with AgentHarness(kind) as clerk:
        with pytest.raises(Refuse, match="no such item"):
            clerk.call(["refuse"])
        with pytest.raises(ValueError, match="wrong number"):
            clerk.call(["raise"])


def test_a_reply_that_could_not_be_sent_fails() -> None:
    with AgentHarness(Clerk) as clerk, pytest.raises(TypeError, match=r"body\['parts'\]\[1\] of type set"):
        clerk.call(["unsendable"])


def test_a_call_to_oneself_is_refused_here_too() -> None:
    with AgentHarness(Clerk, answers={"/test": lambda body: body}) as clerk, pytest.raises(UsageError):
        clerk.call(["ask", "/test", None])


@pytest.mark.parametrize("kind", [Clerk, AsyncClerk])
def test_start_and_stop_run_as_in_a_host(kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with AgentHarness(kind, args={"start": "ignore"}) as clerk:
        assert clerk.ignored
    with pytest.raises(ValueError, match="no licence"):
        AgentHarness(kind, args={"start": "raise"})
    with AgentHarness(kind) as clerk:
        assert not clerk.ignored
        clerk.stop()
        assert clerk.call(["wait_stop"]) == "stopped"
    assert "goodbye" in capsys.readouterr().out


def test_a_deadline_is_told_to_the_handler() -> None:
    with AgentHarness(Clerk) as clerk:
        assert 8 < clerk.call(["who"], timeout=9)["left_s"] <= 9
        assert clerk.call(["who"])["left_s"] is None


def test_a_turn_that_is_interrupted_is_tried_by_an_answer_that_raises_it() -> None:
    tidied = []

    class Careful(Agent):
        def handle(self, message: Message, ctx: Context) -> Any:
            try:
                return ctx.call("/tools/search", message.body)
            except Exception:
                return "not this"
            finally:
                tidied.append(True)

    def interrupt(body: Any) -> Any:
        raise TurnInterrupted("by the test")

    with AgentHarness(Careful, answers={"/tools/search": interrupt}) as careful:
        with pytest.raises(TurnInterrupted, match="by the test"):
            careful.call("rope")
        assert tidied == [True]
