"""Limits by real processes: what holds them is shown, what cannot be held is said or refused, who runs out is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.containment import tiers
from agenthost.errors import AgenthostError, Down
from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, agent, is_alive, kill, tree

MEMORY = "96MiB"
SLEEP = ["sleep", "1000"]


def needs_group(limit: str) -> None:
    had = tiers.expected_means("cgroup")[limit]
    if not had.whole:
        pytest.skip(had.sentence(limit))


def reasons(host: Running, path: str) -> list[str]:
    return [str(one["fields"]["reason"]) for one in host.events("agent.exited", path)]


def test_a_child_that_runs_out_of_memory_is_the_end_of_its_agent_and_of_all_it_started(start: Start) -> None:
    """With cgroup v1 the kernel takes the child and lets the agent live; the host ends it then."""
    needs_group("memory")
    host = start(
        tree(agent("echo", "Echo"), agent("greedy", "Doer", limits={"memory": MEMORY}, backoff="none")),
        containment="cgroup",
    )
    daemon = "setsid sleep 1000 >/dev/null 2>&1 &"
    host.call("/greedy", {"do": "run", "command": ["sh", "-c", daemon]})
    members = [one["pid"] for one in host.row("/greedy", members=True)["members"]]
    assert len(members) == 2
    with pytest.raises(Down, match="out of memory"):
        host.call("/greedy", {"do": "child_leak"})
    host.wait_event("agent.ready", "/greedy", count=2)
    assert reasons(host, "/greedy") == ["killed: out of memory: its limit is 96 MiB"]
    assert not any(map(is_alive, members))
    assert host.call("/echo", 1) == 1


@pytest.mark.slow
def test_a_kill_from_outside_is_not_called_out_of_memory(start: Start) -> None:
    needs_group("memory")
    host = start(
        tree(
            agent("greedy", "Doer", limits={"memory": MEMORY}, backoff="none"),
            agent("other", "Doer", backoff="none"),
        ),
        containment="cgroup",
    )
    kill(host.pid("/greedy"))
    host.wait_event("agent.ready", "/greedy", count=2)
    with pytest.raises(Down, match="out of memory"):
        host.call("/greedy", {"do": "child_leak"})
    host.wait_event("agent.ready", "/greedy", count=3)
    kill(host.pid("/greedy"))
    kill(host.pid("/other"))
    host.wait_event("agent.ready", "/greedy", count=4)
    host.wait_event("agent.ready", "/other", count=2)
    words = ["killed by SIGKILL", "killed: out of memory: its limit is 96 MiB", "killed by SIGKILL"]
    assert reasons(host, "/greedy") == words
    assert reasons(host, "/other") == ["killed by SIGKILL"]


@pytest.mark.parametrize("tier", ["cgroup", pytest.param("pidns", marks=pytest.mark.slow), "walk"])
def test_what_holds_each_limit_is_shown(start: Start, record_tier: Callable[..., None], tier: str) -> None:
    found = next(one for one in tiers.probe() if one.name == tier)
    record_tier(tier, None if found.available else found.why)
    limits = {"memory": "1GiB", "cpu": 1.5, "cpu_weight": 200, "processes": 500, "open_files": 100, "file_size": "1GiB"}
    host = start(tree(agent("all", "Doer", limits=limits), agent("none", "Echo")), containment=tier, namespace="never")
    had = tiers.expected_means(tier)
    assert host.row("/all")["cell"]["limits"] == {limit: had[limit].by for limit in limits}
    assert host.row("/none")["cell"]["limits"] == {}
    said = [one["text"] for one in host.ask("doctor") if one["subject"] == "limits"]
    assert len(said) == 1 and all(limit in said[0] for limit in limits)
    warned = [one["fields"]["text"] for one in host.events("host.limit_unheld")]
    assert len(warned) == sum(not had[limit].whole for limit in limits)
    assert all(text.endswith(": /all") for text in warned), warned
    for text in warned:
        host.wait_said(text)
    if tier != "cgroup":
        assert "cpu not limited: containment is" in "\n".join(warned)


def outcome(config: Path, *words: str) -> tuple[int, str]:
    """Of ``agenthost check``, or of ``agenthost run`` with a config that is refused."""
    command = [sys.executable, "-m", "agenthost.cli", *words, str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_strict_limit_that_cannot_be_held_is_refused_by_check_and_by_the_host(places: Path) -> None:
    config = places / "strict.yaml"

    def written(containment: str, limits: dict[str, Any]) -> Path:
        worker = {"name": "a", "command": SLEEP, "limits": {**limits, "strict": True}}
        config.write_text(json.dumps({"agenthost": 1, "tree": tree(worker), "containment": containment}))
        return config

    for containment, limits, words in (
        ("walk", {"memory": "1GiB"}, "memory by rlimit only, for each process alone: containment is 'walk'"),
        ("pidns", {"cpu": 0.5}, "cpu not limited: containment is 'pidns'"),
    ):
        for command in ("check", "run"):
            status, said = outcome(written(containment, limits), command)
            assert status == 78 and "cannot start /a under strict limits" in said and words in said, (command, said)
    assert outcome(written("walk", {"open_files": 100, "file_size": "1GiB"}), "check")[0] == 0


def test_a_strict_limit_that_an_agent_or_a_reload_brings_is_refused_too(start: Start) -> None:
    pool = {"name": "pool", "pool": {"command": SLEEP, "limits": {"cpu": 1}, "restart": "temporary"}}
    lead = {"name": "lead", "agent": f"{AGENTS.with_name('families.py')}:Parent"}
    host = start(tree(lead, pool), containment="walk", namespace="never")
    strict = {**pool, "pool": {**pool["pool"], "limits": {"cpu": 1, "strict": True}}}
    fresh = {"agenthost": 1, "name": host.name, "tree": tree(lead, strict), "containment": "walk"}
    host.config.write_text(json.dumps({**fresh, "namespace": "never"}))
    for op in ("plan", "reload"):
        with pytest.raises(AgenthostError, match="cannot start /pool under strict limits: cpu not limited"):
            host.ask(op)
    spec = {"command": SLEEP, "limits": {"memory": "1GiB", "strict": True}}
    begun = host.call("/lead", {"do": "start_child", "name": "strict", "spec": spec})
    assert "cannot start /lead/strict under strict limits: memory by rlimit only" in begun["error"]


@pytest.mark.slow
def test_a_larger_weight_is_more_cpu(start: Start) -> None:
    """On one CPU that both want all of."""
    needs_group("cpu_weight")
    cpu = str(min(os.sched_getaffinity(0)))
    spin = ["taskset", "-c", cpu, "sh", "-c", "while :; do :; done"]
    host = start(
        tree(
            {"name": "light", "command": spin, "limits": {"cpu_weight": 50}},
            {"name": "heavy", "command": spin, "limits": {"cpu_weight": 1000}},
        ),
        containment="cgroup",
    )

    def used() -> dict[str, float]:
        return {path: host.row(path)["cell"]["cpu_s"] for path in ("/light", "/heavy")}

    before = used()

    def enough() -> dict[str, float] | None:
        now = used()
        ran = {path: now[path] - before[path] for path in now}
        return ran if sum(ran.values()) > 3 else None

    ran = host.wait(enough, "both have had their share")
    assert ran["/heavy"] > 4 * ran["/light"], ran
