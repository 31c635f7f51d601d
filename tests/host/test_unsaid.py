"""What the journal has not been told yet: while it is away it does not grow with turns, incarnations or names."""

from __future__ import annotations

import pytest

from agenthost.core.budget.amounts import Amounts
from agenthost.host import unsaid as host_unsaid
from agenthost.host.unsaid import Unsaid
from agenthost.journal.words import IN_HAND, Used

CPU = Amounts(cpu_s=1.0)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_unsaid, "FOLDED_FROM", 3)
    monkeypatch.setattr(host_unsaid, "MOST", 10)


def test_turns_and_incarnations_that_are_over_are_summed_up_and_the_turn_in_hand_is_kept() -> None:
    unsaid = Unsaid({2: 7}.get, {"/a"})
    for n, turns in ((1, 50), (2, 7)):
        for turn in range(turns + 1):
            unsaid.add("/a", CPU, n, turn)
            unsaid.fold()
    unsaid.add("/a", Amounts(processes=1), 2, IN_HAND)
    unsaid.announce("/a", 1)
    unsaid.fold()
    found = {(one.n, one.turn): one.amounts for one in unsaid.take()}
    assert found == {
        (0, 0): Amounts(cpu_s=51.0),
        (2, 0): Amounts(cpu_s=7.0),
        (2, 7): CPU,
        (2, IN_HAND): Amounts(processes=1),
    }
    assert not unsaid


def test_what_is_gone_counts_above_it_and_nothing_is_lost_there() -> None:
    unsaid = Unsaid({1: 0}.get, {"/a", "/b"})
    for n in range(2, 102):
        unsaid.add(f"/a/w{n}", CPU, n, 0)
        unsaid.add(f"/a/x{n}", CPU, n, 0, alone=True)
    unsaid.add("/a", CPU, 1, 0)
    unsaid.add("/b", CPU, 500, 0)
    unsaid.fold()
    assert sorted(unsaid.take(), key=lambda one: (one.path, one.n)) == [
        Used("/a", 0, 0, Amounts(cpu_s=100.0)),
        Used("/a", 1, 0, CPU),
        Used("/b", 0, 0, CPU),
    ]
