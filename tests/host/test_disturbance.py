"""One failure stays one failure: two agents that call each other all the time do not notice what a third one does.

Measured in one run: the 99th percentile of a call's round trip, undisturbed and disturbed, each as the median of
several windows; the ratio is judged, no length of time. No call may be lost.
"""

from __future__ import annotations

import statistics
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agenthost.client.client import Client
from agenthost.errors import AgenthostError
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, tree

CALLS = 2000
WINDOWS = 9
MOST = 3.0
"""So many times the undisturbed one."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def pair(*more: dict[str, Any]) -> dict[str, Any]:
    return tree(agent("a", "Doer"), agent("b", "Echo"), *more, intensity=100_000)


def window(host: Running) -> tuple[float, float]:
    """The median and the 99th percentile of the next calls, in ms."""
    done = host.call("/a", {"do": "many", "path": "/b", "n": CALLS}, timeout=120)
    assert done["errors"] == [] and len(done["took_s"]) == CALLS
    took = sorted(done["took_s"])
    return took[CALLS // 2] * 1000, took[CALLS * 99 // 100] * 1000


def p99_ms(host: Running, windows: int = WINDOWS) -> float:
    return statistics.median(window(host)[1] for _ in range(windows))


def assert_undisturbed(host: Running, what: str, begin: Callable[[], None], go_on: Callable[[Client], None]) -> None:
    """``begin`` once, then ``go_on`` again and again in a thread, with a client of its own, while it is measured."""
    window(host)  # look-up and first turn
    before = p99_ms(host)
    over = threading.Event()
    failed: list[BaseException] = []

    def disturb() -> None:
        try:
            with Client(host.endpoint, patience_s=PATIENCE_S) as client:
                while not over.wait(0.01):
                    go_on(client)
        except BaseException as error:  # of any kind: the test fails with it
            failed.append(error)

    begin()
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        after = p99_ms(host)
    finally:
        over.set()
        thread.join()
    print(f"{what}: p99 {before:.3f} ms undisturbed, {after:.3f} ms disturbed: {after / before:.2f} times")
    assert not failed, failed
    assert {host.row(path)["restarts"] for path in ("/a", "/b")} == {0}
    assert after <= MOST * before, f"p99 {after:.3f} ms beside {what}, {before:.3f} ms without"


def test_the_measure_itself_gives_the_same_twice(start: Start) -> None:
    assert_undisturbed(start(pair()), "nothing", lambda: None, lambda client: None)


def test_an_agent_that_computes_all_the_time_does_not_disturb(start: Start) -> None:
    host = start(pair(agent("hog", "Doer", shutdown="kill")))

    def begin() -> None:
        host.client.send("/hog", {"do": "spin"})
        host.wait(lambda: "busy" in host.row("/hog")["flags"], "it computes")

    assert_undisturbed(host, "a busy agent", begin, lambda client: None)
    assert "busy" in host.row("/hog")["flags"] and host.row("/hog")["restarts"] == 0


def test_one_that_leaks_to_its_limit_again_and_again_does_not_disturb(start: Start) -> None:
    code = "kept = []\nwhile True: kept.append(bytearray(b'x' * 1048576))"
    leaker = {
        "name": "leaker",
        "command": [sys.executable, "-S", "-E", "-c", code],
        "limits": {"memory": "96MiB"},
        "backoff": {"initial": "200ms", "max": "200ms"},
    }
    host = start(pair(leaker), containment="cgroup")
    if not limits_memory(host):
        pytest.skip("no controller limits the memory of a cell here")
    assert_undisturbed(host, "an agent that leaks", lambda: None, lambda client: None)
    exits = [one["fields"]["reason"] for one in host.events("agent.exited", "/leaker")]
    assert len(exits) >= 3
    assert set(exits) == {"killed: out of memory: its limit is 96 MiB"}


def test_one_that_prints_without_end_does_not_disturb(start: Start) -> None:
    host = start(pair(agent("printer", "Doer")))
    said = 0

    def say(client: Client) -> None:
        nonlocal said
        client.call("/printer", {"do": "say", "bytes": 20_000_000}, timeout=PATIENCE_S)
        said += 20_000_000

    assert_undisturbed(host, "an agent that prints", lambda: None, say)
    print(f"it printed {said / 1e6:.0f} MB")
    assert said >= 20_000_000
    kept = sum(file.stat().st_size for file in host.places.logs.iterdir() if file.is_file())
    assert kept < 200_000_000  # what is kept is bounded


def test_one_that_ignores_every_signal_and_is_stopped_does_not_disturb(start: Start) -> None:
    host = start(pair(agent("deaf", "AwkwardDeaf", shutdown="200ms")))
    texts = []

    def stop_and_start(client: Client) -> None:
        texts.append(client.request("stop", {"path": "/deaf"}, timeout=PATIENCE_S)["text"])
        client.request("start", {"path": "/deaf"}, timeout=PATIENCE_S)

    assert_undisturbed(host, "an agent that does not want to stop", lambda: None, stop_and_start)
    assert texts and all("KILL" in text for text in texts)


def test_an_agent_that_crashes_again_and_again_does_not_disturb(start: Start) -> None:
    host = start(pair(agent("crasher", "Doer", backoff="none")))

    def crash(client: Client) -> None:
        try:
            client.call("/crasher", {"do": "crash"}, timeout=PATIENCE_S)
        except AgenthostError:
            return

    assert_undisturbed(host, "an agent that crashes", lambda: None, crash)
    assert host.row("/crasher")["restarts"] >= 3


def limits_memory(host: Running) -> bool:
    return any(
        "memory of an agent: limited by cgroup" in one["text"]
        for one in host.ask("doctor")
    )
