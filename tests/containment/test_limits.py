"""Limits that hold for a cell as a whole, by whatever controllers this machine lets us have."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from agenthost.containment import hierarchy
from agenthost.containment.allotment import CPU_PERIOD_US, LOW_V1_SHARES, settings
from agenthost.containment.cgroup import CgroupContainment
from agenthost.core.birth import Limits
from tests.containment import births
from tests.containment.births import Act, Say
from tests.containment.conftest import Nursery
from tests.waiting import wait_until

MEMORY_BYTES = 64 * 2**20


def needs(nursery: Nursery, controller: str) -> None:
    assert isinstance(nursery.containment, CgroupContainment)
    had = nursery.containment.ground.controllers
    if controller in had.missing:
        pytest.skip(f"no {controller} controller: {had.missing[controller]}")


def test_memory_beyond_the_limit_is_death_and_is_counted(cgroup_nursery: Nursery) -> None:
    needs(cgroup_nursery, "memory")
    cell = cgroup_nursery.cell(limits=Limits(memory_bytes=MEMORY_BYTES))
    birth = cgroup_nursery.bear(cell, births.hungry)
    wait_until(birth.reap)
    assert birth.status is not None and os.waitstatus_to_exitcode(birth.status) == -9
    assert cell.out_of_memory_kills() == 1


def test_memory_is_what_the_kernel_charges(cgroup_nursery: Nursery) -> None:
    needs(cgroup_nursery, "memory")
    cell = cgroup_nursery.cell(limits=Limits(memory_bytes=MEMORY_BYTES))

    def takes(say: Say) -> None:
        held = bytearray(b"x" * 20_000_000)
        say()
        births.rest()
        del held

    cgroup_nursery.bear(cell, takes).wait_said(1)
    used = cell.usage().memory_bytes
    assert used and 20_000_000 <= used <= MEMORY_BYTES
    assert cell.out_of_memory_kills() == 0


def test_an_agent_cannot_have_more_processes_than_its_limit(cgroup_nursery: Nursery) -> None:
    needs(cgroup_nursery, "pids")
    cell = cgroup_nursery.cell(limits=Limits(processes=10))
    cgroup_nursery.bear(cell, counts_forks(30)).wait_said(10 + 21)
    assert cell.usage().processes == 10


def counts_forks(wanted: int) -> Act:
    """Says so for each process that lives and for each that was refused."""

    def act(say: Say) -> None:
        for _ in range(wanted):
            try:
                births.child(lambda: births.plain(say))
            except OSError:
                say()
        births.plain(say)

    return act


def test_a_cell_in_a_limited_cell_counts_towards_its_limit(cgroup_nursery: Nursery) -> None:
    needs(cgroup_nursery, "pids")
    outer = cgroup_nursery.cell("/planner", "1.1", limits=Limits(processes=10))
    cgroup_nursery.bear(outer, births.plain).wait_said(1)
    inner = cgroup_nursery.cell("/planner/sub", "1.2")
    cgroup_nursery.bear(inner, counts_forks(30)).wait_said(9 + 22)
    assert outer.usage().processes == 10
    narrow = cgroup_nursery.cell("/planner/sub/tool", "1.3", limits=Limits(processes=100))
    assert len(narrow.order().join) == len(outer.order().join)


def test_a_share_of_cpu_is_kept(cgroup_nursery: Nursery) -> None:
    needs(cgroup_nursery, "cpu")
    cell = cgroup_nursery.cell(limits=Limits(cpu_cores=0.1))
    cgroup_nursery.bear(cell, births.busy).wait_said(1)
    began, used = time.monotonic(), cell.usage().cpu_s or 0
    wait_until(lambda: time.monotonic() - began > 1)
    assert (cell.usage().cpu_s or 0) - used < 0.1 * (time.monotonic() - began) + 0.1


def test_agents_have_the_lowest_cpu_weight_and_the_host_has_not(cgroup_nursery: Nursery) -> None:
    needs(cgroup_nursery, "cpu")
    assert isinstance(cgroup_nursery.containment, CgroupContainment)
    v1 = cgroup_nursery.containment.ground.controllers.v1
    if "cpu" not in v1:
        pytest.skip("the cpu controller is cgroup v2's here: born inside, nothing to join")
    birth = cgroup_nursery.bear(cgroup_nursery.cell(), births.plain)
    birth.wait_said(1)
    folder = hierarchy.own_folders()["cpu"]
    entry = hierarchy.entries(birth.pid)["cpu"]
    assert entry == hierarchy.entry_of(v1["cpu"])
    assert hierarchy.read(f"{v1['cpu']}/cpu.shares").strip() == str(LOW_V1_SHARES)
    assert not folder.startswith(v1["cpu"])


def test_a_process_that_did_not_join_is_moved_when_it_is_attached(cgroup_nursery: Nursery) -> None:
    needs(cgroup_nursery, "pids")
    cell = cgroup_nursery.cell(limits=Limits(processes=5))
    wanted = [os.path.dirname(file) for file in cell.order().join]
    pid = births.child(births.rest)
    pidfd = os.pidfd_open(pid)
    cell.attach(pid, pidfd)
    os.close(pidfd)
    found = hierarchy.entries(pid)
    assert cell.members() == [pid]
    assert {hierarchy.entry_of(folder) for folder in wanted} <= set(found.values())
    cell.kill()
    os.waitpid(pid, 0)


def test_limits_leave_no_group_behind(cgroup_nursery: Nursery) -> None:
    assert isinstance(cgroup_nursery.containment, CgroupContainment)
    ground = cgroup_nursery.containment.ground
    places = [ground.agents, *ground.controllers.v1.values()]

    def groups() -> list[list[str]]:
        return [hierarchy.subfolders_deep(place) for place in places]

    before = groups()
    cell = cgroup_nursery.cell("/a/b/c", "1.1", Limits(memory_bytes=MEMORY_BYTES, processes=9, cpu_cores=1))
    assert groups() != before
    cell.close()
    assert groups() == before


@pytest.mark.parametrize(
    ("limits", "controller", "v2", "wanted"),
    [
        (Limits(), "memory", True, {}),
        (
            Limits(memory_bytes=4096),
            "memory",
            True,
            {"memory.max": "4096", "memory.swap.max": "0", "memory.oom.group": "1"},
        ),
        (Limits(processes=3), "pids", True, {"pids.max": "3"}),
        (Limits(cpu_cores=0.5), "cpu", True, {"cpu.max": f"50000 {CPU_PERIOD_US}"}),
        (Limits(cpu_cores=0.00001), "cpu", False, {"cpu.cfs_quota_us": "1000"}),
        (Limits(processes=3), "cpu", True, {}),
    ],
)
def test_settings_of_a_limit(limits: Limits, controller: str, v2: bool, wanted: dict[str, str]) -> None:
    assert settings(limits, controller, v2) == wanted


def test_a_limit_that_the_kernel_refuses_is_an_error_and_leaves_nothing(
    cgroup_nursery: Nursery, record_tier: Callable[..., None]
) -> None:
    needs(cgroup_nursery, "pids")
    from agenthost.errors import ContainmentError

    with pytest.raises(ContainmentError, match="cannot limit /coder"):
        cgroup_nursery.containment.cell("/coder", "1.1", Limits(processes=-5))
    cgroup_nursery.cell("/coder", "1.1")
