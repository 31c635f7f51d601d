"""Looks at a process whose interpreter does not run, by each of the means: py-spy that works, fails, says too much or
hangs; the signal; and a process that somebody has stopped. What does not help costs its time and leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agenthost.containment import procfs
from agenthost.core import effects as do
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.host import py_spy, stack_dump
from agenthost.host.autopsy import STACK_BYTES
from agenthost.host.examining import LONGEST_S, Examining
from agenthost.host.incarnation import Incarnation
from agenthost.host.private_values import Private
from agenthost.host.stack_dump import Signal, StackDump, Told
from agenthost.host.standstill import silence_in_words, why_it_stands
from agenthost.launch import slate
from agenthost.launch.slate import Slate
from tests.waiting import wait_until

HOLDS = Path(__file__).resolve().parent / "holding.py"


class Holder:
    """A process that holds its interpreter in C code. Nobody in it answers."""

    def __init__(self, threads: int = 0, depth: int = 0) -> None:
        self.page = Slate()
        words = [str(self.page.descriptor), str(threads), str(depth)]
        self.process = subprocess.Popen(
            [sys.executable, HOLDS, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=[self.page.descriptor],
        )  # fmt: skip
        assert self.process.stdout is not None and self.process.stdout.readline()
        self.pid = self.process.pid
        wait_until(lambda: b"pipe_read" in Path(f"/proc/{self.pid}/wchan").read_bytes() or self.state == "S")
        born = SimpleNamespace(slate=self.page, birth_socket=SimpleNamespace(send=lambda data: None))
        self.incarnation: Any = SimpleNamespace(
            n=7, birth=AgentBirth("a:A"), born=born, agent_pid=self.pid, exited=False, frozen=False,
            signal_main=self.process.send_signal,
        )  # fmt: skip

    @property
    def state(self) -> str:
        found = procfs.stat(self.pid)
        return found.state if found is not None else ""

    def look(self, signal: Signal) -> Told:
        async def look() -> Told:
            dump = StackDump()
            told = await dump.stack_of(self.incarnation, signal)
            async with asyncio.timeout(60):
                while dump.pids():  # noqa: ASYNC110  # turns of the loop are what it takes
                    await asyncio.sleep(0.001)
            return told

        return asyncio.run(look())

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *of: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It does not answer, as ever; and no descriptor is left."""
    monkeypatch.setattr(stack_dump, "ASK_S", 0.01)
    gc.collect()  # what was told as an error holds its frames, and they their files
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() == before


def descriptors() -> list[str]:
    return sorted(
        os.readlink(f"/proc/self/fd/{one}")
        for one in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{one}")
    )


def instead(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Another program in py-spy's place."""
    program = folder / "py-spy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(py_spy, "py_spy", lambda: str(program))


@pytest.mark.skipif(py_spy.py_spy() is None, reason="py-spy is not installed: pip install 'agenthost[dump]'")
def test_py_spy_tells_all_threads_of_one_that_holds_the_interpreter_and_it_goes_on() -> None:
    with Holder(threads=2, depth=3) as holder:
        told = holder.look("")
        assert holder.state == "S"
    assert re.fullmatch(r"py-spy; its async tasks are not known, for it did not answer within .* s", told.means)
    main, *others = told.stack.split("\n\n")
    assert main.startswith("thread MainThread, holds the interpreter:") and main.endswith("in grab")
    assert {one.splitlines()[0] for one in others} == {"thread own-0:", "thread own-1:"}
    assert all(one.count("in deep") == 4 and "in waits" in one for one in others)


def test_where_py_spy_fails_or_says_too_much_the_signal_tells_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Holder(threads=1) as holder:
        instead(monkeypatch, tmp_path, "echo 'Error: it is not allowed' >&2; echo more >&2; exit 1")
        assert re.fullmatch(
            r"none: it did not answer within .* s; py-spy: Error: it is not allowed; "
            "it is not sent a signal as long as it may come back",
            holder.look("").means,
        )
        told = holder.look("go_on")
        assert told.means.startswith("faulthandler; its async tasks are not known") and "in grab" in told.stack
        monkeypatch.setattr(py_spy, "MOST_SAID_BYTES", 64 * 1024)
        instead(monkeypatch, tmp_path, "exec cat /dev/zero")  # its output is full, and then it fails
        assert "py-spy: cat: " in holder.look("").means
        instead(monkeypatch, tmp_path, "echo '[]'")
        assert "py-spy has found no Python calls" in holder.look("").means
        assert holder.state == "S", "it goes on"


def test_a_py_spy_that_hangs_is_killed_with_what_it_has_started_and_the_signal_tells_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(py_spy, "LONGEST_S", 0.3)
    instead(monkeypatch, tmp_path, f"sleep 1000 & echo $! $$ >{tmp_path}/pids; wait")
    with Holder() as holder:
        told = holder.look("end")
        assert told.means.startswith("faulthandler") and "in grab" in told.stack
        assert holder.process.wait(60) == -slate.LAST_SIGNAL
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_until(lambda pid=pid: (one := procfs.stat(pid)) is None or not one.alive, what=f"{pid} has ended")  # type: ignore[misc]


def test_all_means_together_take_less_time_than_a_kill_may_wait() -> None:
    assert stack_dump.NO_ANSWER == "it did not answer within 0.6 s"
    assert 0.6 + py_spy.LONGEST_S + stack_dump.SIGNAL_S < LONGEST_S == 2.0


def test_many_threads_with_deep_stacks_are_told_by_the_signal_within_bounds_the_main_one_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(py_spy, "py_spy", lambda: None)
    with Holder(threads=slate.MOST_THREADS - 2, depth=150) as holder:
        told = holder.look("end")
        assert holder.process.wait(60) == -slate.LAST_SIGNAL
    assert told.means.startswith("faulthandler") and "not written to its end" not in told.stack
    assert 1000 < len(told.stack.encode()) <= STACK_BYTES and "bytes left out" in told.stack
    assert told.stack.startswith("thread that was asked") and "in grab" in told.stack.split("\n\n")[0]


def test_of_more_threads_than_the_handler_tells_it_tells_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_spy, "py_spy", lambda: None)
    with Holder(threads=slate.MOST_THREADS + 20) as holder:
        told = holder.look("go_on")
        assert "of its 121 threads the newest 100 are told" in told.stack and holder.state == "S", "it goes on"
        told = holder.look("end")
        assert holder.process.wait(60) == -slate.LAST_ALONE_SIGNAL
    first, last = told.stack.split("in grab\n")
    assert first.startswith("thread that was asked, the main one as a rule:")
    assert last == "[... of its 121 threads this one alone is told ...]"


def test_one_that_somebody_has_stopped_is_said_to_be_so_and_is_sent_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_spy, "py_spy", lambda: None)
    with Holder() as holder:
        assert why_it_stands(holder.incarnation) == ""
        assert silence_in_words(holder.incarnation, "no beat for 3 s") == "no beat for 3 s"
        os.kill(holder.pid, signal.SIGSTOP)
        wait_until(lambda: holder.state == "T", what="it stands")
        assert silence_in_words(holder.incarnation, "no beat for 3 s") == (
            "no beat for 3 s: it is stopped by a signal (SIGSTOP)"
        )
        assert holder.look("end") == Told("", "none: it is stopped by a signal (SIGSTOP); py-spy is not installed")
        assert holder.state == "T"
        holder.incarnation.frozen = True
        assert holder.look("end").means.startswith("none: it is frozen; ")


def test_what_was_written_by_one_that_ends_in_the_midst_of_a_look_is_told_without_secrets_before_the_kill_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(py_spy, "py_spy", lambda: None)
    went: list[Any] = []

    async def look(holder: Holder) -> None:
        cell: Any = SimpleNamespace(members=lambda: [holder.pid])
        born: Any = holder.incarnation.born
        born.pid, born.pidfd = holder.pid, os.pidfd_open(holder.pid)
        private = Private(secrets=((b"KEY", HOLDS.name.encode()),))
        one = Incarnation(
            "/a", 7, "1.7", AgentBirth("a:A"), cell, 0.0, born=born, agent_pid=holder.pid, private=private
        )
        it = Examining(
            boot=1, present={7: one}.get, hasten=lambda one: None, outer=lambda pid: pid, record=lambda *of, **how: None
        )
        it.on_autopsy = went.append
        seen = await it.look_at(one, with_stack=True)
        assert "in grab" in seen.stack and HOLDS.name not in seen.stack, "whoever asks"
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(born.pidfd, ended.set)
        it.examine(do.Examine("/a", 7, Reason("silent", text=f"{HOLDS.name} does not answer")))
        assert it.holds(7, lambda: went.append("kill"))
        async with asyncio.timeout(60):
            await ended.wait()
        loop.remove_reader(born.pidfd)
        os.close(born.pidfd)
        one.exited = True
        it.exited(one)
        await asyncio.sleep(0)
        it.close()

    with Holder() as holder:
        asyncio.run(look(holder))
        assert holder.process.wait() == -slate.LAST_SIGNAL
    autopsy, then = went
    assert then == "kill" and autopsy.reason == "*** does not answer"
    assert "in grab" in autopsy.stack and '/***", line' in autopsy.stack and HOLDS.name not in str(autopsy)
    assert [one["pid"] for one in autopsy.processes] == [holder.pid]


def test_which_py_spy_is_taken_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(py_spy.VARIABLE, "/opt/py-spy")
    assert py_spy.py_spy() == "/opt/py-spy"
    monkeypatch.setenv(py_spy.VARIABLE, "")
    assert py_spy.py_spy() is None


def test_looks_at_those_who_end_in_the_midst_of_it_leave_nothing_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The fixture counts."""
    instead(monkeypatch, tmp_path, "exit 1")
    monkeypatch.setattr(stack_dump, "SIGNAL_S", 0.02)
    page = Slate()

    async def look(number: int) -> None:
        process = subprocess.Popen(["sleep", "1000"])  # noqa: ASYNC220  # it does not block
        born = SimpleNamespace(slate=page, birth_socket=SimpleNamespace(send=lambda data: None))
        incarnation: Any = SimpleNamespace(
            n=number, birth=AgentBirth("a:A"), born=born, agent_pid=process.pid, exited=False, frozen=False,
            signal_main=process.send_signal,
        )  # fmt: skip
        dump = StackDump()
        looking = asyncio.ensure_future(dump.stack_of(incarnation, "end"))
        await asyncio.sleep(0.001 * (number % 25))
        process.kill()
        process.wait()
        incarnation.exited = True
        if number % 3:
            looking.cancel()
        (told,) = await asyncio.gather(looking, return_exceptions=True)
        assert isinstance(told, asyncio.CancelledError) or told.stack == "", told
        async with asyncio.timeout(60):
            while dump.pids():  # noqa: ASYNC110  # turns of the loop are what it takes
                await asyncio.sleep(0.001)

    async def all_of_them() -> None:
        for number in range(50):
            await look(number)

    asyncio.run(all_of_them())
