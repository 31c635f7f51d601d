"""Who computes without pause gives way to everybody, as long as he does, and never starves for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agenthost.containment import hierarchy, pace, precedence
from tests.guardian.driving import interpreter_for
from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, agent, tree
from tests.host.test_children import _missing, begin, echo, owner

SPIN = "while :; do :; done"
can_change = pytest.mark.skipif(bool(precedence.refusal()), reason=precedence.refusal() or "it can")
NOBODY = 65534


def computes(host: Running, path: str) -> bool:
    return "computing" in host.row(path)["flags"]


def policies(host: Running, path: str) -> set[int]:
    """Of all threads of all it started, seen from outside."""
    found = set()
    for one in host.row(path, members=True)["members"]:
        for tid in pace.threads(one["pid"] or 0):
            try:
                found.add(os.sched_getscheduler(tid))
            except ProcessLookupError:
                continue
    return found


def cpu_group(pid: int) -> str:
    """The folder of the process's group with the cpu controller of cgroup v1."""
    with open("/proc/self/mountinfo", "rb") as file:
        found = hierarchy.folders(hierarchy.parse_mounts(file.read()), hierarchy.entries(pid))
    if "cpu" not in found:
        pytest.skip("there are no cpu groups of cgroup v1 here")
    return found["cpu"]


@contextmanager
def foreign_load(group: str = "") -> Iterator[None]:
    """Processes of somebody else that fill every CPU; in a cpu group, if one is given."""
    spinners = []
    try:
        for cpu in os.sched_getaffinity(0):
            code = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
            spinners.append(subprocess.Popen([sys.executable, "-c", code]))
            if group:
                hierarchy.write(f"{group}/cgroup.procs", str(spinners[-1].pid))
        yield
    finally:
        for one in spinners:
            one.kill()
            one.wait()


@pytest.mark.slow
@can_change
def test_an_agent_that_computes_gives_way_until_its_turn_ends(start: Start) -> None:
    host = start(tree(agent("doer", "Doer"), agent("echo", "Echo")))
    host.client.send("/doer", {"do": "compute", "s": 6}, durable=False)
    host.wait(lambda: computes(host, "/doer"), "it gives way")
    assert policies(host, "/doer") == {os.SCHED_IDLE}
    assert policies(host, "/echo") == {os.SCHED_OTHER}
    host.call("/doer", {"do": "pid"})  # is handled after that turn
    host.wait(lambda: not computes(host, "/doer"), "it does not give way any more")
    host.wait(lambda: policies(host, "/doer") == {os.SCHED_OTHER}, "it has the ordinary policy")
    assert host.row("/doer")["restarts"] == 0


@pytest.mark.slow
@can_change
@pytest.mark.parametrize("containment", ["cgroup", "pidns", "walk"])
def test_a_busy_child_gives_way_and_its_owner_and_siblings_do_not(
    start: Start, record_tier: Any, containment: str
) -> None:
    record_tier(containment, _missing(containment))
    host = start(tree(owner()), containment=containment)
    begin(host, "/boss", "sub", {"agent": f"{AGENTS}:Doer"})
    begin(host, "/boss", "sibling", echo())
    for turn in (1, 2):  # it is as it was afterwards
        host.client.send("/boss/sub", {"do": "compute", "s": 8 * turn}, durable=False)
        host.wait(lambda: computes(host, "/boss/sub"), "it gives way")
        while "busy" in host.row("/boss/sub")["flags"]:
            assert not computes(host, "/boss") and not computes(host, "/boss/sibling")
            assert policies(host, "/boss/sibling") == {os.SCHED_OTHER}
        host.wait(lambda: not computes(host, "/boss/sub"), "it has rested")
        host.wait(lambda: policies(host, "/boss/sub") == {os.SCHED_OTHER}, "it has the ordinary policy")


@pytest.mark.slow
@can_change
def test_two_that_call_each_other_all_the_time_do_not_compute(start: Start) -> None:
    host = start(tree(agent("hog", "Doer", shutdown="kill"), agent("a", "Doer"), agent("b", "Echo")))
    host.client.send("/hog", {"do": "spin"}, durable=False)
    host.client.send("/a", {"do": "many", "path": "/b", "n": 50_000}, durable=False)
    host.wait(lambda: "busy" in host.row("/a")["flags"], "they talk")
    host.wait(lambda: computes(host, "/hog"), "the other one computes")
    while "busy" in host.row("/a")["flags"]:
        assert not computes(host, "/a") and not computes(host, "/b")


@pytest.mark.slow
@can_change
def test_a_program_gives_way_with_all_it_started_and_has_it_back_when_it_rests(start: Start) -> None:
    crowd = f"for i in $(seq 400); do sleep 1000 & done; {SPIN}"
    host = start(tree({"name": "p", "command": ["/bin/sh", "-c", crowd], "shutdown": "kill"}))
    host.wait(lambda: len(host.row("/p", members=True)["members"]) > 400, "all are there")
    host.wait(lambda: computes(host, "/p"), "it gives way")
    host.wait(lambda: policies(host, "/p") == {os.SCHED_IDLE}, "all of it does")
    os.kill(host.pid("/p"), signal.SIGSTOP)
    host.wait(lambda: not computes(host, "/p"), "it rests")
    host.wait(lambda: policies(host, "/p") == {os.SCHED_OTHER}, "all have the ordinary policy")


@pytest.mark.slow
@can_change
def test_a_crowd_of_which_each_runs_but_once_in_a_while_gives_way_and_stays_so(start: Start) -> None:
    """More than are measured one by one: of a crowd, those may have had no turn for seconds."""
    crowd = f"for i in $(seq 300); do ({SPIN}) & done; wait"
    host = start(tree({"name": "crowd", "command": ["sh", "-c", crowd]}))
    host.wait(lambda: computes(host, "/crowd"), "it gives way")
    host.wait(lambda: policies(host, "/crowd") == {os.SCHED_IDLE}, "all of it does")
    for _ in range(5):
        at = cpu_s(host, "/crowd")
        host.wait(lambda: cpu_s(host, "/crowd") > at + 1, "it has computed for another second")  # noqa: B023
        assert computes(host, "/crowd") and policies(host, "/crowd") == {os.SCHED_IDLE}


@pytest.mark.slow
@can_change
def test_who_is_starved_by_foreign_processes_is_let_go_and_not_called_silent(start: Start) -> None:
    """They are put into its cpu group: from outside, that has a weight of its own, which leaves it a seventeenth."""
    host = start(tree(agent("hog", "Doer", shutdown="kill", turn={"silence": "4s"})), containment="cgroup")
    group = cpu_group(host.pid("/hog"))
    host.client.send("/hog", {"do": "spin"}, durable=False)
    host.wait(lambda: computes(host, "/hog"), "it gives way")
    with foreign_load(group):
        host.wait(lambda: not computes(host, "/hog"), "it is let go")
        host.wait(lambda: policies(host, "/hog") == {os.SCHED_OTHER}, "it has the ordinary policy")
        seen = cpu_s(host, "/hog")
        host.wait(lambda: cpu_s(host, "/hog") > seen + 2, "it goes on")
    host.wait(lambda: computes(host, "/hog"), "it gives way again")
    assert host.row("/hog")["restarts"] == 0


@pytest.mark.slow
@can_change
def test_beside_foreign_processes_it_is_not_called_silent(start: Start) -> None:
    host = start(tree(agent("hog", "Doer", shutdown="kill", turn={"silence": "3s"})))
    host.client.send("/hog", {"do": "spin"}, durable=False)
    host.wait(lambda: computes(host, "/hog"), "it gives way")
    with foreign_load():
        began = time.monotonic()
        host.wait(lambda: time.monotonic() > began + 10, "three times as long as it may be silent")
    assert host.row("/hog")["restarts"] == 0


@pytest.mark.slow
@can_change
def test_who_is_silent_by_himself_is_found_all_the_same(start: Start) -> None:
    host = start(tree(agent("hog", "Doer", shutdown="kill", turn={"silence": "4s"})))
    host.client.send("/hog", {"do": "hog", "after": 1.5}, durable=False)
    record = host.wait_event("agent.exited", "/hog")
    assert "no beat for 4 s" in record["fields"]["reason"]


@pytest.mark.slow
def test_where_it_cannot_be_undone_nobody_gives_way_and_doctor_says_so(start: Start) -> None:
    if os.getuid() != 0 or interpreter_for(NOBODY) is None:
        pytest.skip("only root can start a host of another user, with a Python that he can run")
    host = start(tree(agent("hog", "Doer", shutdown="kill")), uid=NOBODY)
    (said,) = [one for one in host.ask("doctor") if one["subject"] == "busy agents"]
    assert not said["ok"] and "LimitNICE" in said["text"]
    host.client.send("/hog", {"do": "spin"}, durable=False)
    host.wait(lambda: "busy" in host.row("/hog")["flags"], "it computes")
    host.wait(lambda: cpu_s(host, "/hog") > 4, "it has computed for seconds")
    assert not computes(host, "/hog") and policies(host, "/hog") == {os.SCHED_OTHER}


@can_change
def test_doctor_says_that_busy_agents_give_way(start: Start) -> None:
    (said,) = [one for one in start(tree(agent("echo", "Echo"))).ask("doctor") if one["subject"] == "busy agents"]
    assert said["ok"]


@can_change
def test_doctor_says_where_sessions_are_kept_apart(start: Start) -> None:
    host = start(tree(agent("echo", "Echo")), containment="pidns")
    (said,) = [one for one in host.ask("doctor") if one["subject"] == "busy agents"]
    apart = Path("/proc/sys/kernel/sched_autogroup_enabled")
    assert said["ok"] == (not apart.exists() or apart.read_text().strip() == "0")
    assert said["ok"] or "sched_autogroup_enabled=0" in said["text"]


def cpu_s(host: Running, path: str) -> Any:
    return host.row(path)["cell"]["cpu_s"]
