"""What the host counts of children of run time, whose names are used again. The journal is one that only listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agenthost.core import effects as do
from agenthost.core.birth import AgentBirth
from agenthost.core.budget.budget import Budget
from agenthost.core.budget.scope import Scope
from agenthost.core.intensity import Window
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.core.tree import State, Supervisor, Worker
from agenthost.host.metering import Metering
from agenthost.journal import words

COST = Budget(session={"cost": 1.0})
OWNER = WorkerSpec("a", birth=AgentBirth("m:A"))


class Listening:
    """In the place of a journal's link."""

    on_connect: Callable[[], None]
    on_tree_changed: Callable[[], None]
    on_budget: Callable[..., None]

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def say(self, word: Callable[[int], Any]) -> int:
        self.heard.append(word(len(self.heard) + 1))
        return len(self.heard)

    def is_heard(self, number: int) -> bool:
        return True

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.heard if isinstance(one, kind)]


class Home:
    """An agent ``/a`` that starts others."""

    def __init__(self) -> None:
        root = SupervisorSpec("root", (OWNER,), budget=Budget(tree={"restarts": 100.0, "cost": 5.0}))
        self.state, self.journal = State(root), Listening()
        owner = self.state.nodes["/a"]
        assert isinstance(owner, Worker)
        spec = SupervisorSpec("brood")
        owner.brood = Supervisor(path="/a", parent=None, spec=spec, window=Window(1, 1.0), owner=owner)
        self.metering = Metering(
            boot=1,
            state=self.state,
            by_n={},
            journaling=self.journal,  # type: ignore[arg-type]
            tell=lambda event: None,
            record=lambda *args, **fields: None,
        )
        self.metering.start()
        self.brood = owner.brood

    def start(self, name: str, budget: Budget | None = None) -> Worker:
        node = self.state.plant(WorkerSpec(name, birth=AgentBirth("m:W", budget=budget)), self.brood)
        assert isinstance(node, Worker)
        self.born(node)
        return node

    def born(self, node: Worker) -> None:
        self.metering.birth(do.Birth(node.path, node.n))

    def holding(self, path: str) -> list[str]:
        return [scope.path for _, scope in self.metering._scopes.holding(path)]


def at_home(test: Callable[[Home], None]) -> None:
    async def run() -> None:
        home = Home()
        try:
            test(home)
        finally:
            home.metering.close()

    asyncio.run(run())


def test_restarts_of_a_child_of_run_time_are_counted_once_each() -> None:
    def test(home: Home) -> None:
        child = home.start("w", COST)
        for restarts in (1, 2, 3):
            child.restarts = restarts
            home.born(child)
        home.state.nodes.pop("/a/w")
        other = home.start("w", COST)
        other.restarts = 1
        home.born(other)
        home.metering._look()
        (meter,) = home.journal.of(words.Meter)
        assert sum(one.amounts.restarts for one in meter.used) == 4
        assert sum(one.amounts.processes for one in meter.used) == 6

    at_home(test)


def test_a_budget_does_not_outlive_the_child_that_it_was_for() -> None:
    def test(home: Home) -> None:
        home.start("w", COST)
        home.start("other", COST)
        assert home.holding("/a/w") == ["/a/w", "/"]
        home.state.nodes.pop("/a/w")
        home.start("w")
        assert home.holding("/a/w") == ["/"] and home.holding("/a/other") == ["/a/other", "/"]
        home.state.nodes.pop("/a/other")
        home.metering._look()
        assert home.holding("/a/other") == ["/"]
        said = [(one.path, one.scopes) for one in home.journal.of(words.Brings)]
        assert said[-2:] == [("/a/w", ()), ("/a/other", ())]

    at_home(test)


def test_each_child_says_its_own_budget_and_all_are_said_to_a_new_journal() -> None:
    def test(home: Home) -> None:
        for number in range(50):
            home.start(f"w{number}", COST)
        said = home.journal.of(words.Brings)
        assert [len(one.scopes) for one in said] == [1] * 50 and not home.journal.of(words.Budgets)
        home.journal.on_connect()
        (all_,) = home.journal.of(words.Budgets)
        assert len(all_.scopes) == 51 and Scope("/a/w7", "session", {"cost": 1.0}) in all_.scopes

    at_home(test)
