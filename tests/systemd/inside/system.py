"""agenthost as a service of the system, as root. The cases of one service with the whole corpus come first."""

from __future__ import annotations

import functools
import os
import signal
import time
from typing import Any

from tests.systemd.inside.service import PROGRAMS, Service, awkward, kill
from tests.systemd.inside.shell import AGENTHOST, PATIENCE_S, run
from tests.waiting import wait_until

Facts = dict[str, Any]

SLEEPER = {"name": "sleeper", "command": ["sleep", "1000000"], "shutdown": "1s"}
EATER = "import os; os.fork(); food = []\nwhile True: food.append(b'x' * (1 << 20))"
FORKER = """
import os, time
try:
    for _ in range(40):
        os.fork() or time.sleep(1000)
except OSError:
    print("full", flush=True)
time.sleep(1000)
"""
SPINNER = "import os; os.fork(); print('spins', flush=True)\nwhile True: pass"


@functools.cache
def corpus() -> Service:
    return Service("corpus", *awkward(*PROGRAMS)).install()


def python(name: str, code: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "command": ["/usr/bin/python3", "-S", "-c", code], "start_timeout": "100s", **keys}


# ---- the corpus


def a_start_returns_when_the_whole_tree_is_ready(facts: Facts) -> None:
    began = time.monotonic()
    service = corpus().start()
    facts["start_s"] = round(time.monotonic() - began, 1)
    states = {row["path"]: row["state"] for row in service.asked("status")["tree"]}
    assert set(states.values()) == {"ready"} and len(states) == len(PROGRAMS) + 1, states
    said = service.systemctl("status", service.name)
    assert "Active: active (running)" in said and 'Status: "host is ready"' in said, said
    facts["processes"] = len(service.look())


def the_tier_is_cgroup_and_every_controller_is_had(facts: Facts) -> None:
    service = corpus()
    found = service.findings()
    cells = facts["cells"] = found["host corpus, cells (cgroup)"]
    for what in ("memory of an agent", "number of processes", "share of cpu"):
        assert any(f"{what}: limited by cgroup v2" in one for one in cells), cells
    assert {"memory", "pids", "cpu"} <= set(service.cgroup("cgroup.subtree_control").split())
    assert service.cgroup("cgroup.procs") == "", "nobody stands in the unit's cgroup itself"
    assert "nothing below it outlives it" in " ".join(found["host corpus, namespace"])


def a_reload_by_systemctl_reads_the_config_again(facts: Facts) -> None:
    service = corpus()
    service.write_config(*awkward(*PROGRAMS), SLEEPER)
    service.systemctl("reload", service.name)
    wait_until(lambda: "/sleeper" in [row["path"] for row in service.asked("status")["tree"]], PATIENCE_S)
    assert service.show("NRestarts") == "0"


def a_killed_host_is_started_again_by_its_guardian_and_nothing_is_left(facts: Facts) -> None:
    service = corpus()
    before, boot, guardian = service.look(), service.boot(), service.show("MainPID")
    pid = service.host_pid()
    assert pid
    kill(pid)
    service.wait_next(before, boot)
    assert (service.show("MainPID"), service.show("NRestarts")) == (guardian, "0")


def a_killed_guardian_is_started_again_by_systemd_and_nothing_is_left(facts: Facts) -> None:
    service = corpus()
    before, boot = service.look(), service.boot()
    kill(int(service.show("MainPID")))
    service.wait_next(before, boot)
    assert service.show("NRestarts") == "1"


def host_and_guardian_killed_at_once_are_started_again_and_nothing_is_left(facts: Facts) -> None:
    service = corpus()
    before, boot, pid = service.look(), service.boot(), service.host_pid()
    assert pid
    kill(int(service.show("MainPID")), pid)
    service.wait_next(before, boot)
    assert service.show("NRestarts") == "2"


def a_stop_empties_everything(facts: Facts) -> None:
    service = corpus()
    before = service.look()
    began = time.monotonic()
    service.systemctl("stop", service.name)
    facts["stop_s"] = round(time.monotonic() - began, 1)
    service.wait_none(frozenset(before))
    shown = service.show("ActiveState"), service.show("Result"), service.show("ExecMainStatus")
    assert shown == ("inactive", "success", "0"), shown
    service.remove()


# ---- others


def limits_are_enforced_by_the_kernel(facts: Facts) -> None:
    agents = [
        SLEEPER,
        python("eater", EATER, restart="temporary", limits={"memory": "64MiB"}),
        python("forker", FORKER, limits={"processes": 10}, ready={"line": "full"}),
        python("spinner", SPINNER, limits={"cpu": 0.25, "memory": "64MiB"}, ready={"line": "spins"}),
    ]
    with Service("limits", *agents).install() as service:
        service.start()

        def row() -> dict[str, Any]:
            rows: list[dict[str, Any]] = service.asked("status", status=None)["tree"]
            return next((row for row in rows if row["path"] == "/eater"), {})

        wait_until(lambda: not row().get("pid"), PATIENCE_S, "the eater has ended")
        told = [line for line in service_said(service) if "/eater" in line and "agent.e" in line]
        facts["eater"] = told
        assert any("out of memory" in line for line in told), told
        spinner, forker = service.cell("spinner"), service.cell("forker")
        assert (spinner / "memory.max").read_text() == f"{64 << 20}\n"
        assert (spinner / "memory.oom.group").read_text() == "1\n"
        assert (forker / "pids.max").read_text() == "10\n"
        assert (forker / "pids.current").read_text() == "10\n"
        assert _field(forker / "pids.events", "max") >= 1
        since, used = time.monotonic(), _field(spinner / "cpu.stat", "usage_usec")
        periods = _field(spinner / "cpu.stat", "nr_periods")
        wait_until(lambda: _field(spinner / "cpu.stat", "nr_periods") > periods + 50, PATIENCE_S)
        cores = (_field(spinner / "cpu.stat", "usage_usec") - used) / 1e6 / (time.monotonic() - since)
        facts["cores"] = round(cores, 3)
        assert cores < 0.35 and _field(spinner / "cpu.stat", "nr_throttled") > 0
        shown = service.show("ActiveState"), service.show("NRestarts"), service.show("Result")
        assert shown == ("active", "0", "success"), f"OOMPolicy=continue: {shown}"


def service_said(service: Service) -> list[str]:
    return run("journalctl", "--unit", service.name, "-o", "cat", "--no-pager").splitlines()


def _field(file: Any, name: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.split()[0] == name)


def without_delegation_the_doctor_says_what_to_add(facts: Facts) -> None:
    with Service("undelegated", SLEEPER).install("Delegate=no") as service:
        service.start()
        cells = facts["cells"] = service.findings()["host undelegated, cells (cgroup)"]
        assert any("memory" in one and "Delegate=yes" in one for one in cells), cells


def a_guardian_that_stands_still_is_ended_by_the_watchdog(facts: Facts) -> None:
    with Service("still", SLEEPER, *awkward("daemon", "relay")).install("WatchdogSec=8s") as service:
        service.start()
        before, boot = service.look(), service.boot()
        began = time.monotonic()
        os.kill(int(service.show("MainPID")), signal.SIGSTOP)
        service.wait_next(before, boot)
        facts["again_s"] = round(time.monotonic() - began, 1)
        assert service.show("NRestarts") == "1"
        assert any("Watchdog timeout" in line for line in service_said(service))


def what_another_try_cannot_mend_is_not_tried_again(facts: Facts) -> None:
    commands = {
        "2": f"{AGENTHOST} run --nonsense x.yaml",
        "75": "",
        "77": "/bin/sh -c 'exit 77'",
        "78": f"{AGENTHOST} run /etc/hostname",
    }
    with Service("first", SLEEPER).install() as first:
        first.start()
        for status, command in commands.items():
            command = command or f"{AGENTHOST} run --name {first.name} {first.config}"
            with Service("second", SLEEPER).install("ExecStart=", f"ExecStart={command}") as second:
                second.systemctl("start", second.name, status=1)
                second.wait_shown("ActiveState", "failed")
                shown = second.show("ExecMainStatus"), second.show("NRestarts")
                assert shown == (status, "0"), f"{command}: {shown}"


def what_may_be_mended_is_tried_again_but_not_for_ever(facts: Facts) -> None:
    """By the unit's own limit of starts; a shell stands for a host whose tree gave up, to be quick."""
    lines = ("RestartSec=100ms", "ExecStart=", "ExecStart=/bin/sh -c 'exit 1'")
    with Service("failing", SLEEPER).install(*lines) as service:
        service.systemctl("start", service.name, status=1)
        service.wait_shown("ActiveState", "failed")
        assert service.show("NRestarts") == "5"
        assert any("Start request repeated too quickly" in line for line in service_said(service))


CASES = [
    a_start_returns_when_the_whole_tree_is_ready,
    the_tier_is_cgroup_and_every_controller_is_had,
    a_reload_by_systemctl_reads_the_config_again,
    a_killed_host_is_started_again_by_its_guardian_and_nothing_is_left,
    a_killed_guardian_is_started_again_by_systemd_and_nothing_is_left,
    host_and_guardian_killed_at_once_are_started_again_and_nothing_is_left,
    a_stop_empties_everything,
    limits_are_enforced_by_the_kernel,
    without_delegation_the_doctor_says_what_to_add,
    a_guardian_that_stands_still_is_ended_by_the_watchdog,
    what_another_try_cannot_mend_is_not_tried_again,
    what_may_be_mended_is_tried_again_but_not_for_ever,
]
