"""A fork bomb of 1,500 processes in one agent, none of which ever sleeps, is that agent's trouble alone.

It is a danger to the machine it runs on, so whatever becomes of this test, the guardian is killed after some minutes,
and the kernel ends everything below it.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.conftest import Start, Watch
from tests.chaos.fields import WALLS, Field, probe, why_empty
from tests.chaos.test_matrix import IT, program
from tests.host.running import PATIENCE_S, Running, agent, tree

STATUS_S = 1.0
"""The 99th percentile of ``status``, at most."""

TIMES = 10.0
"""So many times the undisturbed p99 of a call between two others, at most."""

CALLS, ROUNDS, LOOKS = 1000, 3, 100

MANY = 1500

INSPECTIONS, INSPECT_S = 3, 5.0
"""So long, at most, to tell all the processes of the bomb."""

CALM_S = 15.0
"""After so long, at the latest, it gives way: the host looks once a second, and lowers a crowd in parts."""

HARD_END_S = 150
"""It gives way while it grows, so that takes half a minute."""


@contextmanager
def hard_end(pid: int) -> Iterator[None]:
    """KILL it when the time is over, whoever of us is still able to run."""
    words = ["sh", "-c", f"sleep {HARD_END_S}; kill -KILL {pid}"]
    with subprocess.Popen(words, process_group=0) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("tier", WALLS)
def test_beside_a_fork_bomb_the_host_answers_and_others_call_each_other(
    start: Start, watch: Watch, record_tier: Callable[..., None], tier: str
) -> None:
    if why := why_empty(Field("bomb_1500", "stop", tier)):
        pytest.skip(why)
    record_tier(tier)
    containment, namespace = WALLS[tier]
    assert next(one for one in probe() if one.name == containment).available
    bomb = program("bomb_1500", start_timeout="50s", limits={"processes": 2000})
    children = (agent("a", "Doer"), agent("b", "Echo"), bomb)
    host = start(tree(*children, intensity=100), containment=containment, namespace=namespace)
    with hard_end(host.guardian_pid):
        host.ask("stop", path=IT)
        measured(host)
        calls_ms, status_ms = measured(host)
        host.ask("start", path=IT)
        seen = watch(host, IT)
        host.wait(lambda: len(seen.look()) >= MANY, "it has exploded")
        calm_s = seconds_until_calm(host, TIMES * calls_ms)
        bombed_calls_ms, bombed_status_ms = measured(host)
        inspected_ms = inspects(host)
        assert len(seen.look()) >= MANY
        before_s = time.monotonic()
        host.ask("stop", path=IT)
        took_s = time.monotonic() - before_s
        left = seen.left()
        figures = (
            f"{tier}: p99 of status {status_ms:.1f} ms, beside the bomb {bombed_status_ms:.1f} ms; of calls between "
            f"others {calls_ms:.2f} ms, beside the bomb {bombed_calls_ms:.2f} ms: {bombed_calls_ms / calls_ms:.1f} "
            f"times, after {calm_s:.1f} s; the bomb was inspected in {inspected_ms:.0f} ms at most, stopped in "
            f"{took_s:.2f} s, 0.3 s of them grace"
        )
        print(figures)
        assert not left, f"{len(left)} left: {left[:10]}"
        assert bombed_status_ms <= STATUS_S * 1000, figures
        assert inspected_ms <= INSPECT_S * 1000, figures
        assert bombed_calls_ms <= TIMES * calls_ms, figures
        assert calm_s <= CALM_S, figures
        assert {host.row(path)["restarts"] for path in ("/a", "/b")} == {0}


def measured(host: Running) -> tuple[float, float]:
    """p99 of calls of /a to /b (the middle one of some rounds), and then of status, in ms: one is a promise to agents,
    one to operators."""
    rounds = []
    for _ in range(ROUNDS):
        done = host.call("/a", {"do": "many", "path": "/b", "n": CALLS}, timeout=120)
        assert done["errors"] == [] and len(done["took_s"]) == CALLS
        rounds.append(p99(done["took_s"]))
    looks_s: list[float] = []
    with host.new_client(patience_s=PATIENCE_S) as client:
        for _ in range(LOOKS):
            began = time.perf_counter()
            client.request("status", {}, timeout=PATIENCE_S)
            looks_s.append(time.perf_counter() - began)
    return statistics.median(rounds) * 1000, p99(looks_s) * 1000


def inspects(host: Running) -> float:
    """Of the bomb itself, the longest of some, in ms: what its processes were started with can hardly be read."""
    took_s = []
    for _ in range(INSPECTIONS):
        began = time.perf_counter()
        assert host.ask("inspect", path=IT)["processes_in_all"] > MANY // 2
        [row] = host.ask("status", paths=[IT], members=True)["tree"]
        assert len(row["members"]) > MANY // 2
        took_s.append(time.perf_counter() - began)
    return max(took_s) * 1000


def seconds_until_calm(host: Running, bound_ms: float) -> float:
    """From now until some calls in a row are all within ``bound_ms``."""
    began = time.monotonic()
    while True:
        done = host.call("/a", {"do": "many", "path": "/b", "n": 3}, timeout=HARD_END_S)
        if max(done["took_s"]) * 1000 <= bound_ms:
            return time.monotonic() - began


def p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]
