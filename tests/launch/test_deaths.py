"""Zygotes die, births are cancelled, the host is killed: no birth is lost, none happens twice, nothing is left."""

# ruff: noqa: ASYNC230 - these tests may block their loop: it is theirs alone, births do not need it

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.errors import StartFailed
from agenthost.launch.launcher import Release
from agenthost.launch.strays import Strays
from agenthost.launch.zygotes import Zygotes
from tests.launch.births import Newborn, agent, changed, give_birth, launching, program, until, within
from tests.waiting import wait_until


def zygote_pid(zygotes: Zygotes) -> int:
    (status,) = zygotes.status()
    return status.pid


def children() -> set[int]:
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.mark.slow
def test_with_zygotes_killed_under_load_each_order_ends_once(tmp_path: Path) -> None:
    async def test() -> None:
        marks = tmp_path / "marks"
        chance = random.Random(5)
        async with launching() as zygotes:
            births = {
                asyncio.create_task(
                    give_birth(zygotes, agent("mark", path=f"/a/{number}", file=str(marks)))
                ): f"/a/{number}"
                for number in range(600)
            }
            killed = 0
            while (done := sum(task.done() for task in births)) < 500:
                await asyncio.wait([task for task in births if not task.done()], return_when=asyncio.FIRST_COMPLETED)
                ready = [status for status in zygotes.status() if status.ready]
                if ready and chance.random() < 0.3 and killed < 25:
                    os.kill(ready[0].pid, signal.SIGKILL)
                    killed += 1
            assert done >= 500
            results = await asyncio.gather(*births, return_exceptions=True)
            assert killed > 5
            born = {}
            for path, result in zip(births.values(), results, strict=True):
                assert isinstance(result, Newborn | StartFailed), result
                if isinstance(result, Newborn):
                    assert result.here() == result.born.pid
                    born[path] = result
            assert children() == {newborn.born.pid for newborn in born.values()} | {s.pid for s in zygotes.status()}
            for newborn in born.values():
                newborn.born.birth_socket.send(b"x")
                assert newborn.wait_ended() == 0
            assert sorted(marks.read_text().split()) == sorted(born)
            after = await give_birth(zygotes, agent("end"))
            assert after.wait_ended() == 0

    within(test())


def test_a_birth_whose_answer_was_lost_with_the_zygote_is_found_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        marks = tmp_path / "marks"
        async with launching() as zygotes:
            (await give_birth(zygotes, agent("end"))).wait_ended()
            (line,) = zygotes._lines
            task = asyncio.create_task(give_birth(zygotes, agent("mark", path="/a/1", file=str(marks))))
            await asyncio.sleep(0)  # the order is sent, its answer is not yet read
            wait_readable(line._link)
            line._link.recv(4096)  # the answer, and the pidfd with it
            line.kill()
            newborn = await task
            assert newborn.here() == newborn.born.pid
            newborn.born.birth_socket.send(b"x")
            assert newborn.wait_ended() == 0
        assert marks.read_text() == "/a/1\n"

    within(test())


def test_orders_that_a_stopped_zygote_never_read_are_born_by_the_next(tmp_path: Path) -> None:
    async def test() -> None:
        async with launching() as zygotes:
            (await give_birth(zygotes, agent("end"))).wait_ended()
            first = zygote_pid(zygotes)
            os.kill(first, signal.SIGSTOP)
            tasks = [asyncio.create_task(give_birth(zygotes, agent("end", status=n))) for n in range(100)]
            await until(lambda: sum(one.under_way for one in zygotes.status()) == 100)
            os.kill(first, signal.SIGKILL)
            newborns = await asyncio.gather(*tasks)
            assert [newborn.wait_ended() for newborn in newborns] == list(range(100))
            assert zygote_pid(zygotes) != first

    within(test())


def test_a_zygote_in_use_is_there_again_after_it_was_killed() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            await zygotes.start()
            await until(lambda: zygotes.status()[0].ready)
            first = zygote_pid(zygotes)
            os.kill(first, signal.SIGKILL)
            await until(lambda: [status.pid != first and status.ready for status in zygotes.status()] == [True])
            newborn = await give_birth(zygotes, program("true"))
            assert newborn.wait_ended() == 0

    within(test())


def test_a_cancelled_birth_leaves_no_process() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            (await give_birth(zygotes, agent("end"))).wait_ended()
            zygote = zygote_pid(zygotes)
            for rounds in range(4):
                task = asyncio.create_task(give_birth(zygotes, agent("wait")))
                for _ in range(rounds):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await until(lambda: not any(one.under_way for one in zygotes.status()))
            await zygotes._strays.wait_none()
            assert children() == {zygote}

    within(test())


def test_a_birth_cancelled_as_its_answer_comes_leaves_no_process() -> None:
    async def test() -> None:
        read, write = os.pipe()
        async with launching() as zygotes:
            (await give_birth(zygotes, agent("end"))).wait_ended()
            (line,) = zygotes._lines
            task = asyncio.create_task(zygotes.birth(changed(agent("wait"), stdout=write, stderr=write)))
            await asyncio.sleep(0)
            wait_readable(line._link)
            line._hear()  # the future has its result, the task has not run
            assert not line.under_way
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await zygotes._strays.wait_none()
            assert children() == {line.pid}
        os.close(read)
        os.close(write)

    within(test())


def test_an_import_that_never_ends_is_ended_with_the_last_birth_that_waited_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "endless.py").write_text(
            f"import signal\nopen({str(tmp_path / 'begun')!r}, 'w').close()\nsignal.pause()\n"
        )
        release = Release(modules=("endless",), search_path=(str(tmp_path),))
        async with launching() as zygotes:
            task = asyncio.create_task(give_birth(zygotes, agent("end", release=release)))
            await asyncio.sleep(0)
            wait_until((tmp_path / "begun").exists, what="the import has begun")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not zygotes.status())

    within(test())


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
@pytest.mark.parametrize(
    ("before", "after"), [(0, 0), (1, 0), (2, 0), (2, 1)], ids=["socket", "its other end", "proc", "pidfd"]
)
def test_a_host_out_of_descriptors_fails_a_birth_and_leaves_no_process(before: int, after: int) -> None:
    """``before`` are left as the order is given; ``after`` of them go before its answer comes."""

    async def test() -> None:
        with open(os.devnull, "w") as null:
            order = changed(agent("wait"), stdout=null.fileno(), stderr=null.fileno())
            async with launching() as zygotes:
                (await give_birth(zygotes, agent("end"))).wait_ended()
                zygote = zygote_pid(zygotes)
                taken = take_descriptors_but(before)
                task = asyncio.create_task(zygotes.birth(order))
                await asyncio.sleep(0)
                taken += [os.dup(0) for _ in range(after)]
                (result,) = await asyncio.gather(task, return_exceptions=True)
                for descriptor in taken:
                    os.close(descriptor)
                assert isinstance(result, StartFailed)
                assert "cannot start /team/planner" in str(result)
                assert "Too many open files" in str(result)
                await until(lambda: children() == {zygote})
                assert (await give_birth(zygotes, agent("end"))).wait_ended() == 0

    within(test())


def take_descriptors_but(spare: int) -> list[int]:
    """Take all descriptors below the soft limit, but for ``spare``."""
    taken = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    for _ in range(spare):
        os.close(taken.pop())
    return taken


def test_close_fails_what_is_under_way_and_leaves_nothing() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            tasks = [asyncio.create_task(give_birth(zygotes, agent("wait"))) for _ in range(20)]
            await asyncio.sleep(0)
            await zygotes.close()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {str(result) for result in results} == {"cannot start anything: the host is ending"}
            with pytest.raises(StartFailed, match="the host is ending"):
                await give_birth(zygotes, agent("wait"))
        assert children() == set()

    within(test())


def test_a_host_killed_with_sigkill_leaves_nothing() -> None:
    host = subprocess.Popen([sys.executable, "-m", "tests.launch.playing_host"], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host, host.stdout:
        pids = [int(word) for word in host.stdout.readline().split()]
        assert len(pids) == 4
        host.kill()
    wait_until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], what="all have gone")


def wait_readable(link: socket.socket) -> None:
    poll = select.poll()
    poll.register(link, select.POLLIN)
    assert poll.poll(10_000)


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_a_stray_that_was_reaped_before_we_were_told_of_it_is_ended_already(has_pidfd: bool) -> None:
    """Who ends remnants (tier walk) reaps what it does not know."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    pidfd = os.pidfd_open(pid) if has_pidfd else None
    os.waitpid(pid, 0)

    async def end() -> None:
        strays = Strays()
        strays.end(pid, pidfd)
        await asyncio.wait_for(strays.wait_none(), 60)
        assert not strays.pids

    asyncio.run(end())
