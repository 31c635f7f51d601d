"""Strays of an earlier life are found three ways and ended; nobody else is touched."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Literal

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


@contextlib.contextmanager
def sleeper(
    words: str = "import signal; print(1, flush=True); signal.pause()", **names: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program with ``names`` in its environment that has said that it runs."""
    command = [sys.executable, "-S", "-c", words]
    with subprocess.Popen(command, env={**os.environ, **names}, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline()
            yield process
        finally:
            process.kill()


def alive(pid: int) -> bool:
    one = procfs.stat(pid)
    return bool(one and one.alive)


def test_a_process_of_the_births_file_is_ended(stray: int) -> None:
    (found,) = sweep(NAME, 2, "marker", [born(stray, "/crew/a")], own=NOWHERE)
    assert (found.found, found.what, found.path, found.incarnation) == ("birth", str(stray), "/crew/a", "1.1")
    assert found.ended
    assert not alive(stray)


def test_a_line_of_before_a_boot_of_the_machine_or_of_another_pid_namespace_names_nobody(stray: int) -> None:
    assert sweep(NAME, 2, "marker", [born(stray, older=1)], own=NOWHERE) == []
    assert sweep(NAME, 2, "marker", [born(stray, boot_id="before the power cut")], own=NOWHERE) == []
    elsewhere = dataclasses.replace(born(stray), pid_namespace=procfs.pid_namespace() + 1)
    assert sweep(NAME, 2, "marker", [elsewhere], own=NOWHERE) == []
    assert alive(stray)


@pytest.mark.root
def test_a_pid_that_has_been_given_to_another_process_is_spared() -> None:
    """Really: the kernel is asked for the number that the dead one had (clone3(2), set_tid)."""
    first = births.child(births.rest)
    line = born(first)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    wait_until(lambda: procfs.now_ticks() > line.start_time + 1)  # start times are told in ticks
    second = births.child_with_pid(first, births.rest)
    try:
        assert second == line.pid
        assert sweep(NAME, 2, "marker", [line], own=NOWHERE) == []
        assert alive(second)
    finally:
        os.kill(second, signal.SIGKILL)
        os.waitpid(second, 0)


def test_report_ends_nobody_and_names_everybody_once() -> None:
    """Found by its birth and by its environment alike."""
    with sleeper(AGENTHOST_HOST=NAME) as marked:
        (found,) = sweep(NAME, 2, NAME, [born(marked.pid)], mode="report", own=NOWHERE)
        assert (found.found, found.what, found.ended) == ("birth", str(marked.pid), False)
        assert f"process {marked.pid} (python" in found.text and "of /a" in found.text
        assert found.is_there()
        assert marked.poll() is None
        marked.kill()
        marked.wait()
        assert not found.is_there()


HEADLESS = """
import ctypes, os, signal, threading
def stay():
    while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z":
        pass
    print(1, flush=True)
    threading.Event().wait()
threading.Thread(target=stay).start()
ctypes.CDLL(None).syscall(NR_EXIT, 0)
"""


@pytest.mark.parametrize("by", ["birth", "environment"])
def test_a_process_whose_first_thread_has_ended_is_found_and_ended(by: str) -> None:
    """Its own environment reads empty, and to /proc it is a zombie (pthread_exit(3))."""
    words = HEADLESS.replace("NR_EXIT", str(births.NR_EXIT))
    with sleeper(words, AGENTHOST_HOST=NAME) as headless:
        assert not procfs.read_bytes(f"/proc/{headless.pid}/environ")
        known = [born(headless.pid)] if by == "birth" else []
        (found,) = sweep(NAME, 2, NAME if by == "environment" else "other", known, own=NOWHERE)
        assert found.found == ("birth" if by == "birth" else "marker")
        assert found.ended
        assert headless.wait() == -signal.SIGKILL


def test_a_zombie_is_no_stray() -> None:
    with sleeper(AGENTHOST_HOST=NAME) as dead:
        line = born(dead.pid)
        os.kill(dead.pid, signal.SIGKILL)
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        assert procfs.start_time(dead.pid) == line.start_time
        assert sweep(NAME, 2, NAME, [line], own=NOWHERE) == []


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
    names = {"AGENTHOST_PATH": "/crew/b", "AGENTHOST_INCARNATION": "1.9"}
    with sleeper(AGENTHOST_HOST=NAME, **names) as marked, sleeper(AGENTHOST_HOST=NAME + "x", **names) as other:
        found = sweep(NAME, 2, NAME, [], own=NOWHERE)
        assert [(one.found, one.what, one.path, one.incarnation) for one in found] == [
            ("marker", str(marked.pid), "/crew/b", "1.9")
        ]
        assert found[0].ended
        assert marked.wait() == -signal.SIGKILL
        assert other.poll() is None


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
@pytest.mark.parametrize("mode", ["kill", "report"])
def test_left_over_cgroups_that_nobody_is_in_are_removed_without_a_word(mode: Literal["kill", "report"]) -> None:
    """A guardian that was killed with its host cannot do it."""
    containment = CgroupContainment(NAME, 1)
    containment.cell("/crew/a", "1.1", Limits(processes=50))
    base = containment.roots()[0]
    hierarchy.write(f"{os.path.dirname(base)}/cgroup.procs", "0")
    containment.readiness.close()
    assert sweep(NAME, 2, "marker", [], mode=mode) == []
    assert not os.path.exists(base)


@pytest.mark.usefixtures("cgroups_wanted")
def test_cgroups_of_this_life_are_spared() -> None:
    base, birth, _ = earlier_life(2)
    assert sweep(NAME, 2, "marker", []) == []
    assert hierarchy.processes(base)
    (reported,) = sweep(NAME, 3, "marker", [], mode="report")
    assert not reported.ended and reported.is_there()
    assert all(str(pid) in reported.text for pid in hierarchy.processes(base))
    sweep(NAME, 3, "marker", [])
    wait_until(birth.none_left)
    assert not reported.is_there()
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
