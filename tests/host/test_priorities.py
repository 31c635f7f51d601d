"""Who comes first: the host and what it needs before all agents, on the CPU and when memory runs out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agenthost.guardian.order import NICER
from agenthost.launch.lean import OOM_SCORE
from tests.host.conftest import Start
from tests.host.running import NOBODY, Running, agent, tree

CAP_SYS_NICE, CAP_SYS_RESOURCE = 1 << 23, 1 << 24


def nice(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def can(capability: int) -> bool:
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) & capability)


def above(host: Running) -> dict[str, int]:
    """Guardian, init, host, router, logger, and what else is the host's own."""
    found = {one["what"]: one["pid"] for one in host.ask("ps") if not one["what"].startswith("zygote")}
    parent = int(Path(f"/proc/{found['host']}/stat").read_text().rpartition(")")[2].split()[1])
    return {**found, "guardian": host.guardian_pid, "init": parent}


def below(host: Running) -> dict[str, int]:
    """Zygotes, agents, programs, what these have started."""
    found = {f"zygote {pid}": pid for pid in host.own_pids("zygote of")}
    for path, row in host.rows(members=True).items():
        found |= {f"{path} {one['name']} {one['pid']}": one["pid"] for one in row.get("members", ())}
    return found


@pytest.mark.parametrize(
    "tier", ["cgroup", *(pytest.param(tier, marks=pytest.mark.slow) for tier in ("pidns", "walk"))]
)
def test_every_process_of_the_host_comes_before_every_agent(
    start: Start, record_tier: Callable[..., None], tier: str
) -> None:
    from agenthost.containment import tiers

    offered = next(one for one in tiers.probe() if one.name == tier)
    record_tier(tier, None if offered.available else offered.why)
    script = "sleep 1000 & echo born; wait"
    host = start(
        tree(
            agent("doer", "Doer"),
            {"name": "program", "command": ["sh", "-c", script], "ready": {"line": "born"}},
        ),
        containment=tier,
    )
    first, last = above(host), below(host)
    assert {"host", "router", "logger"} < first.keys() and len(last) >= 5, last
    ours = nice(0)
    wanted = max(-20, ours - NICER) if can(CAP_SYS_NICE) and os.geteuid() == 0 else ours
    assert {name: nice(pid) for name, pid in first.items()} == dict.fromkeys(first, wanted)
    assert {name: nice(pid) for name, pid in last.items()} == dict.fromkeys(last, ours)
    assert {name: oom_score(pid) for name, pid in last.items()} == dict.fromkeys(last, OOM_SCORE)
    scores = {name: oom_score(pid) for name, pid in first.items()}
    if can(CAP_SYS_RESOURCE):
        assert max(scores.values()) <= -900 and scores["guardian"] < scores["host"], scores
    else:
        assert max(scores.values()) <= max(0, oom_score(os.getpid())) < OOM_SCORE, scores
    said = {one["subject"]: one["ok"] for one in host.ask("doctor")}
    assert said["priority"] == (wanted < ours)


@pytest.mark.root
def test_agents_of_another_user_are_no_better_off(start: Start) -> None:
    host = start(tree(agent("doer", "Doer", user="nobody", cwd="/")), for_all=True)
    pid = host.pid("/doer")
    assert (nice(pid), oom_score(pid)) == (nice(0), OOM_SCORE)
    lower = "import os\ntry: os.nice(-1)\nexcept OSError as error: print('refused')"
    done = host.call("/doer", {"do": "run", "command": [host.python, "-c", lower]})
    assert done["out"].strip() == "refused"


@pytest.mark.root
@pytest.mark.slow
def test_without_the_right_the_host_runs_as_nice_as_its_agents_and_says_so(start: Start) -> None:
    host = start(tree(agent("doer", "Doer")), uid=NOBODY)
    pids = [*above(host).values(), *below(host).values()]
    assert {nice(pid) for pid in pids} == {nice(0)}
    [said] = [one for one in host.ask("doctor") if one["subject"] == "priority"]
    assert not said["ok"] and "LimitNICE=" in said["text"]
