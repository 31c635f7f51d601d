"""Whatever the store does at whichever commit: nothing acknowledged is lost, doubled, out of order, or early."""

from __future__ import annotations

import random

import pytest

from tests.journal.storm import KINDS, Kind, sail

MESSAGES = 12


@pytest.mark.parametrize("kind", KINDS)
def test_one_failure_at_each_commit_of_a_voyage(kind: Kind) -> None:
    calm = sail(1, lambda number: None, MESSAGES)
    assert calm.faults(MESSAGES) == [] and calm.store.commits > 30, calm.store.commits
    for at in range(1, calm.store.commits + 1):
        world = sail(1, lambda number: kind if number == at else None, MESSAGES)  # noqa: B023 - called in here
        assert world.faults(MESSAGES) == [], f"{kind} at commit {at}"
        assert world.store.struck == [kind]


def test_a_commit_that_was_answered_and_not_made_is_seen() -> None:
    commits = sail(1, lambda number: None, MESSAGES).store.commits
    worlds = [sail(1, lambda number: "a lie" if number == at else None, MESSAGES) for at in range(2, commits)]  # noqa: B023
    seen = [world for world in worlds if world.faults(MESSAGES)]
    # Much repairs itself: agents know their state, and say again what they can; and each end of an agent, which its
    # successor makes good, has commits of its own.
    assert len(seen) > len(worlds) / 5


def storm(seed: int) -> None:
    chance = random.Random(seed)
    rate = chance.choice((0.02, 0.1, 0.3))
    world = sail(seed, lambda number: chance.choice(KINDS) if chance.random() < rate else None, 20)
    assert world.faults(20) == [], f"seed {seed}, struck by {world.store.struck}"


@pytest.mark.parametrize("seed", range(10))
def test_a_storm(seed: int) -> None:
    storm(seed)


@pytest.mark.slow
def test_many_storms() -> None:
    first = random.randrange(1 << 32)
    print(f"seeds from {first}")
    for seed in range(first, first + 500):
        storm(seed)
