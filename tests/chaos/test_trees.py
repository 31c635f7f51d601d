"""Nothing of a random process tree survives, however its agent ends. Many trees at a time in one host."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from tests.chaos import agents
from tests.chaos.conftest import Start
from tests.chaos.fields import WALLS, probe
from tests.chaos.trees import Node, size, staying, trees
from tests.chaos.witness import Witness
from tests.host.running import PATIENCE_S, Running, agent, kill, tree

SLOTS = 10
"""Trees at a time."""

HOWS = ("stop", "kill", "restart", "crash")
BATCHES = strategies.lists(strategies.tuples(trees(), strategies.sampled_from(HOWS)), min_size=SLOTS, max_size=SLOTS)


def slot(number: int, shape: Path) -> dict[str, Any]:
    """A program that grows what stands in the file ``shape`` when it starts."""
    words = [sys.executable, "-S", "-E", agents.AWKWARD, "tree", f"@{shape}"]
    return {"name": f"t{number}", "command": words, "ready": {"line": "^born$"}, "shutdown": "100ms",
            "backoff": "none", "start_timeout": "60s"}  # fmt: skip


@pytest.fixture(params=WALLS)
def host(request: pytest.FixtureRequest, start: Start, record_tier: Callable[..., None], folder: Path) -> Running:
    containment, namespace = WALLS[request.param]
    found = next(one for one in probe() if one.name == containment)
    record_tier(containment, None if found.available else found.why)
    for number in range(SLOTS):
        shape(folder, number).write_text(json.dumps({"how": "fork", "flags": [], "below": []}))
    slots = [slot(number, shape(folder, number)) for number in range(SLOTS)]
    return start(tree(agent("echo", "Echo"), *slots, intensity=100_000), containment=containment, namespace=namespace)


def shape(folder: Path, number: int) -> Path:
    return folder / f"tree-{number}.json"


def end(host: Running, path: str, how: str, old: Witness) -> None:
    if how == "crash":
        kill(old.main)
    else:
        host.ask(how, path=path)
    if how != "stop":
        host.wait(
            lambda: (row := host.row(path))["state"] == "ready" and row["incarnation"] != old.incarnation,
            f"the next incarnation of {path} is ready",
        )


def try_batch(host: Running, folder: Path, batch: list[tuple[Node, str]]) -> None:
    for number, (one, _) in enumerate(batch):
        shape(folder, number).write_text(json.dumps(one))
        host.ask("stop", path=f"/t{number}")
    for number in range(len(batch)):
        host.ask("start", path=f"/t{number}", wait=False)
    for number, (one, how) in enumerate(batch):
        path = f"/t{number}"
        host.wait_state(path, "ready", seconds=PATIENCE_S)
        old = Witness(host, path)
        try:
            seen = [seen for seen in old.living() if seen.command != "agenthost-init"]
            assert len(seen) >= staying(one), f"{path} of {size(one)}: {staying(one)} stay, seen are {seen}"
            end(host, path, how, old)
            left = old.left()
            assert not left, f"{how} of {json.dumps(one)} left {left}"
        finally:
            old.close()
    assert host.call("/echo", len(batch)) == len(batch)


def run(host: Running, folder: Path, number: int) -> None:
    grown = []

    @settings(max_examples=number // SLOTS, suppress_health_check=list(HealthCheck))
    @given(BATCHES)
    def nothing_survives(batch: list[tuple[Node, str]]) -> None:
        try_batch(host, folder, batch)
        grown.append(sum(size(one) for one, _ in batch))

    nothing_survives()
    print(f"{len(grown) * SLOTS} trees of {sum(grown) / len(grown) / SLOTS:.1f} processes on average")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_of_twenty_random_trees_survives(host: Running, folder: Path) -> None:
    run(host, folder, 20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_of_a_thousand_random_trees_survives(host: Running, folder: Path) -> None:
    run(host, folder, 1000)
