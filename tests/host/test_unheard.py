"""Whose main thread is found outside of epoll twice in a row, though nothing is heard of a turn, is asked why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agenthost.containment import procfs
from agenthost.core.birth import AgentBirth
from agenthost.host.incarnation import Incarnation
from agenthost.host.unheard import LOOKS, Unheard, is_elsewhere
from tests.waiting import wait_until

RESTS = "import select; p = select.epoll(); print(flush=True); p.poll()"
SLEEPS = "import time; print(flush=True); time.sleep(1000)"
COMPUTES = "print(flush=True)\nwhile True: pass"
Begin = Callable[[str], Incarnation]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """An incarnation that is up, whose process does that."""
    children: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> Incarnation:
        child = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout is not None and child.stdout.readline()
        n = len(children)
        nowhere: Any = None
        return Incarnation(f"/{n}", n, f"1.{n}", AgentBirth("a:A"), nowhere, 0.0, agent_pid=child.pid, peer=b"p")

    yield start
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def test_who_rests_is_told_from_who_does_not(begin: Begin) -> None:
    rests = begin(RESTS)
    wait_until(lambda: not is_elsewhere(rests), what="it rests")
    sleeps = begin(SLEEPS)
    wait_until(lambda: is_elsewhere(sleeps), what="it sleeps elsewhere")
    assert is_elsewhere(begin(COMPUTES))
    gone = begin("print(flush=True)")
    wait_until(lambda: not is_elsewhere(gone), what="it has ended")


def test_it_is_asked_after_two_looks_and_nobody_of_whom_something_is_known(begin: Begin) -> None:
    rests, computes, beats, frozen, ends, new = (begin(code) for code in (RESTS, *[COMPUTES] * 5))
    wait_until(lambda: not is_elsewhere(rests), what="it rests")
    beats.beat_at, frozen.frozen, ends.asked, new.peer = 1.0, True, ("it is to stop", 5.0), None
    asked: list[Incarnation] = []
    unheard = Unheard(lambda: [rests, computes, beats, frozen, ends, new], asked.append)
    unheard.look()
    assert not asked
    unheard.look()
    assert asked == [computes]
    computes.doubt = 1
    for _ in range(3):
        unheard.look()
    assert asked == [computes], "as long as it owes an answer"


def test_who_was_stopped_by_somebody_is_left_alone(begin: Begin) -> None:
    stopped = begin(COMPUTES)
    assert stopped.agent_pid is not None
    os.kill(stopped.agent_pid, signal.SIGSTOP)
    wait_until(lambda: (one := procfs.stat(stopped.agent_pid or 0)) is not None and one.state == "T", what="it stands")
    asked: list[Incarnation] = []
    unheard = Unheard(lambda: [stopped], asked.append)
    for _ in range(3):
        unheard.look()
    assert not asked and not is_elsewhere(stopped)


def test_of_many_each_has_its_turn(begin: Begin) -> None:
    one = begin(COMPUTES)
    asked: list[Incarnation] = []
    crowd = [one, *[Incarnation("/x", 9, "1.9", AgentBirth("a:A"), one.cell, 0.0) for _ in range(2 * LOOKS)]]
    unheard = Unheard(lambda: crowd, asked.append)
    rounds = 4
    for _ in range(3 * rounds + 1):  # three looks are one round
        unheard.look()
    assert asked == [one] * rounds
