"""Restarts counted for one worker alone (deviation D10), with real processes."""

from __future__ import annotations

from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, agent, kill, tree


def test_a_worker_that_fails_too_often_in_its_own_window_is_set_aside_and_nobody_else(start: Start) -> None:
    eager = {"intensity": 1, "period": "1h", "backoff": "none"}
    pool = {"name": "pool", "pool": {"agent": f"{AGENTS}:Echo", **eager}}
    host: Running = start(tree(agent("a", "Echo", **eager), agent("b", "Echo"), pool, intensity=0))
    for name in ("x", "y"):
        host.ask("start", path=f"/pool/{name}")
    kept = {path: host.pid(path) for path in ("/b", "/pool/y")}
    for path in ("/a", "/pool/x"):
        pid = host.pid(path)
        kill(pid)
        host.wait(lambda path=path, pid=pid: host.row(path)["pid"] not in (None, pid), f"{path} is restarted")
        host.wait_state(path, "ready")
        kill(host.pid(path))
        host.wait_state(path, "gave_up")
    assert {path: host.pid(path) for path in kept} == kept
    host.ask("start", path="/a")
    assert host.call("/a", 1) == 1
