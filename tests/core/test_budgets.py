"""Budgets, decided without a clock or a file: what is used, what holds for whom, when a bound is reached."""

from __future__ import annotations

import pytest

from agenthost.core.birth import AgentBirth
from agenthost.core.budget.amounts import FIELDS, Amounts
from agenthost.core.budget.budget import Budget
from agenthost.core.budget.crossing import Crossing, crossing
from agenthost.core.budget.meters import METERS, shown
from agenthost.core.budget.prices import Price, Prices
from agenthost.core.budget.scope import Scope, Scopes, above, scopes_of_tree
from agenthost.core.spec import SupervisorSpec, WorkerSpec


def agent(name: str, budget: Budget | None = None) -> WorkerSpec:
    return WorkerSpec(name, birth=AgentBirth("crew:A", budget=budget))


def test_every_meter_is_a_field_or_a_sum_of_fields() -> None:
    one = Amounts(*range(1, len(FIELDS) + 1))
    assert one.of("tokens") == one.tokens_in + one.tokens_out
    assert [one.of(meter) for meter in METERS if meter != "tokens"] == [3, 1, 2, 4, 5, 6, 7, 8, 9]
    assert one + Amounts() == one and not Amounts() and one


@pytest.mark.parametrize(
    ("meter", "value", "words"),
    [
        ("cost", 5.0, "5"),
        ("cost", 5.017, "5.02"),
        ("cost", 0.0031, "0.0031"),
        ("tokens", 9999, "9999"),
        ("tokens", 1_250_000, "1.25M"),
        ("tool_calls", 12, "12"),
        ("cpu", 0.0561, "56 ms"),
        ("cpu", 61.34, "61.3 s"),
        ("wall", 3600.4, "3600 s"),
        ("wall", 0.0, "0 s"),
    ],
)
def test_values_are_shown_as_people_read_them(meter: str, value: float, words: str) -> None:
    assert shown(meter, value) == words


def test_the_exact_name_of_a_model_comes_before_globs_and_those_in_order() -> None:
    prices = Prices((Price("big-*", 2.0, 8.0), Price("*", 1.0, 1.0), Price("big-2", 3.0, 9.0)), "EUR")
    assert prices.cost("big-2", 1_000_000, 2_000_000) == 3.0 + 18.0
    assert prices.cost("big-1", 500_000, 0) == 1.0
    assert prices.cost("", 1_000_000, 0) == 1.0
    assert Prices((Price("big-*", 2.0, 8.0),)).cost("small", 1, 1) is None


def test_a_path_counts_for_all_above_it() -> None:
    assert list(above("/a/b")) == ["/a/b", "/a", "/"]
    assert list(above("/")) == ["/"]


def test_what_holds_for_an_agent_is_its_own_and_that_of_all_above_it() -> None:
    mine = Budget(turn={"cost": 1.0}, session={"cost": 5.0}, agent={"turns": 9.0})
    members = Budget(session={"cost": 2.0}, agent={"cost": 50.0})
    inner = SupervisorSpec("team", (agent("one", mine), agent("two")), budget=Budget(tree={"cpu": 60.0}))
    pool = SupervisorSpec("chats", template=agent("chats", members))
    scopes = Scopes(scopes_of_tree(SupervisorSpec("/", (inner, pool), budget=Budget(tree={"cost": 100.0}))))

    def holding(path: str) -> list[tuple[str, str, list[str]]]:
        return [(place, scope.kind, list(scope.bounds)) for place, scope in scopes.holding(path)]

    top = ("/", "tree", ["cost"])
    assert holding("/team/one") == [
        ("/team/one", "agent", ["turns"]),
        ("/team/one", "session", ["cost"]),
        ("/team/one", "turn", ["cost"]),
        ("/team", "tree", ["cpu"]),
        top,
    ]
    assert holding("/team/two") == [("/team", "tree", ["cpu"]), top]
    assert holding("/team/one/helper")[:2] == [("/team/one", "agent", ["turns"]), ("/team/one", "session", ["cost"])]
    assert holding("/chats/ana") == [("/chats/ana", "session", ["cost"]), ("/chats", "agent", ["cost"]), top]
    assert [scope.bounds for scope in scopes.at("/chats/bob")] == [{"cost": 2.0}]
    assert scopes.is_metered("/anything") and not Scopes().is_metered("/anything")


def reached(bounds: dict[str, float], used: Amounts, at_limit: str = "stop", **granted: float) -> Crossing | None:
    return crossing("/a", Scope("/a", "session", bounds, at_limit, {"model": "small"}), used, granted)  # type: ignore[arg-type]


def test_what_cannot_be_seen_before_is_used_up_at_the_bound_and_what_is_counted_beyond_it() -> None:
    assert reached({"cost": 5.0}, Amounts(cost=4.99)) is None
    found = reached({"cost": 5.0}, Amounts(cost=5.0))
    assert found is not None and found.stops and (found.meter, found.used, found.of) == ("cost", 5.0, 5.0)
    assert reached({"tool_calls": 3.0}, Amounts(tool_calls=3)) is None
    assert reached({"tool_calls": 3.0}, Amounts(tool_calls=4)) is not None
    assert reached({"turns": 3.0}, Amounts(turns=3)) is not None, "no fourth one begins"
    assert reached({"tokens": 10.0}, Amounts(4, 6)) is not None


def test_what_was_granted_moves_the_bound() -> None:
    assert reached({"cost": 5.0}, Amounts(cost=6.0), cost=2.0) is None
    found = reached({"cost": 5.0}, Amounts(cost=7.0), cost=2.0)
    assert found is not None and found.of == 7.0


def test_a_fall_back_stops_at_twice_the_bound() -> None:
    first = reached({"cost": 5.0}, Amounts(cost=5.0), "fall_back")
    assert first is not None and not first.stops and first.args == {"model": "small"}
    second = reached({"cost": 5.0}, Amounts(cost=10.0), "fall_back")
    assert second is not None and second.stops
    assert second.words("EUR") == "the budget of /a is used up twice over: cost 10 of 5 EUR"


def test_of_several_bounds_the_one_that_stops_is_told() -> None:
    found = reached({"tokens": 10.0, "cost": 5.0}, Amounts(tokens_in=10, cost=10.0), "fall_back")
    assert found is not None and found.stops and found.meter == "cost"


def test_as_much_again_is_always_enough_to_go_on() -> None:
    for used in (5.0, 9.0, 10.0, 23.5):
        found = reached({"cost": 5.0}, Amounts(cost=used), "ask")
        assert found is not None and found.state == "asks"
        again = found.as_much_again
        assert again % 5.0 == 0 and reached({"cost": 5.0}, Amounts(cost=used), "ask", cost=again) is None


def test_a_crossing_says_whose_budget_it_is() -> None:
    words = [Crossing("/a", kind, "tool_calls", 4, 3, 3, "stopped").words() for kind in ("turn", "message", "tree")]
    assert words == [
        "the budget of a turn of /a is used up: tool calls 4 of 3",
        "the budget of a message for /a is used up: tool calls 4 of 3",
        "the budget of /a is used up: tool calls 4 of 3",
    ]
