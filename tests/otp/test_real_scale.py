"""Cases 71, 77 and 88 with real processes: a pool of 500 agents."""

from __future__ import annotations

import random
import time

import pytest

from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, is_alive, kill, tree
from tests.otp.case import case

MEMBERS, VICTIMS = 500, 100
WHY = "three times 500 processes would show nothing more"
SEED = 19


@pytest.mark.slow
@pytest.mark.timeout(400)
@case(71, 77, 88, forms=("host",), why=WHY)
def test_count_children_and_scale_a_pool_of_500_loses_100_at_random_and_is_whole_again_and_nobody_else_is_touched(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = {"name": "p", "pool": {"agent": f"{AGENTS}:Echo", "backoff": "none"}, "intensity": 1000, "period": "60s"}
    host: Running = start(tree(pool))

    def members() -> dict[str, dict[str, object]]:
        return {path: row for path, row in host.rows(paths=["/p"]).items() if path != "/p"}

    def pids() -> dict[str, int]:
        """Of those that are ready."""
        return {path: int(str(row["pid"])) for path, row in members().items() if row["state"] == "ready" and row["pid"]}

    began = time.monotonic()
    for number in range(MEMBERS):
        assert host.ask("start", path=f"/p/m{number}")["state"] == "ready"
    up = time.monotonic()
    before = pids()
    assert len(before) == len(set(before.values())) == MEMBERS

    victims = set(random.Random(SEED).sample(sorted(before), VICTIMS))
    for path in victims:
        kill(before[path])

    def is_whole() -> bool:
        now = pids()
        return len(now) == MEMBERS and not any(now[path] == before[path] for path in victims)

    host.wait(is_whole, "the pool is whole again")
    whole = time.monotonic()
    after = pids()
    assert {path: after[path] for path in before if path not in victims} == {
        path: pid for path, pid in before.items() if path not in victims
    }
    assert len(set(after.values())) == MEMBERS
    rows = members()
    assert {path for path, row in rows.items() if row["restarts"]} == victims
    assert {rows[path]["restarts"] for path in victims} == {1}
    for path in random.Random(SEED).sample(sorted(victims), 10):
        assert host.call(path, path) == path

    halting = time.monotonic()
    assert host.ask("stop", path="/p")["state"] == "down"
    ended = time.monotonic()
    assert not any(map(is_alive, after.values()))
    assert members() == {}, "nothing is kept of them"
    with capsys.disabled():
        print(
            f"\n{MEMBERS} members: {up - began:.1f} s to start one after the other, "
            f"{whole - up:.2f} s until {VICTIMS} that were killed were back, {ended - halting:.2f} s to stop"
        )
