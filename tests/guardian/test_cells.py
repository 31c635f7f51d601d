"""The cgroup folders that a host names by CELLS are empty and gone before anything else happens."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agenthost.guardian import cells
from tests.guardian.driving import Driven, stat
from tests.waiting import wait_until

pytestmark = pytest.mark.root
WALLS = pytest.mark.parametrize("walls", ["require", "never"])
Inmate = Callable[[Path], int]


def mount_of(kind: str, option: str = "") -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, what, options, *_ = line.split()
        if what == kind and option in ["", *options.split(",")] and os.access(folder, os.W_OK):
            return Path(folder)
    return None


def made(kind: str, option: str = "") -> Iterator[Path]:
    mount = mount_of(kind, option)
    if mount is None:
        pytest.skip(f"no writable {kind} {option}")
    cell = mount / f"agenthost-test-{uuid.uuid4().hex[:8]}"
    (cell / "inner" / "innermost").mkdir(parents=True)
    yield cell
    for folder, _, _ in os.walk(cell, topdown=False):
        os.rmdir(folder)


@pytest.fixture
def cell() -> Iterator[Path]:
    yield from made("cgroup2")


@pytest.fixture
def freezer() -> Iterator[Path]:
    yield from made("cgroup", "freezer")


@pytest.fixture
def inmate() -> Iterator[Inmate]:
    """Puts a process that the guardian did not start into a cell: only emptying the folder can reach it."""
    started: list[subprocess.Popen[bytes]] = []

    def put(folder: Path) -> int:
        process = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
        started.append(process)
        (folder / "cgroup.procs").write_text(str(process.pid))
        return process.pid

    yield put
    for process in started:
        process.kill()
        process.wait()


def is_dead(pid: int) -> bool:
    return stat(pid)[:1] in (["Z"], [])


@WALLS
@pytest.mark.parametrize("frozen", [False, True])
def test_cells_are_emptied_and_removed_when_the_host_dies(
    tmp_path: Path, cell: Path, inmate: Inmate, walls: str, frozen: bool
) -> None:
    inner = inmate(cell / "inner" / "innermost")
    if frozen:
        (cell / "cgroup.freeze").write_text("1")
    with Driven(tmp_path, "obedient", 0, "STOP", cell, options=("--namespace", walls)) as driven:
        os.kill(driven.wait_host(), signal.SIGKILL)
        driven.wait_host(2)
        assert is_dead(inner) and not cell.exists()
        driven.guardian.terminate()
        assert driven.wait_end() == 0


@WALLS
def test_cells_are_emptied_and_removed_after_a_farewell(tmp_path: Path, cell: Path, inmate: Inmate, walls: str) -> None:
    inmates = [inmate(cell / "inner"), inmate(cell)]
    with Driven(tmp_path, "obedient", 9, "now", cell, options=("--namespace", walls)) as driven:
        assert driven.wait_end() == 9
        assert all(map(is_dead, inmates)) and not cell.exists()
        assert driven.said() == ""


def test_cells_are_emptied_when_the_operator_insists(tmp_path: Path, cell: Path, inmate: Inmate) -> None:
    inner = inmate(cell / "inner")
    with Driven(tmp_path, "obedient", 0, "never", cell) as driven:
        driven.wait_host()
        driven.guardian.send_signal(signal.SIGQUIT)
        assert driven.wait_end() == 1
        assert is_dead(inner) and not cell.exists()


def test_a_frozen_cell_of_cgroup_v1_is_thawed_to_die(tmp_path: Path, freezer: Path, inmate: Inmate) -> None:
    inner = inmate(freezer / "inner")
    (freezer / "inner" / "freezer.state").write_text("FROZEN")
    wait_until(lambda: (freezer / "inner" / "freezer.state").read_text() == "FROZEN\n", what="frozen")
    with Driven(tmp_path, "obedient", 0, "now", freezer) as driven:
        assert driven.wait_end() == 0
        assert is_dead(inner) and not freezer.exists()


def test_a_cell_that_holds_the_guardian_is_refused(tmp_path: Path, cell: Path) -> None:
    with Driven(tmp_path, "obedient", 0, "STOP", cell) as driven:
        driven.wait_host()
        (cell / "inner" / "cgroup.procs").write_text(str(driven.guardian.pid))
        driven.guardian.terminate()
        assert driven.wait_end() == 0
        assert f"cannot empty {cell}: the guardian itself is in it" in driven.said()
    assert cell.exists()


def test_what_cannot_be_removed_is_named_with_its_processes(cell: Path, inmate: Inmate) -> None:
    pid = inmate(cell / "inner")
    said = cells.try_remove(str(cell))
    assert said == f"cannot remove {cell}/inner: processes {pid} in it"
    assert not (cell / "inner" / "innermost").exists()
    assert cells.kill(str(cell)) is None
    wait_until(lambda: cells.try_remove(str(cell)) is None, what="the cell removed")
    assert not cell.exists()
