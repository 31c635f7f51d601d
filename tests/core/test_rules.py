"""Every effect of the core names the rule that made it, and every rule that is named has its sentence."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core import step as step_module
from agenthost.core.replay import Decided, decided
from agenthost.core.rules import RULES
from agenthost.core.spec import Backoff, Restart, Strategy, SupervisorSpec, WorkerSpec
from agenthost.core.step import move
from agenthost.core.tree import State, Turn
from tests.core import world
from tests.core.test_machine import Core
from tests.core.world import CRASH, NORMAL, World

CORE = Path(step_module.__file__).parent


def named() -> set[str]:
    """Rules that stand in the source as words of their own."""
    found: set[str] = set()
    for file in CORE.glob("*.py"):
        if file.name == "rules.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in RULES:
                found.add(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "because":
                words = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                assert all(word in RULES for word in words if isinstance(word, str)), f"{file.name}:{node.lineno}"
    return found


def test_a_rule_that_is_named_has_a_sentence_and_a_sentence_is_of_a_rule_that_decides() -> None:
    assert named() == set(RULES)


def test_a_move_begins_by_a_rule_for_every_kind_of_event() -> None:
    assert set(step_module._FIRST) == set(get_args(on.Event))
    assert set(step_module._FIRST.values()) <= set(RULES)


def told(monkey: Any) -> Any:
    def step(state: State, event: on.Event, now: float) -> list[do.Effect]:
        turn: Turn = move(state, event, now)
        found = decided(turn)
        assert [effect for one in found for effect in one.effects] == turn.effects
        assert all(one.rule in RULES for one in found)
        monkey.append((event, found))
        return turn.effects

    return step


def rules_of(moves: list[Any], effect: type[do.Effect], name: str = "") -> list[str]:
    """By which rules effects of that kind were made, in order; of a record, of that name."""
    return [
        one.rule
        for _, found in moves
        for one in found
        for each in one.effects
        if isinstance(each, effect) and (not name or getattr(each, "name", "") == name)
    ]


def test_whatever_happens_no_effect_is_without_a_rule(monkeypatch: Any) -> None:
    moves: list[Any] = []
    monkeypatch.setattr(world, "step", told(moves))
    shape = settings(max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Core, settings=shape)
    seen = {one.rule for _, found in moves for one in found}
    assert {"S1", "R1", "H1", "H2"} <= seen


def a_tree(strategy: Strategy = Strategy.ONE_FOR_ONE, restart: Restart = Restart.PERMANENT, **more: Any) -> World:
    child = {"restart": restart, "backoff": None}
    return World(SupervisorSpec("root", (WorkerSpec("a", **child), WorkerSpec("b", **child)), strategy, **more))  # type: ignore[arg-type]


def test_each_restart_type_and_strategy_is_named_by_its_own_rule(monkeypatch: Any) -> None:
    for strategy, rule in ((Strategy.ONE_FOR_ONE, "T1"), (Strategy.ONE_FOR_ALL, "T2"), (Strategy.REST_FOR_ONE, "T3")):
        moves: list[Any] = []
        monkeypatch.setattr(world, "step", told(moves))
        one = a_tree(strategy).boot()
        moves.clear()
        one.crash("/a")
        assert rules_of(moves, do.Record, "agent.exited") == ["H1"] * (1 if rule == "T1" else 2)
        assert rules_of(moves, do.Record, "agent.restarting") == ["R1"]
        assert rule in {found.rule for _, listed in moves for found in listed}
        if rule == "T1":
            assert rules_of(moves, do.Birth) == ["T1"]
        else:
            assert rules_of(moves, do.Ask) == ["S4"]
            assert rules_of(moves, do.Birth) == ["S1", "S1"]


def test_what_is_decided_without_an_effect_is_named_as_well(monkeypatch: Any) -> None:
    moves: list[Any] = []
    monkeypatch.setattr(world, "step", told(moves))
    one = a_tree(restart=Restart.TRANSIENT).boot()
    one.crash("/a", NORMAL)
    assert Decided("R4", ()) in moves[-1][1]
    one.crash("/b", CRASH)
    assert rules_of(moves, do.Record, "agent.restarting") == ["R2"]


def test_back_off_giving_up_and_commands_have_their_rules(monkeypatch: Any) -> None:
    moves: list[Any] = []
    monkeypatch.setattr(world, "step", told(moves))
    slow = WorkerSpec("a", backoff=Backoff(initial_s=1.0))
    one = World(SupervisorSpec("root", (slow,), intensity=2)).boot()
    one.crash("/a")
    one.crash("/a")
    assert "D1" in rules_of(moves, do.SetTimer)
    one.pass_time(5)
    assert rules_of(moves, do.Birth) == ["S1", "T1", "D1"]
    one.command("restart", "/a")
    assert rules_of(moves, do.Ask) == ["R7"]
    assert rules_of(moves, do.Record, "command.restart") == ["H6"]
    one.crash("/a")
    assert rules_of(moves, do.Record, "supervisor.gave_up") == ["I1"]
    assert rules_of(moves, do.Ended)[-1] in ("S4", "D3")
