"""Beats in long turns, none in short ones and none when idle; probes are answered at any time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agenthost.client import Client
from agenthost.protocol import birth
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
    client.send("/it", ["wait_file", str(tmp_path / "go")])
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
    client.send("/it", ["wait_file", str(tmp_path / "go")])
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
    client.send("/it", ["sleep", 20])
    wait_until(lambda: "sleeping" in it.stdout(), what="the turn")
    host.probe(it, 3)
    wait_until(lambda: it.told(birth.Alive), seconds=5, what="Alive in the sleep")
    wait_until(lambda: it.told(birth.Beat), seconds=5, what="a beat in the sleep")


@pytest.mark.parametrize("garbage", [b"x", b"\xff" * 1000, b"\x81\xa1t\xa4nope"])
def test_garbage_on_the_birth_socket_is_survived(host: FakeHost, client: Client, garbage: bytes) -> None:
    it = host.start("Clerk")
    it.sock.send(garbage)
    client.call("/it", ["echo", 1])
    it.sock.send(garbage)
    host.probe(it, 4)
    wait_until(lambda: it.told(birth.Alive), what="Alive")
