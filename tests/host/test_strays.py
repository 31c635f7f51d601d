"""What outlives guardian and host where there is no wall is found by the next host, and never by its pid alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agenthost.containment import births, procfs, tiers
from tests.containment import births as bearing
from tests.host.running import PATIENCE_S, Running, is_alive, kill, tree
from tests.waiting import wait_until

LEAVE_ONE = "setsid sleep 100000 & echo $!; wait"


def config(strays: str) -> dict[str, Any]:
    child = {"name": "it", "command": ["sh", "-c", LEAVE_ONE], "ready": {"line": "[0-9]"}, "restart": "temporary"}
    return {"containment": "walk", "namespace": "never", "strays": strays, "tree": tree(child)}


@pytest.fixture
def host(places: Path) -> Iterator[Running]:
    found = config("report")
    one = Running(places, found.pop("tree"), **found)
    try:
        yield one
    finally:
        one.end()


def kill_guardian_and_host(host: Running) -> None:
    """At once: neither sees the other's end."""
    [pid] = host.own_pids("host")
    host.hang_up()
    for one in (host.guardian_pid, pid):
        os.kill(one, signal.SIGSTOP)
    for one in (host.guardian_pid, pid):
        kill(one)
    assert host.process is not None
    host.process.wait()


def test_report_shows_strays_and_leaves_them_alone_and_end_ends_them(host: Running) -> None:
    host.start().wait_ready()
    left = int(host.printed("/it"))
    pid = host.pid("/it")
    kill_guardian_and_host(host)
    wait_until(lambda: not is_alive(pid), PATIENCE_S, "the parent-death signal has ended the agent itself")
    assert is_alive(left)

    host.start().wait_ready()
    [stray] = host.host()["strays"]
    assert (stray["found"], stray["what"], stray["path"]) == ("marker", str(left), "/it")
    assert stray["text"] == f"process {left} (sleep) of /it"
    [said] = host.events("host.stray")
    assert said["path"] == "/it" and said["fields"]["ended"] is False
    [found] = [one for one in host.ask("doctor") if one["subject"] == "stray"]
    assert not found["ok"] and stray["text"] in found["text"]
    assert is_alive(left)
    host.hang_up()
    assert host.stop() == 0
    assert is_alive(left)

    host.config.write_text(json.dumps({"agenthost": 1, "name": host.name, **config("end")}))
    host.start().wait_ready()
    assert not is_alive(left)
    assert host.host()["strays"] == []
    assert [one["fields"]["ended"] for one in host.events("host.stray")] == [True]
    host.hang_up()
    assert host.stop() == 0
    host.assert_nothing_left()


@pytest.mark.root
@pytest.mark.slow
def test_who_has_the_pid_of_a_dead_agent_now_is_left_alone(host: Running) -> None:
    host.config.write_text(json.dumps({"agenthost": 1, "name": host.name, **config("end")}))
    host.start().wait_ready()
    pid = host.pid("/it")
    kill_guardian_and_host(host)
    wait_until(lambda: procfs.stat(pid) is None, PATIENCE_S, "the agent has ended and was reaped")
    [line] = [one for one in births.read(str(host.places.births)) if one.path == "/it"]
    assert line.pid == pid and line.pid_namespace == procfs.pid_namespace()
    wait_until(lambda: procfs.now_ticks() > line.start_time + 1)
    other = bearing.child_with_pid(pid, bearing.rest)
    try:
        host.start().wait_ready()
        assert is_alive(other)
        assert [one["fields"]["text"] for one in host.events("host.stray") if str(pid) in one["fields"]["text"]] == []
        host.hang_up()
        assert host.stop() == 0
        assert is_alive(other)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


@pytest.mark.slow
def test_a_host_without_a_namespace_removes_its_cgroups_when_its_guardian_is_killed(
    places: Path, record_tier: Callable[..., None]
) -> None:
    """With one it is killed by the kernel at the same moment, and the next host removes them."""
    found = next(one for one in tiers.probe() if one.name == "cgroup")
    record_tier("cgroup", None if found.available else found.why)
    host = Running(
        places, tree({"name": "it", "command": ["sleep", "100000"]}), containment="cgroup", namespace="never"
    )
    try:
        host.start().wait_ready()
        assert host.cgroups()
        host.hang_up()
        kill(host.guardian_pid)
        host.assert_nothing_left()
    finally:
        host.end()
