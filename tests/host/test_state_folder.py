"""The state folder: one host at a time, and an error that says what is wrong with its disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, tree
from tests.host.small_disk import fill, small_disk
from tests.waiting import wait_until


def refused(host: Running) -> tuple[int, str]:
    """Start it, wait for its end; its exit status and what it has printed."""
    try:
        status = host.start().wait_end()
        host.assert_nothing_left()
        return status, host.output()
    finally:
        host.end()


def test_a_second_host_on_the_same_state_folder_is_refused_and_the_first_one_does_not_notice(
    start: Start, places: Path
) -> None:
    host = start(tree(agent("echo", "Echo")))
    pid = host.pid("/echo")
    (places / "second").mkdir()
    second = Running(places / "second", tree(agent("echo", "Echo")), name=host.name)
    second.start()
    status = second.wait_end()
    assert status == 75  # busy
    assert "it is running already" in second.output() and "--name" in second.output(), second.output()
    assert "starting it again" not in second.output()
    assert host.call("/echo", 1) == 1 and host.pid("/echo") == pid
    wait_until(lambda: not second.survivors(), PATIENCE_S, "nothing of the second is left")


def test_two_hosts_of_different_names_run_side_by_side(start: Start, places: Path) -> None:
    host = start(tree(agent("echo", "Echo")))
    other = start(tree(agent("echo", "Echo")), name=f"{host.name}b")
    assert host.call("/echo", 1) == 1 and other.call("/echo", 2) == 2
    assert other.stop() == 0
    assert host.call("/echo", 3) == 3


@pytest.fixture
def disk(places: Path) -> Iterator[Path]:
    """Under the state folder."""
    with small_disk(places / "state", "64k") as folder:
        yield folder


@pytest.mark.root
def test_a_full_disk_is_told_as_such_at_the_start(places: Path, disk: Path) -> None:
    fill(disk)
    status, said = refused(Running(places, tree(agent("echo", "Echo"))))
    assert status == 1
    assert "cannot" in said and ("No space left" in said or "disk full" in said), said
    assert "Traceback" not in said


@pytest.mark.root
def test_a_read_only_disk_is_told_as_such_at_the_start(places: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    status, said = refused(Running(places, tree(agent("echo", "Echo"))))
    assert status == 1
    assert "cannot" in said and "Read-only file system" in said, said
    assert "Traceback" not in said


@pytest.mark.root
def test_a_disk_that_becomes_full_stops_no_agent(start: Start, places: Path, disk: Path) -> None:
    host = start(tree(agent("echo", "Echo"), agent("doer", "Doer")), containment="walk")
    fill(disk)
    host.call("/doer", {"do": "say", "bytes": 1_000_000})  # nowhere to write it
    assert host.call("/echo", 1) == 1
    assert host.ask("restart", path="/echo")["state"] == "ready"  # with a births file that cannot grow
    assert host.call("/echo", 2) == 2
    [logger] = host.own_pids("logger")
    os.unlink(disk / "filler")
    host.call("/doer", {"do": "print", "text": "there is room again"})
    host.wait(lambda: "there is room again" in host.printed("/doer"), "it is written again")
    assert host.own_pids("logger") == [logger]


def test_a_state_folder_of_another_user_is_refused(places: Path) -> None:
    host = Running(places, tree(agent("echo", "Echo")))
    host.places.state_folder.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("needs root to make a folder of another user")
    os.chown(host.places.state_folder, 54321, 54321)
    status, said = refused(host)
    assert status == 1
    assert "54321" in said and "Traceback" not in said


def test_a_boot_number_that_cannot_be_read_is_told_with_what_to_do(places: Path) -> None:
    host = Running(places, tree(agent("echo", "Echo")))
    host.places.state_folder.mkdir(parents=True, mode=0o700)
    host.places.boot.write_text("seven\n")
    status, said = refused(host)
    assert status == 1
    assert "cannot read the boot number" in said and "write into it" in said
