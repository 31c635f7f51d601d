"""Strays of an earlier life are found three ways and ended; nobody else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agenthost.containment import ground, hierarchy, procfs
from agenthost.containment.births import Born
from agenthost.containment.cgroup import CgroupContainment
from agenthost.containment.sweep import sweep
from agenthost.core.birth import Limits
from tests.containment import births
from tests.containment.births import Birth, bear
from tests.containment.conftest import probe
from tests.waiting import wait_until

NAME = f"swept-{os.getpid()}"
NOWHERE: dict[str, str] = {}
"""No cgroups to look through: for the tests of the other two ways."""


def born(pid: int, path: str = "/a", *, older: int = 0, boot_id: str = "", folder: str = "") -> Born:
    start = procfs.start_time(pid)
    assert start is not None
    return Born(boot_id or procfs.machine_boot_id(), procfs.pid_namespace(), pid, start - older, path, "1.1", folder)


@pytest.fixture
def stray() -> Iterator[int]:
    pid = births.child(births.rest)
    yield pid
    if procfs.children(os.getpid()).count(pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def alive(pid: int) -> bool:
    one = procfs.stat(pid)
    return bool(one and one.alive)


def test_a_process_of_the_births_file_is_ended(stray: int) -> None:
    (found,) = sweep(NAME, 2, "marker", [born(stray, "/crew/a")], own=NOWHERE)
    assert (found.found, found.what, found.path, found.incarnation) == ("birth", str(stray), "/crew/a", "1.1")
    assert found.ended
    assert not alive(stray)


def test_a_pid_that_has_been_given_to_another_process_is_spared(stray: int) -> None:
    assert sweep(NAME, 2, "marker", [born(stray, older=1)], own=NOWHERE) == []
    assert sweep(NAME, 2, "marker", [born(stray, boot_id="before the power cut")], own=NOWHERE) == []
    assert alive(stray)


def test_report_ends_nobody(stray: int) -> None:
    (found,) = sweep(NAME, 2, "marker", [born(stray)], mode="report", own=NOWHERE)
    assert not found.ended
    assert str(stray) in found.text
    assert alive(stray)


def test_what_a_stray_has_started_goes_with_it() -> None:
    told, tell = os.pipe()

    def family() -> None:
        births.daemon(births.speaker(tell))

    # a subreaper as every agent of the walk tier is: what it started stays below it
    def agent() -> None:
        from agenthost import kernel

        kernel.become_subreaper()
        family()

    pid = births.child(agent)
    heard = b""
    while len(heard) < 2:
        heard += os.read(told, 2)
    os.close(tell)
    (found,) = sweep(NAME, 2, "marker", [born(pid)], own=NOWHERE)
    assert found.ended
    os.waitpid(pid, 0)
    assert os.read(told, 1) == b""
    os.close(told)


def test_we_and_those_we_descend_from_are_spared() -> None:
    ours = [born(os.getpid(), "/us"), born(os.getppid(), "/parent")]
    assert sweep(NAME, 2, "marker", ours, own=NOWHERE) == []


def test_what_carries_the_marker_is_ended_and_named() -> None:
    env = {**os.environ, "AGENTHOST_HOST": NAME, "AGENTHOST_PATH": "/crew/b", "AGENTHOST_INCARNATION": "1.9"}
    sleeper = [sys.executable, "-S", "-c", "import signal; print(1, flush=True); signal.pause()"]
    with (
        subprocess.Popen(sleeper, env=env, stdout=subprocess.PIPE) as marked,
        subprocess.Popen(sleeper, env={**env, "AGENTHOST_HOST": NAME + "x"}, stdout=subprocess.PIPE) as other,
    ):
        assert marked.stdout and other.stdout
        marked.stdout.readline()
        other.stdout.readline()
        found = sweep(NAME, 2, NAME, [], own=NOWHERE)
        assert [(one.found, one.what, one.path, one.incarnation) for one in found] == [
            ("marker", str(marked.pid), "/crew/b", "1.9")
        ]
        assert found[0].ended
        assert marked.wait() == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


# ---- cgroups


def earlier_life(boot: int, host_lives: bool = False) -> tuple[str, Birth, str]:
    """The cgroups that a host of that boot left behind, one agent in them; its host's process gone or not."""
    containment = CgroupContainment(NAME, boot)
    cell = containment.cell("/crew/a", f"{boot}.1", Limits(processes=50))
    birth = bear(cell, births.daemon)
    birth.wait_said(2)
    base = containment.roots()[0]
    if not host_lives:
        hierarchy.write(f"{os.path.dirname(base)}/cgroup.procs", "0")
    containment.readiness.close()
    return base, birth, cell.folder


@pytest.fixture
def cgroups_wanted() -> None:
    if not probe()[0].available:
        pytest.skip(probe()[0].why)


@pytest.mark.usefixtures("cgroups_wanted")
def test_left_over_cgroups_are_emptied_and_removed() -> None:
    base, birth, _ = earlier_life(1)
    found = sweep(NAME, 2, "marker", [])
    assert all(stray.ended and stray.incarnation == "1" for stray in found)
    assert base in [stray.what for stray in found]
    wait_until(birth.none_left)
    assert not [
        folder
        for place in set(ground.own_folders().values())
        for folder in hierarchy.subfolders(place)
        if NAME in folder
    ]
    birth.forget()


@pytest.mark.usefixtures("cgroups_wanted")
def test_cgroups_of_this_life_are_spared() -> None:
    base, birth, _ = earlier_life(2)
    assert sweep(NAME, 2, "marker", []) == []
    assert hierarchy.processes(base)
    assert sweep(NAME, 3, "marker", [], mode="report")[0].ended is False
    assert hierarchy.processes(base)
    sweep(NAME, 3, "marker", [])
    wait_until(birth.none_left)
    birth.forget()


@pytest.mark.usefixtures("cgroups_wanted")
def test_cgroups_of_a_living_host_of_the_same_name_are_left_alone() -> None:
    """Another state folder: its boot numbers are its own, and our births file does not know its cells."""
    told, tell = os.pipe()

    def other_host() -> None:
        earlier_life(1, host_lives=True)
        os.write(tell, b".")
        births.rest()

    pid = births.child(other_host)
    os.close(tell)
    assert os.read(told, 1) == b"."
    os.close(told)
    found = sweep(NAME, 2, "marker", [])
    assert [stray.ended for stray in found] == [False]
    assert "left alone" in found[0].text
    base = found[0].what
    assert len(hierarchy.processes(f"{base}/agents")) == 2
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    found = sweep(NAME, 2, "marker", [])
    assert found and all(stray.ended for stray in found)
    assert not os.path.exists(base)


@pytest.mark.usefixtures("cgroups_wanted")
def test_cgroups_that_our_births_file_names_are_ours_even_if_their_system_group_is_not_empty() -> None:
    base, birth, folder = earlier_life(1)
    router = births.child(births.rest)
    hierarchy.write(f"{base}/system/cgroup.procs", str(router))
    found = sweep(NAME, 2, "marker", [born(router, folder=folder)])
    assert base in [stray.what for stray in found if stray.ended]
    os.waitpid(router, 0)
    wait_until(birth.none_left)
    birth.forget()


@pytest.mark.usefixtures("cgroups_wanted")
def test_we_are_spared_when_we_were_started_from_within_an_earlier_life() -> None:
    containment = CgroupContainment(NAME, 1)
    before = hierarchy.entries()
    cell = containment.cell("/a", "1.1", Limits())
    birth = bear(cell, births.plain)
    birth.wait_said(1)
    found = sweep(NAME, 2, "marker", [born(birth.pid, folder=cell.folder)])
    assert next(stray.what for stray in found if stray.ended) == containment.roots()[0]
    wait_until(birth.none_left)
    assert hierarchy.entries() == before
    later = CgroupContainment(NAME, 2)
    assert os.path.dirname(later.roots()[0]) == os.path.dirname(containment.roots()[0])
    later.close()
    hierarchy.write(f"{containment.ground.system}/cgroup.procs", "0")
    containment.close()
    birth.forget()
