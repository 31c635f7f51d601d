"""The book of monitors: whatever comes in whatever order and however often, each watch has one end."""

from __future__ import annotations

import itertools

import pytest

from agenthost.agent.monitor import Ended, Monitors, Watch
from agenthost.errors import NotPermitted
from agenthost.protocol import control


def down(inc: str = "7.1", path: str = "/it") -> control.Down:
    return control.Down(id=1, path=path, inc=inc, reason="gone", well=False)


def begun(monitors: Monitors, path: str = "/it") -> Watch:
    watch = Watch(path, None)
    monitors.begin(watch)
    return watch


HERE = {"incarnation": "7.1", "reason": ""}


@pytest.mark.parametrize("order", set(itertools.permutations(["answer", "down", "down"])))
def test_answer_and_downs_in_any_order_are_one_end(order: tuple[str, ...]) -> None:
    monitors = Monitors(keeps_untaken=True)
    watch = begun(monitors)
    for what in order:
        if what == "answer":
            monitors.answered(watch, HERE)
        else:
            monitors.down(down())
    assert watch.ended == Ended("/it", "7.1", "gone")
    assert monitors.take() == watch.ended
    assert monitors.take() is None


def test_the_end_of_another_incarnation_is_not_that_of_the_one_that_is_monitored() -> None:
    monitors = Monitors(keeps_untaken=True)
    watch = begun(monitors)
    monitors.down(down("7.0"))
    monitors.answered(watch, HERE)
    monitors.down(down("7.2"))
    assert watch.ended is None
    monitors.down(down("7.1"))
    assert watch.ended is not None


def test_an_early_down_is_forgotten_when_no_request_for_its_path_is_open() -> None:
    monitors = Monitors(keeps_untaken=True)
    first, second = begun(monitors), begun(monitors)
    monitors.down(down("7.1"))
    monitors.answered(first, {"incarnation": "", "reason": "not running: down"})
    monitors.answered(second, HERE)
    assert first.ended == Ended("/it", "", "not running: down")
    assert second.ended == Ended("/it", "7.1", "gone")
    third = begun(monitors)
    monitors.answered(third, HERE)
    assert third.ended is None


def test_every_watch_of_one_incarnation_has_its_end() -> None:
    monitors = Monitors(keeps_untaken=False)
    watches = [begun(monitors) for _ in range(3)]
    for watch in watches:
        monitors.answered(watch, HERE)
    assert monitors.cancel(watches[0]) is False  # others still want it
    monitors.down(down())
    assert [watch.ended is not None for watch in watches] == [False, True, True]
    assert monitors.take() is None  # there is no on_down


def test_the_last_one_that_is_cancelled_is_to_be_told_to_the_host() -> None:
    monitors = Monitors(keeps_untaken=True)
    watch = begun(monitors)
    monitors.answered(watch, HERE)
    assert monitors.cancel(watch) is True
    assert monitors.cancel(watch) is False
    monitors.down(down())
    assert monitors.take() is None


def test_an_error_is_no_end() -> None:
    monitors = Monitors(keeps_untaken=True)
    watch = begun(monitors)
    error = NotPermitted("no")
    monitors.answered(watch, error)
    assert watch.is_answered and watch.error is error and watch.ended is None
