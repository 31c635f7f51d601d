"""A process tells where its threads and tasks stand: bounded, without values, and without waiting for anybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import pytest

from agenthost.agent import stack
from agenthost.agent.stack import all_stacks
from agenthost.client import Client
from agenthost.protocol import birth
from agenthost.protocol.codec import encode
from tests.agent.fake_host import FakeHost
from tests.waiting import wait_until


@contextmanager
def thread_in(target: Callable[[threading.Event, threading.Event], None], name: str = "author's") -> Iterator[None]:
    """A thread that has come to where it waits."""
    there, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=target, args=(there, go), name=name)
    thread.start()
    assert there.wait(60)
    try:
        yield
    finally:
        go.set()
        thread.join()


def waits(there: threading.Event, go: threading.Event, secret: str = "hunter2") -> None:
    there.set()
    go.wait()


def deep(there: threading.Event, go: threading.Event, left: int = 500) -> None:
    if left:
        deep(there, go, left - 1)
    else:
        waits(there, go)


def part(text: str, begin: str) -> list[str]:
    return next(one for one in text.split("\n\n") if one.startswith(begin)).splitlines()


def test_each_thread_is_told_the_main_one_first_with_its_lines_and_no_values() -> None:
    with thread_in(waits):
        text = all_stacks()
    lines = part(text, "thread author's:")
    at = next(n for n, line in enumerate(lines) if line.endswith(", in waits"))
    assert lines[at].startswith(f'  File "{__file__}", line ') and lines[at + 1] == "    go.wait()"
    assert text.startswith("thread MainThread:") and "in test_each_thread_is_told" in text
    assert "hunter2" not in text


def test_the_same_call_over_and_over_is_told_once() -> None:
    with thread_in(deep):
        lines = part(all_stacks(), "thread author's:")
    assert sum("in deep" in line for line in lines) <= 2 and len(lines) < 40
    assert any("calls left out" in line for line in lines) and any("more times" in line for line in lines)
    assert any(line.endswith(", in waits") for line in lines)


def test_tasks_are_told_along_what_they_await() -> None:
    told: list[str] = []

    async def inner(gone: asyncio.Event) -> None:
        await gone.wait()

    async def outer(gone: asyncio.Event) -> None:
        await inner(gone)

    async def main() -> None:
        gone = asyncio.Event()
        task = asyncio.create_task(outer(gone), name="the worker")
        await asyncio.sleep(0)
        told.append(await asyncio.to_thread(all_stacks))
        gone.set()
        await task

    asyncio.run(main())
    calls = [line.rpartition(", in ")[2] for line in part(told[0], "task the worker:") if line.startswith("  File")]
    assert [call.rpartition(".")[2] for call in calls] == ["outer", "inner", "wait"]
    assert any(line.endswith("main") for line in part(told[0], "task Task-"))


def test_a_crowd_of_threads_and_tasks_is_counted_and_the_text_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> str:
        tasks = [asyncio.create_task(asyncio.sleep(1000)) for _ in range(500)]
        await asyncio.sleep(0)
        text = await asyncio.to_thread(all_stacks)
        for task in tasks:
            task.cancel()
        return text

    text = asyncio.run(main())
    assert f"{501 - stack.MOST_TASKS} more tasks" in text and len(text.encode()) <= stack.MOST_BYTES
    monkeypatch.setattr(stack, "MOST_BYTES", 2000)
    text = asyncio.run(main())
    assert len(text.encode()) <= 2000 and "bytes left out" in text


def test_an_agent_answers_between_turns_and_in_one(host: FakeHost, client: Client, kind: str, tmp_path: Path) -> None:
    it = host.start(kind, beat_s=0.05)
    it.sock.send(encode(birth.WantStack(id=1)))
    wait_until(lambda: it.told(birth.Stack), what="an answer of one that is idle")
    client.send("/it", ["wait_file", str(tmp_path / "go")], durable=False)
    wait_until(lambda: it.told(birth.Beat), what="its turn lasts")
    it.sock.send(encode(birth.WantStack(id=2)))
    wait_until(lambda: len(it.told(birth.Stack)) == 2, what="an answer in the turn")
    (tmp_path / "go").touch()
    idle, busy = it.told(birth.Stack)
    assert (idle.id, busy.id) == (1, 2)
    assert idle.text.startswith("thread MainThread:") and "do_wait_file" not in idle.text
    assert "do_wait_file" in busy.text


class OddThread(threading.Thread):
    name = property(lambda self: 1 / 0)  # type: ignore[assignment]


class OddTask(asyncio.Task):  # type: ignore[type-arg]
    def get_name(self) -> str:
        raise RuntimeError("no name")

    def get_coro(self) -> None:
        raise RuntimeError("no coroutine")


def test_what_is_wrong_with_an_object_of_the_author_s_costs_its_own_lines_alone() -> None:
    there, go = threading.Event(), threading.Event()
    odd = FunctionType(waits.__code__.replace(co_filename="a\0b"), globals(), "odd", waits.__defaults__)
    thread = OddThread(target=odd, args=(there, go))
    thread.start()
    told: list[str] = []

    async def main() -> None:
        task = OddTask(asyncio.sleep(1000))
        beside = asyncio.create_task(asyncio.sleep(1000), name="beside")
        await asyncio.sleep(0)
        told.append(await asyncio.to_thread(all_stacks))
        for one in (task, beside):
            one.cancel()
        await asyncio.gather(task, beside, return_exceptions=True)

    try:
        assert there.wait(60)
        asyncio.run(main())
    finally:
        go.set()
        thread.join()
    assert part(told[0], "thread whose name cannot be told:")[1:] == ["  [it cannot be told: ValueError]"]
    assert part(told[0], "task whose name cannot be told:")[1:] == ["  [it cannot be told: RuntimeError]"]
    assert any(line.endswith("in sleep") for line in part(told[0], "task beside:"))
    assert "in test_what_is_wrong_with" in told[0]


def test_of_a_stack_without_end_only_the_inner_calls_are_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "DEEPEST", 300)
    with thread_in(deep):
        lines = part(all_stacks(), "thread author's:")
    assert lines[1] == "  [... more calls, which were not gone through ...]"
    assert any(line.endswith(", in waits") for line in lines) and not any("threading.py" in one for one in lines[:3])
