"""``ctx.run`` and ``ctx.popen`` in a real host: a tool has a cell inside its agent's, and is gone with the turn."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.containment import tiers
from agenthost.errors import HandlerFailed, NotPermitted, StartFailed, ToolTimedOut
from tests.host.conftest import Start
from tests.host.running import NOBODY, Running, is_alive, kill, tree
from tests.host.toolers import DAEMONS
from tests.waiting import wait_until

TOOLERS = Path(__file__).with_name("toolers.py")
TIERS = ("cgroup", *(pytest.param(tier, marks=pytest.mark.slow) for tier in ("pidns", "walk")))
KINDS = ("Tooler", pytest.param("AsyncTooler", marks=pytest.mark.slow))
GIGABYTE = 1_000_000_000
probe = functools.lru_cache(maxsize=1)(tiers.probe)


def tooler(kind: str = "Tooler", **keys: Any) -> dict[str, Any]:
    return {"name": "smith", "agent": f"{TOOLERS}:{kind}", **keys}


def do(host: Running, word: str, timeout: float = 60, **body: Any) -> Any:
    return host.call("/smith", {"do": word, **body}, timeout)


def run(host: Running, *argv: str, **how: Any) -> dict[str, Any]:
    found: dict[str, Any] = do(host, "run", argv=list(argv), how=how)
    return found


def below(host: Running) -> list[str]:
    return [path for path in host.rows() if path.startswith("/smith/")]


def host_descriptors(host: Running) -> int:
    (pid,) = host.own_pids("host")
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, record_tier: Callable[..., None]) -> str:
    found = next(one for one in probe() if one.name == request.param)
    record_tier(request.param, None if found.available else found.why)
    return str(request.param)


def test_a_tool_has_a_cell_in_its_agents_and_dies_with_the_turn_whatever_it_did(start: Start, tier: str) -> None:
    host: Running = start(tree(tooler()), containment=tier)
    ran = run(host, "sh", "-c", f"{DAEMONS}; echo err >&2; exit 3")
    assert ran["path"] == "/smith/sh-1"
    assert (ran["status"], ran["signal"], ran["reason"]) == (3, None, "exit status 3")
    assert (ran["out"], ran["err"], ran["truncated"]) == (b"there\n", b"err\n", 0)
    assert run(host, "sh", "-c", "kill -9 0") | {"path": ""} == ran | {
        "path": "", "status": None, "signal": "SIGKILL", "reason": "killed by SIGKILL", "out": b"", "err": b""
    }  # fmt: skip
    with pytest.raises(ToolTimedOut, match=r"took longer than 0\.3 s"):
        run(host, "sh", "-c", f"{DAEMONS}; wait", timeout=0.3)
    with pytest.raises(StartFailed, match="cannot run 'no-such-program': no such file in PATH"):
        run(host, "no-such-program")
    assert do(host, "start", argv=["sh", "-c", f"{DAEMONS}; wait"]).startswith("/smith/sh-")
    assert below(host) == [] and host.row("/smith", members=True)["cell"]["processes"] == 1
    assert not any("sleep" in what for what in host.survivors().values())
    assert run(host, "cat", input="still well")["out"] == b"still well"


def test_a_tool_is_seen_while_it_runs_and_can_be_ended_from_outside(start: Start) -> None:
    host: Running = start(tree(tooler()))
    with host.new_client() as other:
        other.send("/smith", {"do": "run", "argv": ["sleep", "1000"]})
        row = host.wait_state("/smith/sleep-1", "ready")
        assert row["restart"] == "temporary" and row["protocol"] == "none"
        (pid,) = [one["pid"] for one in host.row("/smith/sleep-1", members=True)["members"]]
        host.ask("kill", path="/smith/sleep-1")
    wait_until(lambda: not is_alive(pid), what="the tool is gone")
    assert do(host, "downs") == []  # its end is the tool's caller's
    assert below(host) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Tooler", "AsyncTooler"])
def test_a_tool_may_print_a_gigabyte(start: Start, kind: str) -> None:
    """Neither agent nor host nor log grow, and the host answers meanwhile."""
    host: Running = start(tree(tooler(kind)))
    before = do(host, "facts")
    ran = do(host, "run", timeout=100, argv=["sh", "-c", f"yes | head -c {GIGABYTE}"], how={"output_bytes": 1000})
    assert ran["status"] == 0 and ran["truncated"] == GIGABYTE - 1000
    assert ran["out"].startswith(b"y\ny\n") and ran["out"].endswith(b"y\ny\n")
    assert do(host, "facts")["rss_kb"] < before["rss_kb"] + 20_000
    logged = host.wait(lambda: "lines left out]" in host.printed("/smith") and host.printed("/smith"), "it is counted")
    assert "sh-1: y" in logged
    assert sum(one.stat().st_size for one in host.places.logs.rglob("*") if one.is_file()) < 2_000_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_tools_leave_nothing_behind(start: Start, kind: str) -> None:
    """Half of them with daemons, half killed because they are late; the async agent has twenty at a time."""
    host: Running = start(tree(tooler(kind)))
    first, descriptors, cgroups = do(host, "run_many", n=20), host_descriptors(host), host.cgroups()
    folders = [len(list(Path(one).rglob("*"))) for one in cgroups]
    last = do(host, "run_many", timeout=110, n=100)
    assert last["fds"] == first["fds"] and last["children"] == []
    assert last["rss_kb"] < first["rss_kb"] + 2_000
    assert below(host) == []
    host.wait(lambda: host_descriptors(host) <= descriptors, "those of births that were given up are closed")
    assert [len(list(Path(one).rglob("*"))) for one in host.cgroups()] == folders
    assert not any("sleep" in what for what in host.survivors().values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_kept_serves_several_turns(start: Start, kind: str) -> None:
    host: Running = start(tree(tooler(kind)))
    do(host, "keep", argv=["cat"])
    assert host.state("/smith/server") == "ready"
    for line in (b"one", b"two", b"x" * 100_000):
        assert do(host, "ask_server", line=line) == line + b"\n"
        run(host, "true")
    pid = host.pid("/smith/server")
    kill(host.pid("/smith"))
    host.wait(lambda: not is_alive(pid), "it has ended with its agent")


def test_the_end_of_a_kept_tool_is_told(start: Start) -> None:
    host: Running = start(tree(tooler()))
    do(host, "keep", argv=["sh", "-c", "read line; exit 9"])
    assert do(host, "server_status") == [None, None]
    assert do(host, "ask_server", line=b"end") == b""
    host.wait(lambda: do(host, "server_status") == [9, "exit status 9"], "its end is known")


@pytest.mark.parametrize(("word", "error"), [("start_and_fail", ToolTimedOut), ("start_and_crash", HandlerFailed)])
def test_a_turn_that_fails_has_ended_its_tools_before_its_caller_hears_of_it(
    start: Start, word: str, error: type[Exception]
) -> None:
    host: Running = start(tree(tooler()))
    with pytest.raises(error):
        do(host, word, argv=["sh", "-c", f"{DAEMONS}; wait"])
    assert not any("sleep" in what for what in host.survivors().values())


def test_what_on_down_has_started_ends_with_that(start: Start) -> None:
    host: Running = start(tree(tooler(), {"name": "other", "command": ["sleep", "1000"]}))
    do(host, "watch", path="/other")
    host.ask("kill", path="/other")
    host.wait(lambda: do(host, "downs") == ["/other"], "on_down was called")
    assert below(host) == []
    host.wait_event("agent.ended", "/smith/of-on-down")


def test_a_turn_in_hand_runs_its_tools_to_the_end_though_the_agent_was_told_to_stop(
    start: Start, tmp_path: Path
) -> None:
    host: Running = start(tree(tooler(shutdown="60s")))
    file = tmp_path / "said"
    host.client.send("/smith", {"do": "run_when_stopping", "file": str(file)}, durable=False)
    host.wait(Path(f"{file}.began").exists, "its turn has begun")
    host.ask("stop", path="/smith")
    assert file.read_text() == "4 in the turn\n"
    assert Path(f"{file}.stopped").read_text() == "last words\n"


def test_rights_bound_how_many_tools_and_their_limits_not_what_they_are(start: Start) -> None:
    host: Running = start(tree(tooler(may={"start": [], "depth": 0, "children": 1, "limits": {"open_files": 64}})))
    assert run(host, "sh", "-c", "ulimit -n", limits={"open_files": 32})["out"] == b"32\n"
    with pytest.raises(NotPermitted, match=r"asked for without limits\.open_files"):
        run(host, "true")
    with pytest.raises(NotPermitted, match=r"limits\.open_files"):
        run(host, "true", limits={"open_files": 65})
    do(host, "start", argv=["sleep", "1000"], how={"keep": True, "limits": {"open_files": 16}})
    with pytest.raises(NotPermitted, match="may have 1 children"):
        run(host, "true", limits={"open_files": 16})


def test_streams_that_nobody_runs_with_are_closed(start: Start) -> None:
    """An agent that floods the host with descriptors has at most 64 sets there, and none when it has ended."""
    host: Running = start(tree(tooler()))
    before = host_descriptors(host)
    do(host, "give_only", n=400)
    host.wait(lambda: host_descriptors(host) <= before + 2 * 64, "no more than it takes")
    kill(host.pid("/smith"))
    host.wait_event("agent.ready", "/smith", count=2)
    host.wait(lambda: host_descriptors(host) <= before, "all are closed")
    assert run(host, "echo", "well")["out"] == b"well\n"


@pytest.mark.root
def test_a_tool_runs_as_the_user_of_its_agent_and_gains_nothing(start: Start) -> None:
    host: Running = start(tree(tooler(user=NOBODY, cwd="/")), for_all=True)
    ran = run(host, "sh", "-c", "id -u; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status")
    uid, groups, *status = ran["out"].decode().splitlines()
    assert uid == str(NOBODY) and "0" not in groups.split()
    assert [line.split()[1] for line in status] == ["0" * 16, "1"]


@pytest.mark.slow
def test_a_tool_whose_streams_do_not_come_is_refused(start: Start) -> None:
    host: Running = start(tree(tooler()))
    code, text = do(host, "run_without")
    assert code == "timed_out" and "have not come within 10 s" in text
