"""A containment of each tier this machine offers, and births that are ended and reaped whatever the test did."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

import pytest

from agenthost.containment import hierarchy, tiers
from agenthost.containment.cell import Cell, Containment
from agenthost.containment.cgroup import CgroupContainment
from agenthost.core.birth import Limits
from tests.containment.births import Act, Birth, bear
from tests.waiting import wait_until

WITHOUT_KILL_FILE = "cgroup as before Linux 5.14"
WITH_CONTROLLER = "cgroup with a v2 controller"
"""memory, pids and cpu may all be with cgroup v1; then hugetlb, which nothing else wants, stands for them."""
TIERS = ["cgroup", WITHOUT_KILL_FILE, WITH_CONTROLLER, "pidns", "walk"]

probe = functools.lru_cache(maxsize=1)(tiers.probe)


def make(tier: str) -> Containment:
    containment = tiers.choose(tier.split()[0], f"test-{os.getpid()}", 1)
    if tier == WITHOUT_KILL_FILE:
        assert isinstance(containment, CgroupContainment)
        containment.has_kill_file = False
    return containment


@pytest.fixture(params=TIERS)
def containment(
    request: pytest.FixtureRequest, record_tier: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Containment]:
    tier = next(tier for tier in probe() if tier.name == request.param.split()[0])
    if tier.available and request.param == WITH_CONTROLLER:
        monkeypatch.setattr(hierarchy, "CONTROLLERS", (*hierarchy.CONTROLLERS, "hugetlb"))
    made = make(request.param) if tier.available else None
    why = None if tier.available else tier.why
    if request.param == WITH_CONTROLLER and isinstance(made, CgroupContainment) and not made.ground.controllers.v2:
        why = "; ".join(made.ground.controllers.missing.values())
        made.close()
    record_tier(request.param, why)
    assert made
    yield made
    made.close()
    assert [root for root in made.roots() if os.path.exists(root)] == []


@pytest.fixture
def cgroups(record_tier: Callable[..., None]) -> Iterator[CgroupContainment]:
    tier = next(tier for tier in probe() if tier.name == "cgroup")
    record_tier("cgroup", None if tier.available else tier.why)
    made = make("cgroup")
    assert isinstance(made, CgroupContainment)
    yield made
    made.close()


class Nursery:
    """Cells and births of one test; ends them in the end."""

    def __init__(self, containment: Containment) -> None:
        self.containment = containment
        self.births: list[Birth] = []
        self.cells: list[Cell] = []

    def cell(self, path: str = "/team/coder", incarnation: str = "1.1", limits: Limits | None = None) -> Cell:
        self.cells.append(self.containment.cell(path, incarnation, limits or Limits()))
        return self.cells[-1]

    def bear(self, cell: Cell, act: Act, *, attach: bool = True) -> Birth:
        self.births.append(bear(cell, act, attach=attach))
        return self.births[-1]

    def end(self) -> None:
        for cell in self.cells:

            def empty(cell: Cell = cell) -> bool:
                cell.kill()
                for birth in self.births:
                    birth.reap()
                return cell.is_empty()

            wait_until(empty, what=f"a cell is empty, {cell.members()} live")
        for birth in self.births:
            wait_until(birth.none_left, what=f"all of {birth.pid} are gone")
            birth.forget()
        for cell in reversed(self.cells):
            cell.close()


@pytest.fixture
def nursery(containment: Containment) -> Iterator[Nursery]:
    made = Nursery(containment)
    yield made
    made.end()


@pytest.fixture
def cgroup_nursery(cgroups: CgroupContainment) -> Iterator[Nursery]:
    made = Nursery(cgroups)
    yield made
    made.end()
