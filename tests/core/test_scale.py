"""The core's work grows with the number of children, not with its square; cases 77 and 88 are in ``tests/otp``."""

from __future__ import annotations

import time

from tests.core.trees import supervisor, worker
from tests.core.world import World
from tests.measuring import without_collector


def _seconds_of_reload(count: int) -> float:
    """To become a tree with ``count`` children more, each of which comes up in a move of its own."""
    before = supervisor("root", worker("first"))
    after = supervisor("root", worker("first"), *(worker(f"w{number}") for number in range(count)))
    world = World(before)
    world.check = lambda: None  # type: ignore[method-assign]  # the judge is quadratic, the core must not be
    world.boot()
    started = time.process_time()
    answer = world.reload(after)
    took_s = time.process_time() - started
    assert answer is not None and answer.error is None, "all is up when it is answered"
    assert world.births("/first") == 1 and len(world.processes) == count + 1
    return took_s


def test_a_reload_that_adds_ten_times_the_children_costs_about_ten_times_the_work() -> None:
    with without_collector():
        few = min(_seconds_of_reload(1000) for _ in range(3))
        many = min(_seconds_of_reload(10_000) for _ in range(2))
    assert many / few < 40, f"1,000 new children took {few:.3f} s, 10,000 took {many:.3f} s"
