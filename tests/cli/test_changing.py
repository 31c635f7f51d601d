"""start, stop, restart, kill: what they print, and with which status they end."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.cli.typing_user import COMMAND, agenthost
from tests.host.conftest import Start
from tests.host.running import Running, tree
from tests.host.sharing import put_back
from tests.waiting import wait_until

STUBBORN = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]


@pytest.fixture
def host(share: Start, agents: str) -> Iterator[Running]:
    host = share(
        tree(
            {"name": "echo", "agent": f"{agents}:Echo"},
            {"name": "crew", "intensity": 1000, "children": [
                {"name": "one", "agent": f"{agents}:Echo", "backoff": "none"},
                {"name": "two", "agent": f"{agents}:Echo", "backoff": "none"},
            ]},
        )
    )  # fmt: skip
    yield host
    put_back(host)


def test_stop_waits_until_nothing_is_left_and_says_how_far_it_had_to_go(host: Running) -> None:
    done = agenthost("stop", "echo", "--reason", "lunch")
    assert done.status == 0
    assert done.out.startswith("/echo: down (asked 0 s, ") and "KILL" not in done.out
    assert "stop, by uid" in agenthost("events", "echo").out and "(lunch)" in agenthost("events", "echo").out
    assert agenthost("stop", "echo").out == "/echo: down (it was down already)\n"
    assert agenthost("start", "echo").out == "/echo: ready\n"
    assert agenthost("start", "echo").out == "/echo: ready (it is running already)\n"


def test_a_glob_acts_on_each_once_and_a_supervisor_on_all_below_it(host: Running) -> None:
    assert sorted(agenthost("stop", "crew/*").out.split("\n")[:-1])[0].startswith("/crew/one: down")
    assert agenthost("start", "crew/one", "crew/two").status == 0
    done = agenthost("kill", "/crew", "crew/*", "-o", "json")
    assert [one["path"] for one in done.data] == ["/crew"]
    agenthost("wait", "crew/*")
    assert [one["path"] for one in agenthost("restart", "**/one", "echo", "-o", "json").data] == ["/echo", "/crew/one"]


def test_an_unknown_name_changes_nothing_at_all(host: Running) -> None:
    before = host.pid("/echo")
    done = agenthost("stop", "echo", "crew/three")
    assert (done.status, done.out) == (4, "")
    assert done.err == "agenthost: there is no /crew/three; did you mean /crew/one?\n" or "did you mean" in done.err
    assert host.pid("/echo") == before


def test_the_worst_status_counts_and_the_others_are_done(host: Running) -> None:
    agenthost("stop", "crew/one")
    done = agenthost("kill", "crew/one", "crew/two", "-o", "json")
    assert done.status == 3
    assert [(one["path"], one.get("error")) for one in done.data] == [("/crew/one", "not_running"), ("/crew/two", None)]
    assert done.err == "agenthost: /crew/one: /crew/one has no process\n"


@pytest.mark.slow
def test_a_deadline_ends_the_waiting_not_the_stop(start: Start) -> None:
    host = start(tree({"name": "stubborn", "command": STUBBORN, "shutdown": "2s"}))
    done = agenthost("stop", "stubborn", "--timeout", "100ms")
    assert done.status == 124 and "it goes on all the same" in done.err
    host.wait_state("/stubborn", "down")


@pytest.mark.slow
def test_without_wait_it_returns_at_once(start: Start) -> None:
    host = start(tree({"name": "stubborn", "command": STUBBORN, "shutdown": "1s"}))
    assert agenthost("stop", "stubborn", "--no-wait").out == "/stubborn: asked (under way)\n"
    host.wait_state("/stubborn", "down")


@pytest.mark.slow
def test_many_are_stopped_side_by_side(start: Start) -> None:
    names = [f"s{n}" for n in range(8)]
    start(tree(*({"name": name, "command": STUBBORN, "shutdown": "2s"} for name in names)))
    began = time.monotonic()
    done = agenthost("stop", "*")
    assert done.status == 0 and done.out.count("KILL") == 8
    assert time.monotonic() - began < 8 * 2, "one after the other would take as long as all of them"


@pytest.mark.slow
def test_an_interrupted_command_ends_with_130_and_the_stop_goes_on(start: Start) -> None:
    host = start(tree({"name": "stubborn", "command": STUBBORN, "shutdown": "2s"}))
    with subprocess.Popen([*COMMAND, "stop", "stubborn"], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        wait_until(lambda: host.state("/stubborn") != "ready", 60, "the stop has begun")
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=60)
    assert (client.returncode, out, err) == (130, b"", b"")
    host.wait_state("/stubborn", "down")


def test_the_root_stopped_is_the_host_ended(start: Start, agents: str) -> None:
    host = start(tree({"name": "echo", "agent": f"{agents}:Echo"}))
    done = agenthost("stop", "/")
    assert done.status == 0
    assert host.wait_end() == 0
    assert agenthost("status").status == 69


def test_interrupt_says_what_was_interrupted_and_the_call_fails_with_1(start: Start, agents: str) -> None:
    host = start(tree({"name": "sleeper", "agent": f"{agents}:Sleeper", "group": "them"}))
    calling = subprocess.Popen(
        [*COMMAND, "call", "sleeper", "null"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        host.wait(lambda: "busy" in host.row("/sleeper")["flags"], "it sleeps")
        done = agenthost("interrupt", "sleeper", "--reason", "too slow")
        assert done.status == 0 and done.out.startswith("interrupted /sleeper: its turn of ")
        _, err = calling.communicate(timeout=60)
    finally:
        calling.kill()
    assert calling.returncode == 1
    assert err.startswith("agenthost: cannot get an answer from /sleeper: its turn was interrupted by uid ")
    assert err.endswith("(too slow)\n")
    done = agenthost("interrupt", "sleeper", "-o", "json")
    assert done.status == 3 and done.data == [
        {"path": "/sleeper", "error": "not_running", "text": "no turn is in hand at /sleeper"}
    ]
    assert "interrupted: its turn of " in agenthost("events", "sleeper").out
