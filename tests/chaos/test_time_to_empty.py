"""How long it takes until an agent is empty, beside what the mechanism alone takes on this machine, in the same run.

Printed, with the aim that a host is within 1.3 times of it; judged is that all of it ends, by either way. A host is
asked over its control plane; how long that took is printed as well: two processes do not take longer to end.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import pytest

from tests.chaos import agents, raw
from tests.chaos.conftest import Start
from tests.chaos.fields import WALLS, probe
from tests.chaos.test_matrix import IT, program
from tests.chaos.witness import Witness
from tests.host.running import PATIENCE_S, is_alive, tree

AIM = 1.3
ROUNDS = 5
PROGRAMS = ("plain", "stopped", "memory", "crowd_100", "crowd_1000")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("what", PROGRAMS)
@pytest.mark.parametrize("tier", WALLS)
def test_an_agent_is_empty_about_as_soon_as_the_mechanism_alone_can_do_it(
    start: Start, record_tier: Callable[..., None], what: str, tier: str
) -> None:
    containment, namespace = WALLS[tier]
    found = next(one for one in probe() if one.name == containment)
    record_tier(containment, None if found.available else found.why)
    host = start(tree(program(what, shutdown="kill"), intensity=100), containment=containment, namespace=namespace)
    hosted_ms, raw_ms, asked_ms = [], [], []

    def ask() -> None:
        began = time.perf_counter()
        host.client.request("stop", {"path": IT, "wait": False}, timeout=PATIENCE_S)
        asked_ms.append((time.perf_counter() - began) * 1000)

    for _ in range(ROUNDS):
        witness = Witness(host, IT)
        try:
            pids = {one.pid for one in witness.living()}
            hosted_ms.append(ended_ms(pids, ask))
            host.wait_state(IT, "down")
            assert not witness.left()
        finally:
            witness.close()
        words = [sys.executable, "-S", "-E", agents.AWKWARD, what]
        with raw.begin(containment, words) as (raw_pids, end):
            raw_ms.append(ended_ms(raw_pids, end))
        host.ask("start", path=IT)
    ratio = statistics.median(hosted_ms) / statistics.median(raw_ms)
    print(
        f"{what} ({len(pids)} processes) in {tier}: empty after {statistics.median(hosted_ms):.1f} ms, "
        f"the order was answered after {statistics.median(asked_ms):.1f} ms; {containment} alone "
        f"{statistics.median(raw_ms):.1f} ms ({len(raw_pids)}): {ratio:.2f} times (aim: {AIM})"
    )


def ended_ms(pids: set[int], begin: Callable[[], object]) -> float:
    """From the order to the moment at which none of them lives any more."""
    assert pids and all(map(is_alive, pids))
    began = time.perf_counter()
    begin()
    left = list(pids)
    while left:
        assert time.perf_counter() - began < PATIENCE_S, f"{len(left)} still live"
        left = [pid for pid in left if is_alive(pid)]
    return (time.perf_counter() - began) * 1000
