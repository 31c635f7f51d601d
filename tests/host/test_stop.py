"""Ctrl-C once, twice, three times: asks, hurries, kills. Nothing is left either way."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, is_alive, tree
from tests.waiting import wait_until

SLEEPER = ["/bin/sh", "-c", "trap '' INT TERM HUP QUIT; echo deaf; while :; do sleep 0.2; done"]


def stubborn(shutdown: str) -> dict[str, object]:
    """An agent that stops as asked, one that ignores everything, with awkward descendants, and a program like it."""
    return tree(
        agent("echo", "Echo", shutdown=shutdown),
        agent("deaf", "AwkwardDeaf", shutdown=shutdown),
        {"name": "program", "command": SLEEPER, "shutdown": shutdown, "ready": {"line": "deaf"}},
    )


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_one_signal_asks_and_kills_after_the_grace(start: Start, signum: int) -> None:
    host = start(stubborn("600ms"))
    host.hang_up()
    began = time.monotonic()
    host.signal(signum)
    assert host.wait_end() == 0
    assert time.monotonic() - began >= 1.2  # two that have their grace, one after the other
    exits = [line for line in host.output().splitlines() if " agent.exited " in line]
    assert ["did not stop within 0.6" in line for line in exits] == [True, True, False]
    host.assert_nothing_left()


def test_two_signals_do_not_wait_for_the_grace(start: Start) -> None:
    host = start(stubborn("300s"))
    host.hang_up()
    host.signal(signal.SIGINT)
    host.wait_said("agent.asked path=/program")
    host.signal(signal.SIGINT)
    assert host.wait_end() == 0
    assert "agent.terminating path=/deaf" in host.output()
    host.assert_nothing_left()


def test_three_signals_kill_at_once_and_say_so_with_status_1(start: Start) -> None:
    host = start(stubborn("300s"))
    host.hang_up()
    host.signal(signal.SIGINT)
    host.wait_said("agent.asked path=/program")
    before = host.survivors()
    host.signal(signal.SIGINT)
    host.wait_said("agent.terminating path=/deaf")
    host.signal(signal.SIGINT)
    assert host.wait_end() == 1
    assert not any(is_alive(pid) for pid in before)
    assert "third signal" in host.output()
    assert not host.places.runtime_folder.exists()
    host.assert_nothing_left()


def test_three_signals_in_a_burst_leave_nothing(start: Start) -> None:
    host = start(stubborn("300s"))
    host.hang_up()
    for _ in range(3):
        host.signal(signal.SIGINT)
        host.signal(signal.SIGTERM)
    assert host.wait_end() in (0, 1)
    host.assert_nothing_left()


def test_a_signal_while_the_tree_starts_ends_what_has_started(places: Path) -> None:
    slow = agent("slow", "Slow", args={"until": "/no/such/file"}, shutdown="500ms", start_timeout="300s")
    host = Running(places, tree(agent("first", "Echo"), slow, agent("never", "Echo")))
    try:
        host.start()
        host.wait_said("agent.starting path=/slow")
        host.signal(signal.SIGTERM)
        assert host.wait_end() == 0
        assert "path=/never" not in host.output()
        host.assert_nothing_left()
    finally:
        host.end()


def test_a_signal_before_the_host_is_there_ends_it_as_well(places: Path) -> None:
    host = Running(places, tree(agent("first", "Echo")))
    try:
        host.start()
        wait_until(lambda: len(host.survivors()) >= 2, PATIENCE_S, "the guardian has started something")
        host.signal(signal.SIGTERM)
        assert host.wait_end() in (0, 1)
        host.assert_nothing_left()
    finally:
        host.end()


def test_an_operator_stops_the_host_as_a_signal_does(start: Start) -> None:
    host = start(stubborn("300ms"))
    host.ask("halt", how="ask")
    assert host.wait_end() == 0
    host.assert_nothing_left()


def test_an_operator_kills_all_at_once(start: Start) -> None:
    host = start(stubborn("300s"))
    host.ask("halt", how="kill")
    assert host.wait_end() == 0
    host.assert_nothing_left()


def test_a_turn_in_hand_is_finished_before_an_orderly_stop(start: Start) -> None:
    host = start(tree(agent("doer", "Doer", shutdown="60s"), agent("caller", "Doer", shutdown="60s")))
    host.client.send("/doer", {"do": "nap_and_note", "s": 1.0, "file": str(host.folder / "woke")}, durable=False)
    host.wait(lambda: (host.folder / "woke.began").exists(), "the turn is in hand")
    assert host.stop() == 0
    assert (host.folder / "woke").exists()
