"""Rules 77 and 88: the core's work grows with the number of children, not with its square."""

from __future__ import annotations

import time

import pytest

from tests.core.trees import supervisor, worker
from tests.core.world import World


def _seconds(count: int, strategy: str) -> float:
    world = World(supervisor("root", *(worker(f"w{number}") for number in range(count)), strategy=strategy))
    world.check = lambda: None  # type: ignore[method-assign]  # the judge is quadratic, the core must not be
    started = time.perf_counter()
    world.boot()
    world.halt()
    assert world.ended is not None
    return time.perf_counter() - started


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
def test_ten_times_the_children_cost_about_ten_times_the_work(strategy: str) -> None:
    few = min(_seconds(500, strategy) for _ in range(3))
    many = min(_seconds(5000, strategy) for _ in range(2))
    assert many / few < 40, f"500 children took {few:.3f} s, 5,000 took {many:.3f} s"
