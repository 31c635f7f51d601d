"""Pools, and trees that end by themselves, with real processes."""

from __future__ import annotations

import pytest

from agenthost.errors import UnknownName, UsageError
from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, tree


def members(**keys: object) -> dict[str, object]:
    return {"name": "pool", "pool": {"agent": f"{AGENTS}:Echo", **keys}}


def test_members_are_started_by_path_supervised_and_forgotten_when_they_are_stopped(start: Start) -> None:
    host: Running = start(tree(members()))
    for name in ("ana", "bob"):
        assert host.ask("start", path=f"/pool/{name}")["state"] == "ready"
    before = {name: host.pid(f"/pool/{name}") for name in ("ana", "bob")}
    host.ask("kill", path="/pool/ana")
    host.wait_state("/pool/ana", "ready")
    assert host.pid("/pool/ana") != before["ana"]
    assert host.pid("/pool/bob") == before["bob"]
    assert host.call("/pool/ana", 1) == 1
    host.ask("stop", path="/pool/bob")
    assert "/pool/bob" not in host.rows()


def test_a_member_needs_a_pool_above_it_and_a_name_fit_for_a_path(start: Start) -> None:
    host: Running = start(tree(members()))
    with pytest.raises(UnknownName):
        host.ask("start", path="/nowhere/ana")
    with pytest.raises(UsageError, match="cannot name a member"):
        host.ask("start", path="/pool/.hidden")


def test_a_tree_ends_with_its_significant_child_and_the_host_with_status_0(start: Start) -> None:
    done = {"name": "job", "command": ["sh", "-c", "sleep 1"], "restart": "transient", "significant": True}
    host: Running = start(tree({"name": "helper", "command": ["sleep", "1000"]}, done, auto_shutdown="any_significant"))
    assert host.wait_end() == 0
    host.assert_nothing_left()
