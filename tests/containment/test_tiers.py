"""The choice of a tier: tried for real, strongest first, never silently another one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agenthost
from agenthost.containment import ground, hierarchy, tiers
from agenthost.containment.pidns import PidnsContainment
from agenthost.core.birth import Limits
from agenthost.errors import ContainmentError
from tests.containment import births
from tests.containment.births import bear
from tests.containment.conftest import probe
from tests.waiting import wait_until

CODE = Path(agenthost.__file__).resolve().parent.parent
NOBODY = 65534


def as_nobody(*arguments: str, inside: str = "") -> subprocess.CompletedProcess[str]:
    """Run our Python as a user without rights, in the cgroup ``inside``. It keeps the one right to read and enter all
    folders, because our Python may lie in one that only root may enter; containment has no use for that right."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else; all other tests have run as a user without rights")
    setpriv = shutil.which("setpriv")
    if not setpriv:
        pytest.skip("there is no setpriv (util-linux)")
    keep = "dac_read_search"
    who = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    caps = [f"--inh-caps=-all,+{keep}", f"--ambient-caps=-all,+{keep}", f"--bounding-set=-all,+{keep}"]
    enter = ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', inside] if inside else []
    return subprocess.run(
        [*enter, setpriv, *who, *caps, sys.executable, "-B", *arguments],
        cwd=CODE,
        env={**os.environ, "HOME": "/tmp", "PYTHONPATH": str(CODE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=350,
    )


@pytest.fixture
def delegated() -> Iterator[str]:
    """A cgroup that belongs to a user without rights, with a controller on offer: what systemd's Delegate=yes makes."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a cgroup away")
    if not probe()[0].available:
        pytest.skip(probe()[0].why)
    own = ground.own_folders()[""]
    control = f"{own}/cgroup.subtree_control"
    enable = "hugetlb" in hierarchy.read(f"{own}/cgroup.controllers") and "hugetlb" not in hierarchy.read(control)
    if enable:
        hierarchy.write(control, "+hugetlb")
    folder = f"{own}/unit-{os.getpid()}.service"
    os.mkdir(folder)
    for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(os.path.join(folder, name), NOBODY, NOBODY)
    yield folder
    wait_until(lambda: hierarchy.try_remove(folder), what=f"{hierarchy.processes(folder)} have left {folder}")
    if enable:
        turn_off(control)


def turn_off(control: str) -> None:
    try:
        hierarchy.write(control, "-hugetlb")
    except OSError as error:
        if error.errno != errno.EBUSY:  # EBUSY: another run of these tests uses it now
            raise


def test_every_tier_is_tried_and_explained_strongest_first() -> None:
    found = tiers.probe()
    assert [tier.name for tier in found] == ["cgroup", "pidns", "walk"]
    assert all(len(tier.why) > 15 for tier in found)
    assert any(tier.available for tier in found)


def test_auto_is_the_strongest_that_is_available() -> None:
    best = next(tier.name for tier in probe() if tier.available)
    containment = tiers.choose("auto", f"auto-{os.getpid()}", 1)
    assert containment.tier == best
    containment.close()


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(ContainmentError, match="no such tier; use auto"):
        tiers.choose("docker", "x", 1)


def test_a_forced_tier_that_is_refused_is_an_error_with_the_reason() -> None:
    """As a user who may not make cgroups."""
    code = (
        "from agenthost.containment import tiers\n"
        "from agenthost.errors import ContainmentError\n"
        "try: tiers.choose('cgroup', 'x', 1)\n"
        "except ContainmentError as error: print(error)\n"
    )
    said = as_nobody("-c", code).stdout
    assert said.startswith("cannot contain by cgroup: cannot use cgroups below /")
    assert "Delegate=yes" in said


def test_a_process_that_is_no_init_is_refused_by_pidns() -> None:
    cell = PidnsContainment(user_namespace=False).cell("/coder", "1.1", Limits())
    pid = births.child(births.rest)
    pidfd = os.pidfd_open(pid)
    with pytest.raises(ContainmentError, match="not the init of a PID namespace"):
        cell.attach(pid, pidfd)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(pidfd)


def test_the_host_stands_in_the_system_group_and_goes_back_when_it_closes() -> None:
    if not probe()[0].available:
        pytest.skip(probe()[0].why)
    before = hierarchy.entries()
    containment = tiers.choose("cgroup", f"place-{os.getpid()}", 3)
    assert hierarchy.entries()[""].endswith(f"/agenthost-place-{os.getpid()}-3/system")
    assert ground.outer(hierarchy.own_folders()[""]) + f"/agenthost-place-{os.getpid()}-3" == containment.roots()[0]
    containment.close()
    assert hierarchy.entries() == before


def test_a_host_does_not_close_over_living_agents() -> None:
    if not probe()[0].available:
        pytest.skip(probe()[0].why)
    containment = tiers.choose("cgroup", f"close-{os.getpid()}", 1)
    cell = containment.cell("/coder", "1.1", Limits())
    birth = bear(cell, births.plain)
    birth.wait_said(1)
    with pytest.raises(ContainmentError, match="1 processes live"):
        containment.close()
    cell.kill()
    birth_gone = os.waitpid(birth.pid, 0)
    assert birth_gone[0] == birth.pid
    containment.close()
    birth.forget()


def test_two_hosts_can_share_an_entry_and_close_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also their controllers: who turned one on cannot turn it off while the other uses it."""
    if not probe()[0].available:
        pytest.skip(probe()[0].why)
    monkeypatch.setattr(hierarchy, "CONTROLLERS", (*hierarchy.CONTROLLERS, "hugetlb"))
    control = f"{ground.own_folders()['']}/cgroup.subtree_control"
    was_on = "hugetlb" in hierarchy.read(control)
    first = tiers.choose("cgroup", f"first-{os.getpid()}", 1)
    second = tiers.choose("cgroup", f"second-{os.getpid()}", 1)
    cell = second.cell("/coder", "1.1", Limits())
    first.close()
    birth = bear(cell, births.plain)
    birth.wait_said(1)
    cell.kill()
    os.waitpid(birth.pid, 0)
    birth.forget()
    second.close()
    if not was_on:
        turn_off(control)  # the first could not, the second does not know who turned it on
    assert not [root for root in (*first.roots(), *second.roots()) if os.path.exists(root)]


@pytest.mark.parametrize(
    ("folder", "host", "boot"),
    [
        ("/x/agenthost-team-7", "team", 7),
        ("/x/agenthost-team-2-7", "team", None),
        ("/x/agenthost-team-2-7", "team-2", 7),
        ("/x/agenthost-a%2Fb-7", "a/b", 7),
        ("/x/agenthost-team-", "team", None),
        ("/x/team-7", "team", None),
    ],
)
def test_a_host_knows_its_own_folders(folder: str, host: str, boot: int | None) -> None:
    assert ground.parse_base(folder, host) == boot


@pytest.mark.parametrize(
    ("folder", "outer"),
    [
        ("/c/unit", "/c/unit"),
        ("/c/unit/agenthost-guardian", "/c/unit"),
        ("/c/unit/agenthost-team-7/system", "/c/unit"),
        ("/c/unit/system", "/c/unit/system"),
    ],
)
def test_an_earlier_hosts_folders_are_seen_through(folder: str, outer: str) -> None:
    assert ground.outer(folder) == outer


CONTRACT = (
    "-m",
    "pytest",
    "-q",
    "-rs",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:hypothesispytest",
    "tests/containment/test_contract.py",
)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "part", ["survives or bomb or alone", pytest.param("", marks=pytest.mark.slow)], ids=["ends", "whole"]
)
def test_the_contract_holds_for_a_user_without_rights(part: str) -> None:
    """The contract again, as nobody: walk always, pidns by user namespaces where the machine allows them. Each way of
    ending what was born; and the whole of it."""
    done = as_nobody(*CONTRACT, "-k", f"(pidns or walk) and ({part})" if part else "pidns or walk")
    print(done.stdout[-1500:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "walk: ran" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_contract_holds_for_a_user_whom_a_cgroup_was_delegated_to(delegated: str) -> None:
    """Processes stand in the delegated folder itself, as in a systemd unit, and make room for its controllers."""
    done = as_nobody(*CONTRACT, "-k", "cgroup", inside=delegated)
    print(done.stdout[-1500:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "cgroup: ran" in done.stdout
    if "hugetlb" in hierarchy.read(f"{delegated}/cgroup.controllers"):
        assert "cgroup with a v2 controller: ran" in done.stdout
    assert hierarchy.subfolders(delegated) == []


def test_controllers_are_refused_with_the_reason_where_strangers_stand_in_our_entry(delegated: str) -> None:
    if "hugetlb" not in hierarchy.read(f"{delegated}/cgroup.controllers"):
        pytest.skip("no controller is offered by cgroup v2 here")
    stranger = births.child(births.rest)
    hierarchy.write(f"{delegated}/cgroup.procs", str(stranger))
    code = (
        "from agenthost.containment import hierarchy, tiers\n"
        "hierarchy.CONTROLLERS = ('hugetlb',)\n"
        "host = tiers.choose('cgroup', 'x', 1)\n"
        "print(host.ground.controllers.v2, host.ground.controllers.missing)\n"
        "host.close()\n"
    )
    done = as_nobody("-c", code, inside=delegated)
    os.kill(stranger, 9)
    os.waitpid(stranger, 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("frozenset() {'hugetlb': 'other processes are in ")
