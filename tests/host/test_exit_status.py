"""What ``agenthost run`` leaves with, for those who start it: 0 a planned end, 1 what it could not go on with, 78 a bad
config. systemd acts on it (``Restart=on-failure``, ``RestartPreventExitStatus=78``).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import Down
from tests.host.conftest import Start
from tests.host.running import Running, agent, tree

ONCE = {"name": "job", "command": ["sh", "-c", "exit 0"], "restart": "temporary", "significant": True}


def send_exit(host: Running, path: str) -> None:
    with contextlib.suppress(Down):  # it may be gone before it has said that it took the message
        host.client.send(path, {"do": "exit", "status": 3}, durable=False)


def last_failure(host: Running) -> str:
    found = [line for line in host.output().splitlines() if " host.failed " in line]
    return found[-1] if found else ""


def assert_over(host: Running) -> None:
    """The guardian does not begin again, and says with what it ends."""
    output = host.output()
    assert "starting it again" not in output
    assert output.count(" host.ended ") == 1
    host.assert_nothing_left()


@pytest.mark.parametrize("otp_strict", [False, True], ids=["ours", "otp_strict"])
def test_a_root_that_gives_up_ends_the_host_with_status_1(start: Start, otp_strict: bool) -> None:
    """Erlang's supervisor gives up with reason shutdown (I3); who started the host must learn of it all the same."""
    host = start(tree(agent("a", "Doer", backoff="none"), intensity=0, period="60s", otp_strict=otp_strict))
    send_exit(host, "/a")
    assert host.wait_end() == 1
    failed = last_failure(host)
    assert "1 restart in 60 s" in failed and "/a exit status 3" in failed, host.output()
    assert_over(host)


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_a_supervisor_that_gives_up_below_the_root_ends_the_host_in_the_end(start: Start, restart: str) -> None:
    """D3: it escalates, also where its end would count as a good one."""
    inner = tree(agent("a", "Doer", backoff="none"), intensity=0, period="60s")
    host = start(tree({"name": "in", "restart": restart, "backoff": "none", **inner}, intensity=0, period="60s"))
    send_exit(host, "/in/a")
    assert host.wait_end() == 1
    assert "/in gave up" in last_failure(host), host.output()
    assert_over(host)


@pytest.mark.parametrize(
    ("children", "status"),
    [
        ([agent("x", "Raises")], 1),
        ([{"name": "x", "command": ["/no/such/program"]}], 1),
        ([{"name": "x", "comand": ["true"]}], 78),
    ],
    ids=["on_start raises", "no such program", "bad config"],
)  # fmt: skip
def test_a_tree_that_does_not_come_up_ends_it_with_a_status_that_says_whose_fault_it_is(
    places: Path, children: list[dict[str, Any]], status: int
) -> None:
    host = Running(places, tree(*children))
    try:
        assert host.start().wait_end() == status
        assert "starting it again" not in host.output()
        assert not host.survivors()
        host.assert_nothing_left()
    finally:
        host.end()


def test_a_tree_that_has_done_its_work_ends_it_with_status_0(places: Path) -> None:
    host = Running(
        places, tree({"name": "helper", "command": ["sleep", "1000"]}, ONCE, auto_shutdown="any_significant")
    )
    try:
        assert host.start().wait_end() == 0
        assert_over(host)
    finally:
        host.end()


def test_a_host_that_is_stopped_ends_with_status_0_however_its_agents_end(start: Start) -> None:
    host = start(tree(agent("deaf", "Deaf", shutdown="200ms"), intensity=0))
    assert host.stop() == 0
    assert_over(host)
