"""A program of ``protocol: lines`` whose turn is interrupted: its late answer is never taken for the next one's."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agenthost.client import Client
from agenthost.errors import Interrupted
from agenthost.protocol import birth
from agenthost.protocol.codec import encode
from tests.agent.fake_host import FakeHost, Hosted, fake_host
from tests.waiting import wait_until

ECHO = """
import sys, json, os, time
print("born", os.getpid(), file=sys.stderr, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked == "work":
        print("working", file=sys.stderr, flush=True)
        {work}
    print(json.dumps([os.getpid(), asked]), flush=True)
"""
AWARE = """
        try:
            time.sleep(1000)
        except KeyboardInterrupt:
            asked = "given up"
"""


def program(work: str) -> dict[str, Any]:
    return {"argv": [sys.executable, "-c", ECHO.replace("{work}", work.strip())]}


@pytest.fixture
def host(places: Path) -> Iterator[FakeHost]:
    with fake_host(places / "run") as host:
        yield host


def pid_after(host: FakeHost, it: Hosted) -> list[int]:
    """The program that answers before the turn was interrupted, and the one after it."""
    with Client(host.endpoint) as client:
        before, said = client.call("/it", "hello", timeout=60)
        assert said == "hello"
        outcomes: list[BaseException] = []

        def call() -> None:
            with Client(host.endpoint) as mine, pytest.raises(Interrupted, match="by the test") as caught:
                mine.call("/it", "work", timeout=60)
            outcomes.append(caught.value)

        caller = threading.Thread(target=call)
        caller.start()
        wait_until(lambda: "working" in it.stderr(), 60, "the program works")
        it.sock.send(encode(birth.Interrupt(id=1, why="interrupted by the test")))
        caller.join()
        assert len(outcomes) == 1
        pids = {tuple(client.call("/it", number, timeout=60)) for number in range(3)}
    assert {said for _, said in pids} == {0, 1, 2}, "each answer is that of its own question"
    [after] = {pid for pid, _ in pids}
    assert host.agents and it.is_alive
    return [before, after]


def start(host: FakeHost, work: str, **args: Any) -> Hosted:
    return host.start("agenthost_workers.command:Command", args={**program(work), **args})


def test_one_that_answers_to_sigint_is_kept_and_that_answer_is_dropped(host: FakeHost) -> None:
    it = start(host, AWARE)
    before, after = pid_after(host, it)
    assert before == after


def test_one_that_dies_of_sigint_is_replaced(host: FakeHost) -> None:
    it = start(host, "time.sleep(1000)")
    before, after = pid_after(host, it)
    assert before != after and "KeyboardInterrupt" in it.stderr()


def test_one_that_ignores_sigint_is_killed_and_replaced(host: FakeHost) -> None:
    work = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(1000)"
    it = start(host, work, interrupt_wait_s=0.1)
    before, after = pid_after(host, it)
    assert before != after
    wait_until(lambda: not Path(f"/proc/{before}").exists(), 60, "the old program is gone")
    assert "a fresh one has begun" in it.stdout()


def test_the_agent_still_ends_as_its_program_does_after_that(host: FakeHost) -> None:
    it = start(host, "time.sleep(1000)")
    _, after = pid_after(host, it)
    os.kill(after, signal.SIGTERM)
    assert host.wait_end(it) == -signal.SIGTERM
