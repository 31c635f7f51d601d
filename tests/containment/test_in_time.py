"""Looks that may be stuck: whoever asks has what was seen in time, and no more threads are begun than the bound."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agenthost.containment import in_time
from tests.waiting import wait_until

LONG_S = 60.0


class Stuck:
    """``look`` of a key below 0 does not return until ``end``."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self.looks = 0

    def look(self, key: int) -> int:
        self.looks += 1
        if key < 0:
            self._end.wait(LONG_S)
        return key * 10

    def end(self) -> None:
        self._end.set()
        wait_until(lambda: not any(one.name == "look" for one in threading.enumerate()), LONG_S, "no look is stuck")


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    one = Stuck()
    yield one
    one.end()


def test_all_are_looked_at_if_nobody_is_stuck(stuck: Stuck) -> None:
    assert in_time.look(stuck.look, range(100), LONG_S, side_by_side=4) == {key: key * 10 for key in range(100)}


def test_nothing_to_look_at_is_looked_at_at_once(stuck: Stuck) -> None:
    assert in_time.look(stuck.look, [], LONG_S) == {}


def test_what_was_seen_before_one_was_stuck_is_told_and_nobody_waits_for_that_one(stuck: Stuck) -> None:
    assert in_time.look(stuck.look, [1, 2, -1, 3], 0.05) == {1: 10, 2: 20}


def test_others_are_looked_at_beside_one_that_is_stuck(stuck: Stuck) -> None:
    assert in_time.look(stuck.look, [-1, 1, 2, 3], 1.0, side_by_side=2) == {1: 10, 2: 20, 3: 30}


def test_what_is_seen_too_late_is_told_to_nobody(stuck: Stuck) -> None:
    found = in_time.look(stuck.look, [-1], 0.01)
    stuck.end()
    assert found == {}


def test_no_more_are_stuck_than_the_bound_and_looks_go_on_when_they_are_not(stuck: Stuck) -> None:
    for _ in range(in_time.MOST_STUCK + 5):
        in_time.look(stuck.look, [-1], 0)
    assert in_time.look(stuck.look, [1], LONG_S) == {}
    assert stuck.looks <= in_time.MOST_STUCK
    stuck.end()
    assert in_time.look(stuck.look, [1], LONG_S) == {1: 10}
