"""The state folder: one host at a time, and an error that says what is wrong with its disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, tree
from tests.waiting import wait_until


def refused(host: Running) -> tuple[int, str]:
    """Start it, wait for its end; its exit status and what it has printed."""
    try:
        status = host.start().wait_end()
        host.assert_nothing_left(5)
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
def small_disk(places: Path) -> Iterator[Path]:
    """A file system of 64 KiB in the place of the state folder."""
    folder = places / "state"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=711", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # a host that was just killed may hold it for a moment
        wait_until(lambda: subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0, 30, "umount")


def fill(folder: Path) -> None:
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


@pytest.mark.root
def test_a_full_disk_is_told_as_such_at_the_start(places: Path, small_disk: Path) -> None:
    fill(small_disk)
    status, said = refused(Running(places, tree(agent("echo", "Echo"))))
    assert status == 1
    assert "cannot" in said and ("No space left" in said or "disk full" in said), said
    assert "Traceback" not in said


@pytest.mark.root
def test_a_read_only_disk_is_told_as_such_at_the_start(places: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    status, said = refused(Running(places, tree(agent("echo", "Echo"))))
    assert status == 1
    assert "cannot" in said and "Read-only file system" in said, said
    assert "Traceback" not in said


@pytest.mark.root
def test_a_disk_that_becomes_full_stops_no_agent(start: Start, places: Path, small_disk: Path) -> None:
    host = start(tree(agent("echo", "Echo"), agent("doer", "Doer")), containment="walk")
    fill(small_disk)
    host.call("/doer", {"do": "say", "bytes": 1_000_000})  # nowhere to write it
    assert host.call("/echo", 1) == 1
    assert host.ask("restart", path="/echo")["state"] == "ready"  # with a births file that cannot grow
    assert host.call("/echo", 2) == 2
    [logger] = host.own_pids("logger")
    os.unlink(small_disk / "filler")
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
