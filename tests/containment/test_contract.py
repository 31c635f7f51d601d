"""What every cell does, whatever its tier."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from agenthost.containment import hierarchy, procfs
from agenthost.core.birth import Limits
from agenthost.errors import ContainmentError
from tests.containment import births
from tests.containment.births import AWKWARD, Birth
from tests.containment.conftest import Nursery
from tests.waiting import wait_until


def killed(nursery: Nursery, birth: Birth) -> bool:
    """Kill the cell of the first birth again and again, as the host does, until the pipe says that none is left."""
    nursery.cells[0].kill()
    return birth.none_left()


@pytest.mark.parametrize("kind", AWKWARD)
def test_nothing_survives_a_kill(nursery: Nursery, kind: str) -> None:
    act, count = AWKWARD[kind]
    cell = nursery.cell()
    birth = nursery.bear(cell, act)
    birth.wait_said(count)
    assert not cell.is_empty()
    wait_until(lambda: killed(nursery, birth))
    wait_until(cell.is_empty)
    assert cell.members() == []
    assert cell.usage().processes == 0


def test_a_fork_bomb_of_60_is_ended(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.bomb)
    birth.wait_said(60)
    assert len(cell.members()) == 60
    wait_until(lambda: killed(nursery, birth))
    wait_until(cell.is_empty)


def test_a_fork_bomb_is_ended_in_its_first_moments(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.bomb)
    birth.wait_said(1)
    wait_until(lambda: killed(nursery, birth))
    wait_until(cell.is_empty)


@pytest.mark.parametrize("kind", AWKWARD)
def test_all_beside_one_process_can_be_killed_and_a_nested_cell_lives_on(nursery: Nursery, kind: str) -> None:
    act, count = AWKWARD[kind]
    cell, inner = nursery.cell(), nursery.cell("/team/coder/tool")
    birth = nursery.bear(cell, lambda say: births.beside(act, say))
    birth.wait_said(count + 1)
    tool = nursery.bear(inner, births.plain)
    tool.wait_said(1)
    (main,) = births.named(cell.own_members(), births.MAIN)

    def alone() -> bool:
        cell.kill_beside(main)
        return cell.own_members() == [main]

    wait_until(alone, what="it is alone")
    assert len(inner.members()) == 1
    cell.kill_beside(main)
    assert cell.own_members() == [main]


def test_a_fork_bomb_beside_one_process_is_ended_and_that_goes_on(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, lambda say: births.beside(births.bomb, say))
    birth.wait_said(60)
    (main,) = births.named(cell.own_members(), births.MAIN)

    def alone() -> bool:
        cell.kill_beside(main)
        return cell.own_members() == [main]

    wait_until(alone, what="it is alone")
    wait_until(lambda: procfs.stat(main).state == "S", what="it is not frozen or stopped")  # type: ignore[union-attr]


def test_members_are_the_pids_that_the_host_sees(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.daemon)
    birth.wait_said(2)
    members = cell.members()
    assert len(members) == len(set(members)) == 2
    assert all(os.path.exists(f"/proc/{pid}") for pid in members)
    assert os.getpid() not in members


def test_a_zombie_is_no_member(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, lambda say: say())
    wait_until(lambda: not cell.members(), what="the process has ended, unreaped")
    wait_until(cell.is_empty)
    assert birth.status is None


def test_a_cell_lives_on_when_its_first_process_ends(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.with_child)
    birth.wait_said(2)
    assert len(cell.members()) == 2
    if cell.tier == "pidns":
        pytest.skip("in pidns the end of the first process ends the rest: the next test")
    signal.pidfd_send_signal(birth.pidfd, signal.SIGKILL)
    wait_until(birth.reap)
    assert not cell.is_empty()
    assert len(cell.members()) == 1
    wait_until(lambda: killed(nursery, birth))
    wait_until(cell.is_empty)


def test_what_an_agent_leaves_behind_does_not_outlive_a_kill(nursery: Nursery) -> None:
    cell = nursery.cell()
    if cell.tier == "walk":
        pytest.skip("what was never seen below its agent is a remnant: test_walk")
    birth = nursery.bear(cell, births.leaves_a_child)
    wait_until(birth.reap)
    wait_until(lambda: killed(nursery, birth))
    wait_until(cell.is_empty)


def test_a_signal_reaches_every_member(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.other_session)
    birth.wait_said(2)
    assert cell.signal(signal.SIGTERM) == 2
    wait_until(birth.none_left)
    wait_until(cell.is_empty)
    assert cell.signal(signal.SIGTERM) == 0


def test_nothing_runs_while_frozen_and_all_goes_on_when_thawed(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.talks)
    birth.wait_said(3)
    cell.freeze()

    def used() -> float | None:
        return cell.usage().cpu_s

    def at_rest() -> bool:
        before = _ticks(cell.members())
        deadline = time.monotonic() + 0.05
        wait_until(lambda: time.monotonic() > deadline)
        return before == _ticks(cell.members())

    wait_until(at_rest)
    os.set_blocking(birth.words, False)
    while _drained(birth.words):
        pass
    wait_until(at_rest)
    assert not _drained(birth.words)
    cell.thaw()
    wait_until(lambda: _drained(birth.words), what="it talks again")
    os.set_blocking(birth.words, True)


def test_what_a_cell_computes_is_counted(nursery: Nursery) -> None:
    cell, quiet = nursery.cell(), nursery.cell("/team/quiet", "1.2")
    nursery.bear(cell, births.computes).wait_said(2)
    nursery.bear(quiet, births.plain).wait_said(1)
    wait_until(lambda: (cell.cpu_s() or 0) >= 0.3, what="it has used 0.3 s")
    used = cell.cpu_s()
    assert used is not None and used <= (cell.usage().cpu_s or 0)
    assert (quiet.cpu_s() or 0) < 0.3


def test_a_cell_that_lets_others_first_goes_on_and_can_take_it_back(nursery: Nursery) -> None:
    cell = nursery.cell(limits=Limits(cpu_cores=1.0))
    nursery.bear(cell, births.computes).wait_said(2)
    for on in (True, False):
        cell.let_others_first(on)
        used = cell.cpu_s() or 0
        wait_until(lambda: (cell.cpu_s() or 0) > used + 0.05, what="it goes on")  # noqa: B023 - called here


def test_a_cell_that_is_a_group_gives_way_as_a_group(cgroup_nursery: Nursery) -> None:
    cell = cgroup_nursery.cell(limits=Limits(cpu_cores=1.0))
    birth = cgroup_nursery.bear(cell, births.plain)
    birth.wait_said(1)
    with open("/proc/self/mountinfo", "rb") as file:
        found = hierarchy.folders(hierarchy.parse_mounts(file.read()), hierarchy.entries(birth.pid))
    group = cell.folder if os.path.exists(f"{cell.folder}/cpu.idle") else found.get("cpu", "")
    if not os.path.exists(f"{group}/cpu.idle"):
        pytest.skip("there is no cpu.idle here")
    weight = hierarchy.read(f"{group}/cpu.shares")
    for on, text in ((True, b"1"), (False, b"0")):
        cell.let_others_first(on)
        with open(f"{group}/cpu.idle", "rb") as file:
            assert file.read().strip() == text
    assert hierarchy.read(f"{group}/cpu.shares") == weight


def test_a_crowd_is_set_aside_with_what_it_starts_and_taken_back(nursery: Nursery) -> None:
    home = hierarchy.own_folders().get("cpu")
    if home is None or not os.access(home, os.W_OK):
        pytest.skip("no group can be made in a v1 hierarchy of the cpu controller here")
    cell = nursery.cell()
    birth = nursery.bear(cell, births.with_child)
    birth.wait_said(2)
    members = cell.own_members()
    before = {hierarchy.entries(pid)["cpu"] for pid in members}
    assert len(before) == 1 and cell.take_back(10) == 0
    assert all(cell.set_aside(pid) for pid in members)
    (entry,) = {hierarchy.entries(pid)["cpu"] for pid in members}
    folder = home + entry.removeprefix(hierarchy.entries("self")["cpu"].rstrip("/"))
    assert {entry} != before and os.path.isdir(folder)
    if os.path.exists(f"{folder}/cpu.idle"):
        assert hierarchy.read(f"{folder}/cpu.idle").strip() == "1"
    assert cell.take_back(1) == 1 and cell.take_back(10) == len(members) - 1
    assert {hierarchy.entries(pid)["cpu"] for pid in members} == before
    assert cell.set_aside(members[0])
    cell.kill()
    wait_until(lambda: killed(nursery, birth))
    wait_until(cell.is_empty)
    cell.close()
    assert not os.path.exists(folder)


def test_a_cell_with_a_cpu_group_of_its_own_has_no_need_of_another(cgroup_nursery: Nursery) -> None:
    cell = cgroup_nursery.cell(limits=Limits(cpu_cores=1.0))
    birth = cgroup_nursery.bear(cell, births.plain)
    birth.wait_said(1)
    assert not cell.set_aside(birth.pid)


def _ticks(pids: list[int]) -> list[str]:
    """Voluntary and other switches of each process: they change whenever it has run."""
    found = []
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            found += [line for line in file if "ctxt_switches" in line]
    return found


def _drained(fd: int) -> bool:
    try:
        return bool(os.read(fd, 65536))
    except BlockingIOError:
        return False


def test_the_frozen_can_be_killed(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.with_child)
    birth.wait_said(2)
    cell.freeze()
    wait_until(lambda: killed(nursery, birth))
    wait_until(cell.is_empty)


def test_the_last_death_is_told_once(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.daemon)
    birth.wait_said(2)
    assert len(cell.members()) == 2
    told: list[bool] = []

    async def main() -> None:
        emptied = asyncio.Event()

        def tell() -> None:
            told.append(cell.is_empty())
            emptied.set()

        cell.watch_empty(tell)
        await asyncio.sleep(0)
        assert told == []
        cell.kill()
        await asyncio.wait_for(emptied.wait(), 60)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert told == [True]
    wait_until(birth.none_left)


def test_an_empty_cell_is_told_at_once(nursery: Nursery) -> None:
    cell = nursery.cell()

    async def main() -> None:
        emptied = asyncio.Event()
        cell.watch_empty(emptied.set)
        assert not emptied.is_set()
        await asyncio.wait_for(emptied.wait(), 60)

    asyncio.run(main())


def test_a_cell_that_is_closed_tells_nothing(nursery: Nursery) -> None:
    cell = nursery.cell()
    told: list[None] = []

    async def main() -> None:
        cell.watch_empty(lambda: told.append(None))
        cell.close()
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert told == []


def test_waiting_for_emptiness_costs_no_cpu(nursery: Nursery) -> None:
    """asyncio's own EPOLLIN on a kernfs file would spin."""
    cell = nursery.cell()
    nursery.bear(cell, births.plain).wait_said(1)

    async def main() -> float:
        cell.watch_empty(lambda: None)
        await asyncio.sleep(0)
        before = time.process_time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.2)
        return time.process_time() - before

    assert asyncio.run(main()) < 0.05


def test_a_cell_in_a_cell_is_killed_with_it_and_keeps_it_from_being_empty(nursery: Nursery) -> None:
    outer = nursery.cell("/crew/planner", "1.1")
    nursery.bear(outer, births.plain).wait_said(1)
    inner = nursery.cell("/crew/planner/tools/sub", "1.2")
    birth = nursery.bear(inner, births.other_session)
    birth.wait_said(2)
    assert len(outer.members()) == 3
    assert set(inner.members()) < set(outer.members())
    signal.pidfd_send_signal(nursery.births[0].pidfd, signal.SIGKILL)
    wait_until(nursery.births[0].none_left)
    assert not outer.is_empty()
    with pytest.raises(ContainmentError, match="live"):
        outer.close()

    async def main() -> None:
        emptied = asyncio.Event()
        outer.watch_empty(emptied.set)
        outer.kill()
        await asyncio.wait_for(emptied.wait(), 60)

    asyncio.run(main())
    wait_until(birth.none_left)
    wait_until(inner.is_empty)
    assert outer.is_empty()


def test_killing_an_inner_cell_leaves_the_outer_alone(nursery: Nursery) -> None:
    outer = nursery.cell("/planner", "1.1")
    first = nursery.bear(outer, births.plain)
    first.wait_said(1)
    inner = nursery.cell("/planner/sub", "1.2")
    second = nursery.bear(inner, births.plain)
    second.wait_said(1)
    inner.kill()
    wait_until(second.none_left)
    wait_until(inner.is_empty)
    assert len(outer.members()) == 1
    assert not first.none_left()
    inner.close()
    nursery.cell("/planner/sub", "1.3")


def test_siblings_under_one_supervisor_do_not_touch(nursery: Nursery) -> None:
    one, two = nursery.cell("/crew/a", "1.1"), nursery.cell("/crew/ab", "1.2")
    first, second = nursery.bear(one, births.plain), nursery.bear(two, births.plain)
    first.wait_said(1)
    second.wait_said(1)
    one.kill()
    wait_until(first.none_left)
    wait_until(one.is_empty)
    one.close()
    assert len(two.members()) == 1


def test_no_birth_below_a_cell_that_is_being_killed(nursery: Nursery) -> None:
    outer = nursery.cell("/planner", "1.1")
    nursery.cell("/planner/a", "1.2")
    nursery.cell("/planner/a/b", "1.3")
    outer.kill()
    for path, killed in (("/planner/sub", "/planner"), ("/planner/a/b/c/d", "/planner/a/b")):
        with pytest.raises(ContainmentError, match=f"{killed} is being killed"):
            nursery.cell(path, "1.4")


def test_a_birth_that_was_under_way_when_its_cell_was_killed_does_not_live(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.with_child, attach=False)
    cell.kill()
    cell.attach(birth.pid, birth.pidfd)
    wait_until(birth.none_left)


def test_the_same_path_has_one_open_cell(nursery: Nursery) -> None:
    first = nursery.cell("/coder", "1.1")
    with pytest.raises(ContainmentError, match=r"incarnation 1\.1 is open"):
        nursery.cell("/coder", "1.2")
    first.close()
    second = nursery.cell("/coder", "1.2")
    first.close()
    with pytest.raises(ContainmentError, match=r"incarnation 1\.2 is open"):
        nursery.cell("/coder", "1.3")
    assert second.is_empty()


@pytest.mark.parametrize(
    "path",
    [
        "/cgroup.procs",
        "/memory.max/cgroup.kill",
        "/..",
        "/chats/Ana María@7+x:y",
        "/" + "n" * 300,
        "/\n/tasks",
        "/a%2Fb",
    ],
)
def test_any_name_can_be_a_cell(nursery: Nursery, path: str) -> None:
    cell = nursery.cell(path)
    birth = nursery.bear(cell, births.plain)
    birth.wait_said(1)
    assert len(cell.members()) == 1
    cell.kill()
    wait_until(birth.none_left)


def test_what_lives_cannot_be_closed_and_closing_twice_is_well(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.plain)
    birth.wait_said(1)
    with pytest.raises(ContainmentError, match="kill it"):
        cell.close()
    cell.kill()
    wait_until(birth.none_left)
    wait_until(cell.is_empty)
    cell.close()
    cell.close()
    cell.kill()
    assert cell.is_empty()


def test_usage_counts_processes_memory_and_cpu(nursery: Nursery) -> None:
    cell = nursery.cell()
    birth = nursery.bear(cell, births.busy)
    birth.wait_said(1)
    wait_until(lambda: (cell.usage().cpu_s or 0) > 0.05)
    usage = cell.usage()
    assert usage.processes == 1
    assert usage.memory_bytes and 100_000 < usage.memory_bytes < 1_000_000_000
    assert cell.out_of_memory_kills() == 0


def test_a_living_cell_holds_no_descriptor(nursery: Nursery) -> None:
    """5,000 agents have better use for them."""
    before = len(os.listdir("/proc/self/fd"))
    cell = nursery.cell()
    nursery.bear(cell, births.plain).wait_said(1)
    birth_fds = 3
    assert len(os.listdir("/proc/self/fd")) == before + birth_fds


def test_explain_speaks_in_sentences(nursery: Nursery) -> None:
    said = nursery.containment.explain()
    assert said and all(len(sentence) > 20 for sentence in said)
    assert nursery.cell(limits=Limits()).tier == nursery.containment.tier
