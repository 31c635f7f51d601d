"""agenthost as a service of an ordinary user: by his own systemd with lingering, and by the system's with ``User=``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.systemd.inside.service import RESTLESS, SOME, Service, awkward, kill
from tests.systemd.inside.shell import PATIENCE_S, UID, USER, run
from tests.systemd.inside.system import EATER, SLEEPER, python
from tests.waiting import wait_until

Facts = dict[str, Any]


def a_users_own_systemd_gives_a_host_the_cgroup_tier(facts: Facts) -> None:
    run("loginctl", "enable-linger", USER)
    wait_until(lambda: Path(f"/run/user/{UID}/bus").exists(), PATIENCE_S, "the user's systemd listens")
    eater = python("eater", EATER, restart="temporary", limits={"memory": "64MiB"})
    with Service("mine", *awkward(*SOME), eater, of_user=True).install() as service:
        service.start()
        facts["delegated"] = service.cgroup("cgroup.controllers").split()
        found = service.findings()
        cells = facts["cells"] = found["host mine, cells (cgroup)"]
        facts["busy agents"] = found["host mine, busy agents"]
        for what in ("memory of an agent", "number of processes"):
            assert any(f"{what}: limited by cgroup v2" in one for one in cells), cells
        assert "nothing below it outlives it" in " ".join(found["host mine, namespace"])

        def ended() -> list[str]:
            rows = [row for row in service.asked("status", status=None)["tree"] if row["path"] == "/eater"]
            return [row["reason"] for row in rows if not row["pid"]] or ([] if rows else ["it is no longer listed"])

        wait_until(ended, PATIENCE_S, "the eater has ended")

        before, boot = service.look(), service.boot()
        kill(int(service.show("MainPID")))
        service.wait_next(before, boot)
        before, boot, pid = service.look(), service.boot(), service.host_pid()
        assert pid
        kill(int(service.show("MainPID")), pid)
        service.wait_next(before, boot)
        before = service.look()
        service.systemctl("stop", service.name)
        service.wait_none(frozenset(before))
        assert service.show("Result") == "success"


def a_unit_of_the_system_with_a_user_gives_his_host_the_cgroup_tier(facts: Facts) -> None:
    with Service("his", *awkward("daemon", *RESTLESS), SLEEPER, run_as=USER).install() as service:
        service.start()
        found = service.findings()
        cells = facts["cells"] = found["host his, cells (cgroup)"]
        for what in ("memory of an agent", "number of processes", "share of cpu"):
            assert any(f"{what}: limited by cgroup v2" in one for one in cells), cells
        facts["busy agents"] = found["host his, busy agents"]
        before, boot = service.look(), service.boot()
        kill(int(service.show("MainPID")))
        service.wait_next(before, boot)
        before = service.look()
        service.systemctl("stop", service.name)
        service.wait_none(frozenset(before))


CASES = [
    a_users_own_systemd_gives_a_host_the_cgroup_tier,
    a_unit_of_the_system_with_a_user_gives_his_host_the_cgroup_tier,
]
