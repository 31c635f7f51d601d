"""One failure stays one failure: two agents that call each other all the time do not notice what a third one does.

Measured in one run: the 99th percentile of a call's round trip over several windows, undisturbed and disturbed in turn;
the ratio is judged, no length of time. No call may be lost.
"""

from __future__ import annotations

import os
import signal
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
"""So many times the undisturbed p99 and no more, as promised. Beside a busy agent it is held because that one gives way
(``agenthost.host.giving_way``); without, who wakes on its CPU waits for the clock's next tick: 15 to 19 times. It is
noticed within some four seconds, and after each change the kernel takes about 0.1 s to settle who runs where: what is
measured comes after that."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def pair(*more: dict[str, Any]) -> dict[str, Any]:
    return tree(agent("a", "Doer"), agent("b", "Echo"), *more, intensity=100_000)


def window(host: Running) -> list[float]:
    """How long the next calls take, in ms."""
    done = host.call("/a", {"do": "many", "path": "/b", "n": CALLS}, timeout=120)
    assert done["errors"] == [] and len(done["took_s"]) == CALLS
    return [took_s * 1000 for took_s in done["took_s"]]


def p99(took_ms: list[float]) -> float:
    return sorted(took_ms)[len(took_ms) * 99 // 100]


def assert_undisturbed(
    host: Running, what: str, go_on: Callable[[Client], None], switch: Callable[[bool], None] = lambda on: None
) -> None:
    """``go_on`` is called again and again in a thread, with a client of its own, except while windows without it are
    taken: they alternate, undisturbed first, so that what else runs on the machine counts for both."""
    window(host)  # look-up and first turn
    over, may, rests = threading.Event(), threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def disturb() -> None:
        try:
            with Client(host.endpoint, patience_s=PATIENCE_S) as client:
                while not over.is_set():
                    rests.set()
                    if may.wait(0.01):
                        rests.clear()
                        go_on(client)
        except BaseException as error:  # of any kind: the test fails with it
            failed.append(error)
        finally:
            rests.set()

    thread = threading.Thread(target=disturb)
    thread.start()
    without: list[list[float]] = []
    beside: list[list[float]] = []
    try:
        for _ in range(WINDOWS):
            may.clear()
            switch(False)
            assert rests.wait(PATIENCE_S)
            window(host)  # until the kernel has settled who runs where
            without.append(window(host))
            switch(True)
            may.set()
            window(host)
            beside.append(window(host))
    finally:
        over.set()
        thread.join()
    before_ms, after_ms = (p99([took for window in windows for took in window]) for windows in (without, beside))
    figures = f"p99 {before_ms:.3f} ms without, {after_ms:.3f} ms beside {what}: {after_ms / before_ms:.2f} times"
    pairs = zip(without, beside, strict=True)
    print(figures, "windows:", *(f"{p99(one):.2f}/{p99(other):.2f}" for one, other in pairs))
    assert not failed, failed
    assert {host.row(path)["restarts"] for path in ("/a", "/b")} == {0}
    assert after_ms <= MOST * before_ms, figures


def test_the_measure_itself_gives_the_same_twice(start: Start) -> None:
    assert_undisturbed(start(pair()), "nothing", lambda client: None)


def test_an_agent_that_computes_all_the_time_does_not_disturb(start: Start) -> None:
    host = start(pair(agent("hog", "Doer", shutdown="kill")))

    pid = host.pid("/hog")
    host.client.send("/hog", {"do": "spin"}, durable=False)
    host.wait(lambda: "computing" in host.row("/hog")["flags"], "it gives way")

    def switch(on: bool) -> None:
        os.kill(pid, signal.SIGCONT if on else signal.SIGSTOP)

    assert_undisturbed(host, "a busy agent", lambda client: None, switch)
    assert "busy" in host.row("/hog")["flags"] and host.row("/hog")["restarts"] == 0


def test_one_that_leaks_to_its_limit_again_and_again_does_not_disturb(start: Start) -> None:
    host = start(pair(agent("leaker", "Doer", limits={"memory": "96MiB"}, backoff="none")), containment="cgroup")
    if not limits_memory(host):
        pytest.skip("no controller limits the memory of a cell here")

    def leak(client: Client) -> None:
        client.request("wait", {"path": "/leaker", "for": "ready"}, timeout=PATIENCE_S)
        try:
            client.call("/leaker", {"do": "leak"}, timeout=PATIENCE_S)
        except AgenthostError as error:
            said.add(str(error))

    said: set[str] = set()
    assert_undisturbed(host, "an agent that leaks", leak)
    assert any("out of memory" in text for text in said), said
    exits = [one["fields"]["reason"] for one in host.events("agent.exited", "/leaker")]
    assert len(exits) >= 3
    assert set(exits) == {"killed: out of memory: its limit is 96 MiB"}


def test_one_that_prints_without_end_does_not_disturb(start: Start) -> None:
    host = start(pair(agent("printer", "Doer")))
    said = 0

    def say(client: Client) -> None:
        nonlocal said
        client.call("/printer", {"do": "say", "bytes": 5_000_000}, timeout=PATIENCE_S)
        said += 5_000_000

    assert_undisturbed(host, "an agent that prints", say)
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

    assert_undisturbed(host, "an agent that does not want to stop", stop_and_start)
    assert texts and all("KILL" in text for text in texts)


def test_an_agent_that_crashes_again_and_again_does_not_disturb(start: Start) -> None:
    """As agents are by default: back-off spreads the restarts. Without it the machine forks and ends processes without
    pause, which was seen to make p99 four to eight times as long (1.5 ms)."""
    host = start(pair(agent("crasher", "Doer")))

    def crash(client: Client) -> None:
        try:
            client.call("/crasher", {"do": "crash"}, timeout=PATIENCE_S)
        except AgenthostError:
            return

    assert_undisturbed(host, "an agent that crashes", crash)
    assert host.row("/crasher")["restarts"] >= 3


def limits_memory(host: Running) -> bool:
    return any("memory of an agent: limited by cgroup" in one["text"] for one in host.ask("doctor"))
