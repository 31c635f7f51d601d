"""A model that wants the same tool call for ever: the turn is stopped, the ladder climbed, the tool not called on."""

from __future__ import annotations

from typing import Any

import pytest

from agenthost.testing import AgentHarness, Killed
from tests.scripted.endpoint import running
from tests.scripted.tool_user import ToolUser

MOST = 4


class Till:
    def __init__(self) -> None:
        self.orders: list[Any] = []

    def __call__(self, body: Any) -> str:
        self.orders.append(body)
        return f"receipt {len(self.orders)}"


@pytest.mark.parametrize("helps", [0.9, None])
def test_the_same_tool_call_for_ever_is_a_failure_that_a_ladder_may_help_with(helps: float | None) -> None:
    till = Till()
    config = {"recovery": [{"vary": {"temperature": [0.5, 0.9]}}, "dead_letter"], "loops": {"same_call": MOST}}
    with running() as model:
        args = {"base_url": model.base_url}
        with AgentHarness(ToolUser, args=args, answers={"/pay": till}, config=config) as agent:
            model.always({"do": "tool", "name": "/pay", "arguments": {"order": 7}, "unless": {"temperature": helps}})
            assert agent.climb("pay, please") == ("done" if helps else "dead_letter")
            rungs = ["vary temperature=0.5", "vary temperature=0.9", *([] if helps else ["dead_letter"])]
            assert [one.rung for one in agent.remedies] == rungs
            marks = {one.fingerprint for one in agent.remedies}
            assert len(marks) == 1 and marks.pop().startswith("loop ")
            assert len(till.orders) == (MOST - 1) * len(agent.remedies), "what an attempt was given is not called again"


def test_a_tool_call_that_was_cut_off_is_not_made_by_any_later_rung() -> None:
    till = Till()
    config = {"recovery": [{"retry": 2}, {"vary": {"temperature": 0.9}}, "dead_letter"]}
    with running() as model:
        args = {"base_url": model.base_url}
        with AgentHarness(ToolUser, args=args, answers={"/pay": till}, config=config) as agent:
            model.always({"do": "tool", "name": "/pay", "arguments": {"order": 7}})
            agent.die_in("/pay")
            with pytest.raises(Killed):
                agent.send("pay, please")
            assert agent.climb_on() == "dead_letter"
            assert till.orders == [{"order": 7}]
            assert len(agent.remedies) > 3
