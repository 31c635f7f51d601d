"""Newborns in the cells that containment orders: cgroups, PID namespaces, subreapers."""

# ruff: noqa: ASYNC240 - these tests may block their loop: it is theirs alone, and births do not need it

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agenthost.containment.cell import CellOrder
from agenthost.launch.launcher import Order
from agenthost.protocol import birth
from tests.launch.births import Newborn, agent, give_birth, launching, program, within
from tests.waiting import wait_until

NAMESPACE = CellOrder(new_pid_namespace=True)


@pytest.fixture
def group(record_tier: Callable[..., None]) -> Iterator[Path]:
    root = next(
        (
            Path(fields[1])
            for fields in map(str.split, Path("/proc/mounts").read_text().splitlines())
            if fields[2] == "cgroup2"
        ),
        None,
    )
    if root is None:
        record_tier("cgroup", "no cgroup v2 is mounted")
        return
    folder = root / f"agenthost-launch-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        record_tier("cgroup", f"{root} is not writable: {error.strerror}")
        return
    record_tier("cgroup")
    yield folder
    wait_until(lambda: "populated 0" in (folder / "cgroup.events").read_text(), what="the cgroup is empty")
    folder.rmdir()


async def born(order: Order) -> Newborn:
    async with launching() as zygotes:
        return await give_birth(zygotes, order)


def test_an_agent_is_in_its_cgroup_at_birth(group: Path) -> None:
    async def test() -> None:
        folder = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
        newborn = await born(agent("report", cell=CellOrder(cgroup_fd=folder)))
        os.close(folder)
        facts = newborn.facts()
        assert f"/{group.name}\n" in facts["cgroup"]
        assert facts["descriptors"] == [0, 1, 2, facts["birth"], *facts["slate"]] and len(facts["slate"]) == 1
        assert newborn.wait_ended() == 0

    within(test())


def test_an_agent_joins_the_files_it_is_told_before_it_says_here(group: Path) -> None:
    async def test() -> None:
        newborn = await born(agent("wait", cell=CellOrder(join=(str(group / "cgroup.procs"),))))
        newborn.here()
        assert (group / "cgroup.procs").read_text().split() == [str(newborn.born.pid)]
        newborn.kill()

    within(test())


def test_a_file_that_cannot_be_joined_is_a_failed_birth() -> None:
    async def test() -> None:
        newborn = await born(agent("wait", cell=CellOrder(join=("/no/such/cgroup.procs",))))
        message, _ = newborn.packet()
        assert isinstance(message, birth.BirthFailed)
        assert message.step == "cell"
        assert "/no/such/cgroup.procs" in message.error
        assert newborn.wait_ended() == 70

    within(test())


def test_orphans_of_a_subreaper_are_its_children() -> None:
    async def test() -> None:
        newborn = await born(agent("orphan", cell=CellOrder(subreaper=True)))
        newborn.here()
        packet, _ = newborn.raw_packet()
        orphan = int(packet)
        assert _parent(orphan) == newborn.born.pid
        os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: _state(orphan) == "Z", what="the orphan has ended")
        newborn.kill()

    within(test())


@pytest.mark.root
def test_in_a_namespace_the_host_has_the_init_and_here_comes_from_the_agent(record_tier: Callable[..., None]) -> None:
    record_tier("pidns")

    async def test() -> None:
        newborn = await born(agent("wait", cell=NAMESPACE))
        pid = newborn.here()
        assert pid != newborn.born.pid
        assert _parent(pid) == newborn.born.pid
        assert _parent(newborn.born.pid) == os.getpid()
        newborn.kill()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the agent went with its init")

    within(test())


@pytest.mark.root
def test_a_namespace_has_its_own_proc_and_the_agent_nothing_of_its_init() -> None:
    async def test() -> None:
        newborn = await born(agent("report", cell=NAMESPACE))
        facts = newborn.facts()
        assert facts["processes"] == [1, facts["pid"]]
        assert facts["parent"] == 1
        assert facts["descriptors"] == [0, 1, 2, facts["birth"], *facts["slate"]] and len(facts["slate"]) == 1
        assert facts["session"] == facts["group"] == facts["pid"]
        assert newborn.wait_ended() == 0

    within(test())


@pytest.mark.root
@pytest.mark.parametrize(
    ("order", "status", "ended"),
    [
        (agent("end", status=7, cell=NAMESPACE), 7, birth.Ended(code=7, by_signal=False)),
        (agent("hurt", signal=11, cell=NAMESPACE), 139, birth.Ended(code=11, by_signal=True)),
        (agent("hurt", signal=9, cell=NAMESPACE), 137, birth.Ended(code=9, by_signal=True)),
    ],
)
def test_how_an_agent_in_a_namespace_ended_is_told(order: Order, status: int, ended: birth.Ended) -> None:
    async def test() -> None:
        newborn = await born(order)
        assert newborn.here() != newborn.born.pid
        assert newborn.packet() == (ended, newborn.born.pid)
        assert newborn.wait_ended() == status

    within(test())


@pytest.mark.root
def test_a_program_in_a_namespace_says_that_it_was_run_and_how_it_ended() -> None:
    async def test() -> None:
        newborn = await born(program("sh", "-c", "exit 5", cell=NAMESPACE))
        newborn.here()
        assert newborn.packet() == (birth.Execed(), newborn.born.pid)
        assert newborn.packet() == (birth.Ended(code=5, by_signal=False), newborn.born.pid)
        assert newborn.wait_ended() == 5

    within(test())


@pytest.mark.root
def test_a_program_in_a_namespace_that_cannot_run_says_so_and_not_that_it_was_run() -> None:
    async def test() -> None:
        newborn = await born(program("no-such-program", cell=NAMESPACE))
        newborn.here()
        message, _ = newborn.packet()
        assert isinstance(message, birth.BirthFailed)
        assert message.step == "exec"
        assert newborn.packet()[0] == birth.Ended(code=127, by_signal=False)
        assert newborn.wait_ended() == 127

    within(test())


@pytest.mark.root
def test_what_an_agent_left_in_its_namespace_goes_with_it() -> None:
    async def test() -> None:
        newborn = await born(agent("orphan", cell=NAMESPACE))
        agent_pid = newborn.here()
        newborn.raw_packet()
        below = Path(f"/proc/{newborn.born.pid}/task/{newborn.born.pid}/children").read_text().split()
        assert str(agent_pid) in below
        assert len(below) == 2  # the orphan became a child of the init
        newborn.born.birth_socket.send(b"x")
        assert newborn.wait_ended() == 0
        assert not [pid for pid in below if os.path.exists(f"/proc/{pid}")]

    within(test())


def _field(pid: int, number: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[number - 3]


def _parent(pid: int) -> int:
    return int(_field(pid, 4))


def _state(pid: int) -> str:
    return _field(pid, 3)
