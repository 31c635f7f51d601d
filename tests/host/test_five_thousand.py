"""Five thousand live agents that nobody talks to cost their host next to nothing; each is there when it is called."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable

import pytest

from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, is_alive, kill, tree

MANY, ASKED, VICTIMS = 5000, 200, 50
IDLE_S = 10.0
SHARE = 0.02
"""Of one core, of all processes of the host together."""
BYTES_EACH = 3 * 1024 * 1024
DESCRIPTORS = 3 * MANY + 2000
SEED = 11
END_S = 300.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_thousand_idle_agents_cost_the_host_less_than_two_hundredths_of_a_core(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    if why := why_not():
        pytest.skip(why)
    crowd = [{"name": f"a{n}", "agent": f"{AGENTS}:Echo", "backoff": "none"} for n in range(MANY)]
    began = time.monotonic()
    host: Running = start(tree({"name": "many", "children": crowd, "intensity": 1000}), ready_s=400)
    up_s = time.monotonic() - began

    own = [one["pid"] for one in host.ask("ps") if one["pid"]]
    host.hang_up()
    before, at = sum(map(cpu_s, own)), time.monotonic()
    time.sleep(IDLE_S)  # nothing is to happen meanwhile, and that is what is measured
    share = (sum(map(cpu_s, own)) - before) / (time.monotonic() - at)

    chosen = random.Random(SEED).sample(range(MANY), ASKED)
    took_s = [timed(lambda n=n: host.call(f"/many/a{n}", n)) for n in chosen]  # type: ignore[misc]
    looked_s = timed(lambda: host.rows())
    pids = {path: int(row["pid"]) for path, row in host.rows(paths=["/many"]).items() if row["pid"]}
    assert len(pids) == MANY

    victims = {f"/many/a{n}" for n in chosen[:VICTIMS]}
    for path in victims:
        kill(pids[path])

    def is_whole() -> bool:
        now = host.rows(paths=["/many"])
        return all(now[path]["pid"] and (now[path]["pid"] != pid) == (path in victims) for path, pid in pids.items())

    host.wait(is_whole, "those that were killed are back, and nobody else was touched")
    ended_s = timed(lambda: host.client.request("stop", {"path": "/many"}, timeout=END_S))  # one after the other (OTP)
    assert not any(map(is_alive, pids.values()))
    called_ms = sorted(took_s)[ASKED // 2] * 1000
    with capsys.disabled():
        print(
            f"\n{MANY} agents: up in {up_s:.1f} s; the host's processes take {100 * share:.2f} % of a core; a first "
            f"call takes {called_ms:.1f} ms, the status of all {looked_s:.2f} s, the end of all {ended_s:.1f} s"
        )
    assert share < SHARE


def why_not() -> str:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if free < MANY * BYTES_EACH:
        return f"{MANY} agents need {MANY * BYTES_EACH >> 30} GiB of free memory"
    if (most := resource.getrlimit(resource.RLIMIT_NOFILE)[1]) != resource.RLIM_INFINITY and most < DESCRIPTORS:
        return f"{MANY} agents need {DESCRIPTORS} descriptors, and the hard limit is {most}"
    return ""


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began
