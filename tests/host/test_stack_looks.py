"""Looks at stacks: one at a time for an agent, whoever asks; nothing is left behind when descriptors are out; of a
crowd only some are looked at."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest

from agenthost.containment import procfs
from agenthost.core import effects as do
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.host import examining, py_spy, stack_dump
from agenthost.host.autopsy import Autopsy
from agenthost.host.examining import CROWDED, NOT_READ, Examining
from agenthost.host.incarnation import Incarnation
from agenthost.host.py_spy import PySpy
from agenthost.host.stack_dump import StackDump, Told
from agenthost.launch.slate import LAST_SIGNAL, Slate
from tests.waiting import wait_until


def silent(page: Slate | None = None) -> Any:
    """An incarnation that answers nobody, and whose handler does not run."""
    born = SimpleNamespace(slate=page, birth_socket=SimpleNamespace(send=lambda data: None))
    return SimpleNamespace(
        n=7, birth=AgentBirth("a:A"), born=born, agent_pid=os.getpid(), exited=False, frozen=False,
        signal_main=lambda number: None,
    )  # fmt: skip


def test_two_looks_at_one_agent_are_one_and_the_firmest_signal_may_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    incarnation = silent(Slate())
    incarnation.signal_main = sent.append
    for name in ("ASK_S", "SIGNAL_S"):
        monkeypatch.setattr(stack_dump, name, 0.05)
    monkeypatch.setattr(py_spy, "py_spy", lambda: None)
    monkeypatch.setattr(stack_dump, "_why_not_by_signal", lambda *of: "")

    async def both() -> tuple[Told | BaseException, ...]:
        dump = StackDump()
        return await asyncio.gather(
            dump.stack_of(incarnation, "go_on"), dump.stack_of(incarnation, "end"), return_exceptions=True
        )

    first, second = asyncio.run(both())
    assert isinstance(first, Told) and first == second
    assert sent == [LAST_SIGNAL]


def test_who_does_not_wait_any_longer_does_not_end_the_look_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        dump, go, begun = StackDump(), asyncio.Event(), []

        async def find(incarnation: Any, look: Any) -> Told:
            begun.append(look)
            await go.wait()
            return Told("here", "means")

        monkeypatch.setattr(dump, "_find", find)
        asks = [asyncio.ensure_future(dump.stack_of(silent(), "go_on")) for _ in range(2)]
        while not begun:  # noqa: ASYNC110  # turns of the loop are what it takes
            await asyncio.sleep(0)
        asks[0].cancel()
        await asyncio.sleep(0)
        go.set()
        assert await asks[1] == Told("here", "means")
        go.clear()
        last = asyncio.ensure_future(dump.stack_of(silent(), "go_on"))
        while len(begun) < 2:  # noqa: ASYNC110  # turns of the loop are what it takes
            await asyncio.sleep(0)
        last.cancel()
        await asyncio.gather(last, begun[1].task, return_exceptions=True)
        assert begun[1].task.cancelled() and len(begun) == 2, "nobody waits for it"

    asyncio.run(run())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_open_nor_running_when_descriptors_are_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = os.memfd_create, []

    def out(*of: Any) -> int:
        raise OSError(24, "Too many open files")

    def one_alone(*of: Any) -> int:
        made.append(0)
        return real(*of) if len(made) == 1 else out()

    async def second_memfd() -> None:
        monkeypatch.setattr(os, "memfd_create", one_alone)
        with pytest.raises(OSError, match="Too many"):
            await PySpy().run(["/bin/true"])
        monkeypatch.setattr(os, "memfd_create", real)

    async def no_pidfd() -> None:
        monkeypatch.setattr(os, "pidfd_open", out)
        looks = PySpy()
        with pytest.raises(OSError, match="Too many"):
            await looks.run(["/bin/sleep", "1000"])
        async with asyncio.timeout(60):
            while looks.pids():  # turns of the loop are what it takes
                assert {procfs.stat(pid) is not None for pid in looks.pids()} == {True}, "it is ours until it is reaped"
                await asyncio.sleep(0.001)

    for deed in (second_memfd, no_pidfd):
        before = descriptors()
        asyncio.run(deed())
        assert descriptors() == before


CROWD, READ_S = 100, 0.01


def test_of_a_crowd_that_is_ended_at_once_only_some_are_read_and_all_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    wait_until(lambda: procfs.stat(child.pid) is not None, what="it runs")
    reads: list[int] = []

    class Cell:
        def members(self) -> list[int]:
            reads.append(child.pid)
            time.sleep(READ_S)  # what it may cost
            return [child.pid]

    cell: Any = Cell()
    crowd = {
        n: Incarnation(f"/{n}", n, f"1.{n}", AgentBirth("a:A"), cell, 0.0, born=SimpleNamespace(pid=child.pid))  # type: ignore[arg-type]
        for n in range(1, CROWD)
    }
    monkeypatch.setattr(examining, "SEEN_AGAIN_S", 3600.0)
    told: list[Autopsy] = []
    lines: list[str] = []

    async def run() -> None:
        ended: list[int] = []
        it = Examining(
            boot=1,
            present=crowd.get,
            hasten=lambda one: None,
            outer=lambda pid: pid,
            record=lambda *of, **fields: lines.append(fields["text"]),
        )
        it.on_autopsy = told.append
        for n in crowd:
            it.examine(do.Examine(f"/{n}", n, Reason("start_timeout", text="not ready within 1 s")))
            assert it.holds(n, lambda n=n: ended.append(n))  # type: ignore[misc]
        async with asyncio.timeout(60):
            while len(ended) < len(crowd):  # noqa: ASYNC110  # turns of the loop are what it takes
                await asyncio.sleep(0)
        it.close()

    try:
        asyncio.run(run())
    finally:
        child.kill()
        child.wait()
    most = 1 + round(examining.SEEN_S / READ_S)
    assert 1 <= len(reads) <= most < CROWD
    assert len(told) == len(crowd) and sum(bool(one.processes) for one in told) == len(reads)
    assert all(one.processes_means == NOT_READ for one in told if not one.processes)
    assert sum("its processes were not read: too many" in text for text in lines) == len(crowd) - len(reads)
    assert all(one.stack_means == CROWDED for one in told), "more than may be asked for their stacks"
