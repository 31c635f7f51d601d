"""Children of agents in a real host: none outlives its block, its owner, or its time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, is_alive, kill, tree
from tests.host.sharing import put_back
from tests.waiting import wait_until

FAMILIES = Path(__file__).resolve().parent / "families.py"
NEVER_S = 40.0
"""Far less than what the sleeping children would take."""

both = pytest.mark.parametrize("kind", ["Parent", "AsyncParent"])


def family(name: str, kind: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "agent": f"{FAMILIES}:{kind}", **keys}


def alone(kind: str = "Parent") -> dict[str, Any]:
    return tree(family("p", kind, backoff="none"), intensity=1000)


def below(host: Running, path: str) -> list[str]:
    return [one for one in host.rows() if one.startswith(path + "/")]


def wait_childless(host: Running, path: str) -> None:
    host.wait(lambda: not below(host, path), f"{path} has no children")


@both
def test_children_of_a_scope_compute_in_parallel_below_their_owner(share: Start, kind: str) -> None:
    host = share(alone(kind))
    hall, hold, go_on = (host.folder / name for name in ("hall", "hold", "go_on"))
    hall.mkdir()
    body = {"do": "meeting", "n": 4, "folder": str(hall), "hold": str(hold), "go_on": str(go_on)}
    outcome: list[Any] = []

    def call() -> None:
        with host.new_client() as client:
            outcome.append(client.call("/p", body, PATIENCE_S))

    caller = threading.Thread(target=call)
    caller.start()
    host.wait(hold.exists, "all children have met")
    rows = host.rows()
    paths = [path for path in rows if path.startswith("/p/")]
    first = int(paths[0].removeprefix("/p/worker-"))
    assert paths == [f"/p/worker-{number}" for number in range(first, first + 4)]
    pids = [rows[path]["pid"] for path in paths]
    assert len(set(pids)) == 4
    assert {rows[path]["state"] for path in paths} == {"ready"}
    go_on.touch()
    caller.join()
    assert outcome[0]["paths"] == paths
    assert outcome[0]["said"] == [0, 1, 2, 3]
    assert len(set(outcome[0]["pids"])) == 4
    wait_childless(host, "/p")
    assert not any(is_alive(pid) for pid in pids)


@both
def test_the_first_error_ends_the_rest_before_it_is_raised(share: Start, kind: str) -> None:
    host = share(alone(kind))
    incarnation = host.row("/p")["incarnation"]
    outcome = host.call("/p", {"do": "first_error"})
    assert outcome["code"] == "handler_failed", outcome
    assert "crash on demand" in outcome["error"]
    assert outcome["alive"] == []
    assert outcome["took_s"] < NEVER_S
    assert host.row("/p")["incarnation"] == incarnation


@both
def test_a_child_that_ends_badly_while_nobody_calls_it_fails_the_scope(share: Start, kind: str) -> None:
    host = share(alone(kind))
    began = time.monotonic()
    outcome = host.call("/p", {"do": "uncalled_error", "file": str(host.folder / "f"), "status": 3, "s": 1000})
    assert outcome["code"] == "down", outcome
    assert "exit status 3" in outcome["error"] and "its child /p/worker-" in outcome["error"]
    assert outcome["children"] == []
    assert time.monotonic() - began < NEVER_S


def test_a_child_that_fails_as_soon_as_it_runs_fails_the_scope(share: Start) -> None:
    host = share(alone())
    said = host.call("/p", {"do": "quick_failures", "n": 10, "file": str(host.folder / "pid")})
    assert said == [["down", True]] * 10
    assert below(host, "/p") == []


@pytest.mark.slow
@both
def test_a_child_that_ends_well_fails_nothing(share: Start, kind: str) -> None:
    host = share(alone(kind))
    assert host.call("/p", {"do": "uncalled_error", "file": str(host.folder / "f"), "status": 0, "s": 0.5}) == "slept"


@both
def test_a_turn_that_raises_out_of_a_scope_leaves_no_children(share: Start, kind: str) -> None:
    host = share(alone(kind))
    began = time.monotonic()
    with pytest.raises(AgenthostError, match="out of the block"):
        host.call("/p", {"do": "raise_in_scope"})
    assert below(host, "/p") == []
    assert len(host.survivors()) == _without_children(host)
    assert time.monotonic() - began < NEVER_S  # KILL, not a grace of 300 s


def test_a_cancelled_task_leaves_no_children_not_even_one_that_is_just_starting(share: Start) -> None:
    host = share(alone("AsyncParent"))
    with burning(3):  # the kill comes at every moment of the birth
        for _ in range(60):
            assert host.call("/p", {"do": "cancelled"}) == {"alive": [], "children": []}
    assert below(host, "/p") == []


def test_when_its_time_is_over_children_end_though_their_owner_holds_its_interpreter(share: Start) -> None:
    host = share(alone())
    pid, go_on = host.folder / "pid", host.folder / "go_on"
    outcome: list[Any] = []

    def call() -> None:
        with host.new_client() as client:
            outcome.append(
                client.call("/p", {"do": "overrun", "timeout": 1.0, "pid": str(pid), "go_on": str(go_on)}, PATIENCE_S)
            )

    caller = threading.Thread(target=call)
    caller.start()
    host.wait(pid.exists, "the child has said its pid")
    wait_childless(host, "/p")
    reason = host.wait_event("agent.exited", "/p/")
    assert "its time of" in str(reason), reason
    go_on.touch()
    caller.join()
    assert outcome[0]["code"] == "timed_out", outcome
    assert "its time of 1 s is over" in outcome[0]["error"]


def test_the_time_of_a_scope_bounds_calls_in_it_and_scopes_in_it(share: Start) -> None:
    host = share(alone())
    outcome = host.call("/p", {"do": "overrun_in_call", "timeout": 1.0})
    assert outcome["code"] == "timed_out", outcome
    assert 0.9 < outcome["took_s"] < NEVER_S
    assert outcome["children"] == []


def test_scopes_nest(share: Start) -> None:
    host = share(alone())
    assert host.call("/p", {"do": "nested"}) == {"after_inner": [True, False], "after_outer": [False, False, False]}


def test_closures_lambdas_and_local_classes_work_as_children(share: Start) -> None:
    host = share(alone())
    said = host.call("/p", {"do": "code"})
    assert [one[0] for one in said] == [30, 7, 13, 113]
    assert said[0][1] == "from the module"
    assert [one[1] for one in said[2:]] == ["/p/later-1", "/p/local-1"]
    assert len({one[2] for one in said}) == 4


def test_what_cannot_be_sent_is_named(share: Start) -> None:
    host = share(alone())
    said = host.call("/p", {"do": "unsendable"})
    assert "cannot send lambda at" in said and f"{FAMILIES}:" in said
    assert "variable 'lock' (a _thread.lock) cannot be pickled" in said
    assert below(host, "/p") == []


def test_a_child_lives_on_over_turns_until_it_is_stopped(share: Start) -> None:
    host = share(alone())
    started = host.call("/p", {"do": "start_child", "name": "kept"})
    assert started["path"] == "/p/kept"
    assert host.row("/p/kept")["incarnation"] == started["incarnation"]
    pid = host.pid("/p/kept")
    assert host.call("/p", {"do": "call_child", "path": "/p/kept", "body": {"do": "args_back"}}) == {}
    assert host.call("/p/kept", {"do": "args_back"}) == {}
    host.call("/p", {"do": "stop_child", "path": "/p/kept", "how": "stop"})
    assert not is_alive(pid)
    wait_childless(host, "/p")
    again = host.call("/p", {"do": "start_child", "name": "kept"})
    assert again["incarnation"] != started["incarnation"]
    host.call("/p", {"do": "stop_child", "path": "/p/kept", "how": "kill"})
    wait_childless(host, "/p")


def test_a_program_may_be_a_child(share: Start) -> None:
    host = share(alone())
    spec = {"command": ["/bin/sleep", "1000"], "name": "nap"}
    assert host.call("/p", {"do": "start_child", "spec": spec})["path"] == "/p/nap"
    pid = host.pid("/p/nap")
    kill(host.pid("/p"))
    wait_until(lambda: not is_alive(pid), PATIENCE_S, "it ends with its owner")


def test_a_start_that_fails_says_why_and_leaves_nothing(share: Start) -> None:
    host = share(alone())
    outcome = host.call("/p", {"do": "start_child", "spec": f"{FAMILIES}:Raises"})
    assert outcome["code"] == "start_failed" and "no prices today" in outcome["error"], outcome
    outcome = host.call("/p", {"do": "start_child", "spec": {"agent": f"{FAMILIES}:Raises", "colour": "red"}})
    assert outcome["code"] in ("usage", "bad_config") and "colour" in outcome["error"], outcome
    outcome = host.call("/p", {"do": "start_child", "spec": f"{FAMILIES}:Slow", "name": "slow", "timeout": 1.0})
    assert outcome["code"] == "timed_out" and "/p/slow" in outcome["error"], outcome
    assert below(host, "/p") == []


@pytest.mark.parametrize("word", ["start_for_ever", "scope_for_ever"])
@pytest.mark.parametrize("number", range(3))
def test_nothing_is_left_of_the_children_of_an_owner_that_is_killed(share: Start, word: str, number: int) -> None:
    host = share(alone())
    usual = _without_children(host)
    for round_ in range(3):
        file = host.folder / f"begun-{round_}"
        host.client.send("/p", {"do": word, "file": str(file)}, durable=False)
        host.wait(file.exists, "children are being started")
        host.wait(lambda: len(below(host, "/p")) > number, "some more of them")
        before = host.row("/p")["incarnation"]
        kill(host.pid("/p"))
        host.wait(lambda b=before: host.row("/p")["incarnation"] not in (None, b), "it is back")  # type: ignore[misc]
        host.wait_state("/p", "ready")
        assert below(host, "/p") == []
        host.wait(lambda: len(host.survivors()) == usual, f"nothing else is left: {host.survivors()}")


@pytest.mark.parametrize("word", ["stop", "restart", "kill"])
def test_an_owner_has_ended_only_when_its_children_have(share: Start, word: str) -> None:
    host = share(alone())
    host.call("/p", {"do": "start_child", "name": "kept"})
    host.call("/p", {"do": "start_child", "spec": {"command": ["/bin/sleep", "1000"], "name": "nap"}})
    pids = [host.pid("/p/kept"), host.pid("/p/nap"), host.pid("/p")]
    host.ask(word, path="/p")
    assert not any(is_alive(pid) for pid in pids)
    assert below(host, "/p") == []
    put_back(host)


def test_the_death_of_the_router_loses_no_child_and_leaves_none(share: Start) -> None:
    host = share(alone())
    file = host.folder / "round"
    outcome: list[Any] = []

    def call() -> None:
        with host.new_client() as client:
            outcome.append(client.call("/p", {"do": "scopes", "n": 12, "file": str(file)}, PATIENCE_S))

    caller = threading.Thread(target=call)
    caller.start()
    for number in (1, 4, 7):
        host.wait(lambda n=number: file.exists() and int(file.read_text() or 0) >= n, f"round {number}")  # type: ignore[misc]
        for router in host.own_pids("router"):
            kill(router)
        host.hang_up()
        host.wait(lambda: host.host().get("state") == "ready", "the host answers again")
    caller.join()
    assert len(set(outcome[0]["pids"])) == 24
    assert outcome[0]["left"] == []
    assert below(host, "/p") == []


@pytest.mark.slow
def test_a_crowd_of_children_is_gone_after_its_block(start: Start) -> None:
    host = start(tree(family("p", "Parent", may={"children": 1000})))
    outcome = host.call("/p", {"do": "crowd", "n": 530}, timeout=180)
    assert outcome == {"pids": 530, "left": []}
    assert below(host, "/p") == []


def _without_children(host: Running) -> int:
    """How many processes the host has with one agent and none of its children."""
    wait_childless(host, "/p")
    counted = [0, -1]
    while len(counted) < 5 or len(set(counted[-3:])) > 1:  # until it stands still: births and zygotes come and go
        counted.append(len(host.survivors()))
        os.sched_yield()
    return counted[-1]


@contextmanager
def burning(count: int) -> Iterator[None]:
    """So many processes that compute."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in burners:
            one.kill()
            one.wait()
