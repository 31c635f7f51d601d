"""``budget``, ``prices`` and the bounds of a ladder, as they are written, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from agenthost.config.load import read_config
from agenthost.config.problem import ConfigProblems
from agenthost.config.schema import schema
from agenthost.core.birth import AgentBirth
from agenthost.core.budget.budget import Budget
from agenthost.core.budget.prices import Price, Prices
from agenthost.core.plan import plan
from agenthost.core.spec import SupervisorSpec, WorkerSpec

HEAD = "agenthost: 1\ntree:\n  children:\n"


def loaded(text: str) -> SupervisorSpec:
    return read_config(text.encode(), "/nowhere/t.yaml", environment={}).tree


def agent(budget: str, more: str = "") -> AgentBirth:
    found = loaded(f"{HEAD}    - {{name: a, agent: 'crew:A', budget: {budget}{more}}}\n").children[0]
    assert isinstance(found, WorkerSpec) and isinstance(found.birth, AgentBirth)
    return found.birth


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        loaded(text)
    return [f"{one.where}: {one.what}" + (f"; {one.hint}" if one.hint else "") for one in caught.value.problems]


def test_a_budget_of_each_kind_with_its_units() -> None:
    birth = agent(
        "{turn: {tokens: 200k, wall: 1m}, session: {cost: 0.5, tool_calls: 7}, agent: {cpu: 1h, turns: 1.5M}}"
    )
    assert birth.budget == Budget(
        turn={"tokens": 200_000.0, "wall": 60.0},
        session={"cost": 0.5, "tool_calls": 7.0},
        agent={"cpu": 3600.0, "turns": 1_500_000.0},
    )


@pytest.mark.parametrize(
    ("written", "at_limit", "args"),
    [("ask", "ask", {}), ("stop", "stop", {}), ("{fall_back: {model: small}}", "fall_back", {"model": "small"})],
)
def test_what_follows_at_the_limit(written: str, at_limit: str, args: dict[str, Any]) -> None:
    budget = agent(f"{{session: {{cost: 1}}, at_limit: {written}}}").budget
    assert budget is not None and (budget.at_limit, budget.args) == (at_limit, args)


def test_supervisors_and_pools_bound_the_sum_of_what_is_below() -> None:
    tree = loaded(
        """agenthost: 1
prices: {currency: EUR, models: {small: {in: 0.1, out: 0.4}, "big-*": {in: 2, out: 8}}}
tree:
  budget: {cost: 100, at_limit: ask}
  children:
    - {name: chats, budget: {cpu: 2h}, pool: {agent: 'crew:Chat', budget: {agent: {cost: 9}}}}
"""
    )
    assert tree.budget == Budget(tree={"cost": 100.0}, at_limit="ask")
    (pool,) = tree.children
    assert isinstance(pool, SupervisorSpec) and pool.budget == Budget(tree={"cpu": 7200.0})
    assert isinstance(pool.template, WorkerSpec) and pool.template.birth.budget == Budget(agent={"cost": 9.0})
    assert tree.prices == Prices((Price("small", 0.1, 0.4), Price("big-*", 2.0, 8.0)), "EUR")


def test_a_ladder_may_have_bounds_of_its_own() -> None:
    ladder = agent("{}", ", recovery: {steps: [retry, dead_letter], attempts: 9, spend: 0.5}").recovery
    assert ladder is not None and (len(ladder.rungs), ladder.attempts, ladder.spend) == (2, 9, 0.5)
    plain = agent("{}", ", recovery: {steps: [retry]}, mail: {attempts: 4}").recovery
    assert plain is not None and (plain.attempts, plain.spend) == (4, 0.0)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("agent: 'crew:A', budget: {turn: {turns: 5}}", "children[0].budget.turn: unknown key 'turns'"),
        ("agent: 'crew:A', budget: {session: {cost: 0}}", "budget.session.cost: cannot use 0"),
        ("agent: 'crew:A', budget: {session: {tokens: 5x}}", "budget.session.tokens: number of them"),
        ("agent: 'crew:A', budget: {session: {cpu: 5}}", "budget.session.cpu: 5 has no unit"),
        ("agent: 'crew:A', budget: {cost: 5}", "budget: unknown key 'cost'"),
        ("agent: 'crew:A', budget: {at_limit: halt}", "budget.at_limit: cannot use 'halt'"),
        ("agent: 'crew:A', budget: {at_limit: {fall_back: {}}}", "a fall-back without args changes nothing"),
        (
            f"agent: 'crew:A', budget: {{at_limit: {{fall_back: {{text: {'x' * 17_000}}}}}}}",
            "the args of a fall-back are more than 16 KiB",
        ),
        ("command: [x], budget: {session: {cost: 5}}", "children[0]: the key 'budget' is not for here"),
        ("agent: 'crew:A', recovery: {spend: 1}", "recovery: the key 'steps' is missing"),
    ],
)
def test_what_is_refused_says_where_and_why(keys: str, why: str) -> None:
    problems = refused(f"{HEAD}    - {{name: a, {keys}}}\n")
    assert any(why in one for one in problems), problems


def test_a_model_without_both_prices_is_refused() -> None:
    problems = refused(f"prices: {{models: {{small: {{in: 1}}}}}}\n{HEAD}    - {{name: a, agent: 'crew:A'}}\n")
    assert any("prices.models.small: the key 'out' is missing" in one for one in problems)


def test_another_budget_needs_no_new_process() -> None:
    before = loaded(f"{HEAD}    - {{name: a, agent: 'crew:A', budget: {{session: {{cost: 1}}}}}}\n")
    after = loaded(
        f"prices: {{models: {{}}}}\n{HEAD}    - {{name: a, agent: 'crew:A', budget: {{turn: {{cost: 1}}}}}}\n"
    )
    changes = {one.path: (one.what, one.why.split()[0]) for one in plan(before, after)}
    assert changes == {"/": ("live", "prices"), "/a": ("live", "budget")}


def test_the_schema_knows_budgets() -> None:
    known = schema()["$defs"]
    assert "tree_budget" in known and known["agent"]["properties"]["budget"] == {
        "description": "What it may use. Default: no limit.",
        "$ref": "#/$defs/budget",
    }
