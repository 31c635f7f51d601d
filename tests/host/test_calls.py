"""Calls end: with an answer, with the reason why there is none at once, never by waiting for what cannot come."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.client.client import Client
from agenthost.errors import AgenthostError, Down, HandlerFailed, NotRunning, Refuse, TimedOut, UnknownName
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, kill, tree
from tests.host.sharing import put_back
from tests.waiting import wait_until

AT_ONCE_S = 20.0
"""Far below every deadline here, far above what a loaded machine needs for a message."""


@pytest.fixture
def host(share: Start) -> Iterator[Running]:
    """/callee, and two that call."""
    callee = agent("callee", "Doer", shutdown="400ms", backoff="none")
    host = share(tree(agent("doer", "Doer"), agent("async-doer", "AsyncDoer"), callee, intensity=1000))
    yield host
    put_back(host)


@pytest.mark.parametrize("caller", ["/doer", "/async-doer"])
def test_a_call_in_flight_ends_at_once_with_the_reason_when_the_callee_is_killed(host: Running, caller: str) -> None:
    host.call("/callee", {"do": "pid"})
    file = host.folder / "nap"
    nap = {"do": "nap_and_note", "s": 50, "file": str(file)}
    callee = host.pid("/callee")

    def kill_when_it_naps() -> bool:
        if not Path(f"{file}.began").exists():
            return False
        kill(callee)
        return True

    killer = threading.Thread(target=wait_until, args=(kill_when_it_naps, PATIENCE_S, "the callee naps"))
    killer.start()
    began = time.monotonic()
    outcome = host.call(caller, {"do": "call", "path": "/callee", "body": nap})
    took_s = time.monotonic() - began
    killer.join()
    assert outcome["code"] == "down", outcome
    assert "SIGKILL" in outcome["error"]
    assert took_s < 20, took_s  # not the 50 s of its deadline
    killed_at = host.wait_event("agent.exited", "/callee")["at"]
    assert time.time() - killed_at < AT_ONCE_S


def test_a_clients_call_in_flight_ends_at_once_as_well(host: Running) -> None:
    file = host.folder / "nap"
    callee = host.pid("/callee")

    def kill_when_it_naps() -> bool:
        if not Path(f"{file}.began").exists():
            return False
        kill(callee)
        return True

    killer = threading.Thread(target=wait_until, args=(kill_when_it_naps, PATIENCE_S, "the callee naps"))
    killer.start()
    with pytest.raises(Down, match="SIGKILL"):
        host.call("/callee", {"do": "nap_and_note", "s": 50, "file": str(file)})
    killer.join()
    assert time.time() - host.wait_event("agent.exited", "/callee")["at"] < AT_ONCE_S


def test_a_stopped_agent_tells_whoever_waits_for_it(host: Running) -> None:
    file = host.folder / "nap"
    host.call("/callee", {"do": "pid"})
    host.client.send("/callee", {"do": "nap_and_note", "s": 50, "file": str(file)}, durable=False)
    host.wait(lambda: Path(f"{file}.began").exists(), "it naps")
    host.ask("stop", path="/callee", wait=False)
    outcome = host.call("/doer", {"do": "call", "path": "/callee", "body": {"do": "pid"}})
    assert outcome["code"] in ("down", "not_running"), outcome
    assert outcome["took_s"] < AT_ONCE_S


def test_what_is_not_there_is_refused_at_once_in_words(start: Start, places: Path) -> None:
    go = places / "go"
    host = Running(
        places,
        tree(
            agent("echo", "Echo"),
            agent("doer", "Doer"),
            agent("deaf", "Deaf", shutdown="3s"),
            {"name": "in", **tree(agent("deep", "Echo"))},
            {"name": "program", "command": ["/bin/sleep", "1000"]},
            agent("slow", "Slow", args={"until": str(go)}, start_timeout="300s"),
            agent("later", "Echo"),
        ),
    )
    try:
        host.start()
        host.wait(lambda: host.host().get("state") == "starting", "the host answers")
        host.wait_state("/slow", "starting")
        host.ask("stop", path="/echo")
        host.ask("stop", path="/deaf", wait=False)

        def asked(path: str) -> tuple[str, str]:
            outcome = host.call("/doer", {"do": "call", "path": path})
            assert outcome["took_s"] < AT_ONCE_S, outcome
            return outcome["code"], outcome["error"]

        code, words = asked("/deaf")
        assert code == "not_running" and ("asked" in words or "terminating" in words), words
        for path, word in (("/slow", "starting"), ("/later", "down"), ("/echo", "down"), ("/in", "supervisor"),
                           ("/program", "program")):  # fmt: skip
            code, words = asked(path)
            assert code == "not_running" and word in words, (path, code, words)
        assert "it last ended: stopped by uid " in asked("/echo")[1]
        code, words = asked("/nobody")
        assert code == "unknown_name" and "/nobody" in words
        code, words = asked("/doer")
        assert code == "usage", words
        with pytest.raises(UnknownName):
            host.call("/nobody")
        with pytest.raises(NotRunning, match="down"):
            host.call("/later")
        go.touch()
        host.wait_ready()
        assert host.call("/later", 1) == 1
        assert host.stop() == 0
    finally:
        host.end()


def test_what_a_handler_raises_decides_what_its_caller_gets(host: Running) -> None:
    with pytest.raises(Refuse, match="not today"):
        host.call("/callee", {"do": "refuse"})
    incarnation = host.row("/callee")["incarnation"]
    outcome = host.call("/doer", {"do": "call", "path": "/callee", "body": {"do": "refuse"}})
    assert outcome["code"] == "refused" and host.row("/callee")["incarnation"] == incarnation
    with pytest.raises((HandlerFailed, Down), match=r"crash on demand|exit status 1"):
        host.call("/callee", {"do": "crash"})
    host.wait(lambda: host.row("/callee")["incarnation"] not in (None, incarnation), "a clean one")


def test_a_deadline_ends_a_call_and_the_agent_goes_on(host: Running, tmp_path: Path) -> None:
    incarnation, over = host.row("/callee")["incarnation"], tmp_path / "over"
    with pytest.raises(TimedOut):
        host.call("/callee", {"do": "nap_until", "file": str(over)}, timeout=0.3)
    outcome = host.call("/doer", {"do": "call", "path": "/callee", "body": {"do": "nap", "s": 0}, "timeout": 0.3})
    assert outcome["code"] == "timed_out"
    over.touch()
    assert host.call("/callee", {"do": "nap", "s": 0}) == "awake"
    assert host.row("/callee")["incarnation"] == incarnation


def test_calls_over_a_callee_that_is_killed_again_and_again_all_have_an_outcome(start: Start) -> None:
    callee = agent("callee", "Echo", backoff="none")
    host = start(tree(agent("caller", "Doer"), callee, intensity=1000))
    for _ in range(5):
        host.client.send(
            "/caller",
            {"do": "many_and_note", "path": "/callee", "n": 300, "file": str(host.folder / "n")},
            durable=False,
        )
        for _ in range(3):
            kill(host.pid("/callee"))
            host.wait(lambda: host.row("/callee")["state"] == "ready", "it is back")
        wait_until(lambda: (host.folder / "n").exists(), PATIENCE_S, "all have an outcome")
        assert (host.folder / "n").read_text() == "300"
        (host.folder / "n").unlink()
    host.wait_answers("/callee")


@pytest.mark.slow
def test_a_call_whose_host_is_killed_fails_when_the_host_is_back_and_does_not_wait_for_its_time(start: Start) -> None:
    host = start(tree(agent("slow", "Doer")))
    outcome: list[object] = []

    def call() -> None:
        try:
            with Client(host.endpoint, patience_s=PATIENCE_S) as client:
                outcome.append(client.call("/slow", {"do": "nap", "s": 1000}, 1000))
        except AgenthostError as error:
            outcome.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    host.wait(lambda: "busy" in host.row("/slow")["flags"], "the turn is in hand")
    os.kill(host.ask("status")["host"]["pid"], signal.SIGKILL)
    caller.join(PATIENCE_S)
    assert not caller.is_alive() and isinstance(outcome[0], Down)
    assert "its host has ended, and was started again" in str(outcome[0])
