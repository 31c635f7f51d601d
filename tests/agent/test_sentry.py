"""Beats in long turns, none in short ones and none when idle; probes are answered at any time."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.agent.receiving import receive
from agenthost.agent.sentry import Sentry
from agenthost.client import Client
from agenthost.errors import TurnInterrupted
from agenthost.protocol import birth
from agenthost.protocol.codec import encode
from tests.agent.fake_host import FakeHost, Hosted
from tests.waiting import wait_until


def wakeups(hosted: Hosted) -> int:
    """Voluntary context switches of all threads but ZeroMQ's own: how often they waited."""
    total = 0
    for task in Path(f"/proc/{hosted.process.pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        if name.startswith("ZMQ"):
            continue
        status = (task / "status").read_text()
        total += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def test_a_long_turn_beats_and_says_when_it_is_over(host: FakeHost, client: Client, kind: str, tmp_path: Path) -> None:
    it = host.start(kind, beat_s=0.05)
    client.send("/it", ["wait_file", str(tmp_path / "go")], durable=False)
    wait_until(lambda: len(it.told(birth.Beat)) >= 3, what="beats")
    assert not it.told(birth.Idle)
    (tmp_path / "go").touch()
    wait_until(lambda: it.told(birth.Idle), what="Idle")
    first, second, third = it.told(birth.Beat)[:3]
    assert first.turn == second.turn == third.turn == it.told(birth.Idle)[0].turn == 1
    assert 0.05 <= first.busy_s < second.busy_s < third.busy_s
    assert isinstance(it.packets[-1], birth.Idle)


def test_short_turns_say_nothing(host: FakeHost, client: Client, kind: str) -> None:
    it = host.start(kind, beat_s=5.0)
    for number in range(200):
        client.call("/it", ["echo", number])
    host.probe(it, 1)
    wait_until(lambda: it.told(birth.Alive), what="Alive")
    assert it.packets == [birth.Up(), birth.Alive(id=1)]


def test_beats_stop_with_the_turn_and_an_idle_agent_never_wakes(
    host: FakeHost, client: Client, kind: str, tmp_path: Path
) -> None:
    it = host.start(kind, beat_s=0.02)
    client.send("/it", ["wait_file", str(tmp_path / "go")], durable=False)
    wait_until(lambda: it.told(birth.Beat), what="a beat")
    (tmp_path / "go").touch()
    wait_until(lambda: it.told(birth.Idle), what="Idle")
    said = len(it.packets)
    # the timer of the last turn runs out once more, then nothing wakes it: 25 beats would fit into the wait
    threading.Event().wait(0.1)
    before = wakeups(it)
    threading.Event().wait(0.5)
    assert wakeups(it) == before
    assert len(it.packets) == said


def test_an_idle_agent_answers_a_probe(host: FakeHost, client: Client, kind: str) -> None:
    it = host.start(kind)
    host.probe(it, 1)
    wait_until(lambda: it.told(birth.Alive) == [birth.Alive(id=1)], what="Alive before the first turn")
    client.call("/it", ["echo", 1])
    host.probe(it, 2)
    wait_until(lambda: birth.Alive(id=2) in it.packets, what="Alive after it")


def test_a_turn_that_sleeps_without_the_interpreter_lock_answers_a_probe(
    host: FakeHost, client: Client, tmp_path: Path
) -> None:
    it = host.start("Clerk", beat_s=0.05)
    client.send("/it", ["sleep", 100], durable=False)
    wait_until(lambda: "sleeping" in it.stdout(), what="the turn")
    host.probe(it, 3)
    wait_until(lambda: it.told(birth.Alive), what="Alive in the sleep")
    wait_until(lambda: it.told(birth.Beat), what="a beat in the sleep")


@pytest.mark.parametrize("garbage", [b"x", b"\xff" * 1000, b"\x81\xa1t\xa4nope"])
def test_garbage_on_the_birth_socket_is_survived(host: FakeHost, client: Client, garbage: bytes) -> None:
    it = host.start("Clerk")
    it.sock.send(garbage)
    client.call("/it", ["echo", 1])
    it.sock.send(garbage)
    host.probe(it, 4)
    wait_until(lambda: it.told(birth.Alive), what="Alive")


class Hand:
    interrupted = False


@pytest.fixture
def told() -> Iterator[Sentry]:
    """In a turn that is told to end, and that nothing can strike."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sentry = Sentry(ours, 60.0, lambda one: None)
    sentry.begin(Hand())
    theirs.send(encode(birth.Interrupt(id=1, why="by the test", turn=0)))
    yield sentry
    ours.close()  # first, or its thread takes the process for one without a host
    theirs.close()
    wait_until(lambda: all(one.name != "sentry" for one in threading.enumerate()), what="the end of its thread")
    os.close(sentry._timer)


def end_of_turn(sentry: Sentry, error: BaseException | None) -> None:
    try:
        if error is not None:
            raise error
    finally:
        sentry.catch_up()


@pytest.mark.parametrize("error", [None, ValueError("its tool was killed")])
def test_an_interruption_that_has_come_holds_before_it_has_struck(told: Sentry, error: Exception | None) -> None:
    with pytest.raises(TurnInterrupted, match="by the test"):
        end_of_turn(told, error)
    struck = told.struck_by()
    assert struck is not None and struck.why == "by the test"


def test_an_exit_goes_before_an_interruption(told: Sentry) -> None:
    with pytest.raises(SystemExit):
        end_of_turn(told, SystemExit(3))


def test_who_comes_second_for_a_packet_does_not_wait_for_the_next() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(b"packet")
        assert receive(ours, 64, socket.MSG_DONTWAIT) == (b"packet", [])
        with pytest.raises(BlockingIOError):
            receive(ours, 64, socket.MSG_DONTWAIT)
