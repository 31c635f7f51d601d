"""Frozen agents stand still with all they have started, in every tier; nothing that would have happened is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agenthost.errors import Busy, NotRunning, TimedOut
from tests.host.conftest import Start
from tests.host.running import Running, agent, tree
from tests.host.test_scopes import FAMILIES

TIERS = ["cgroup", *(pytest.param(tier, marks=pytest.mark.slow) for tier in ("pidns", "walk"))]


def begin(start: Start, tier: str, *children: dict[str, object], **keys: object) -> Running:
    host = start(tree(*children, **keys), containment=tier)
    assert host.ask("status")["host"]["containment"] == tier
    return host


def grows(file: Path) -> Callable[[], bool]:
    """True once it has grown since this was called."""
    size = file.stat().st_size
    return lambda: file.stat().st_size > size


def ticker(tmp_path: Path) -> tuple[dict[str, object], Path]:
    """A program whose setsid child writes all the time."""
    file = tmp_path / "ticks"
    code = f"while :; do echo x >> {file}; sleep 0.01; done"
    return {"name": "ticker", "command": ["sh", "-c", f"setsid sh -c '{code}' & wait"]}, file


@pytest.mark.parametrize("tier", TIERS)
def test_what_is_frozen_stands_still_with_its_children_and_goes_on(start: Start, tmp_path: Path, tier: str) -> None:
    program, file = ticker(tmp_path)
    host = begin(start, tier, program, agent("other", "Echo"))
    host.wait(file.exists, "it writes")
    host.wait(grows(file), "it writes again")
    assert host.ask("freeze", path="/ticker")["state"] == "ready"
    assert "frozen" in host.row("/ticker")["flags"]
    stood = file.stat().st_size
    for _ in range(20):
        assert host.call("/other", 1) == 1
    assert file.stat().st_size <= stood + 2, "one tick may have been under way"
    pid = host.pid("/ticker")
    host.ask("thaw", path="/ticker")
    host.wait(grows(file), "it writes after it was thawed")
    assert host.pid("/ticker") == pid and host.row("/ticker")["flags"] == []


@pytest.mark.parametrize("tier", TIERS)
def test_a_frozen_agent_can_be_stopped_politely(start: Start, tier: str) -> None:
    host = begin(start, tier, agent("a", "Echo"))
    host.ask("freeze", path="/a")
    assert host.ask("stop", path="/a")["text"].startswith("asked 0 s, empty"), "no TERM and no KILL was needed"


@pytest.mark.parametrize("tier", TIERS)
def test_a_frozen_agent_can_be_killed_and_comes_back_unfrozen(start: Start, tmp_path: Path, tier: str) -> None:
    program, file = ticker(tmp_path)
    host = begin(start, tier, program)
    host.wait(file.exists, "it writes")
    host.ask("freeze", path="/ticker")
    pid = host.pid("/ticker")
    host.ask("kill", path="/ticker")
    host.wait(lambda: host.state("/ticker") == "ready" and host.pid("/ticker") != pid, "it is back")
    host.wait(grows(file), "it writes")
    assert host.row("/ticker")["flags"] == []


def test_a_call_waits_while_the_agent_is_frozen(start: Start) -> None:
    host = start(tree(agent("a", "Echo")))
    assert host.call("/a", 1) == 1
    host.ask("freeze", path="/a")
    with pytest.raises(TimedOut):
        host.call("/a", 2, timeout=0.5)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(host.call("/a", 3, timeout=60)))
    thread.start()
    host.ask("thaw", path="/a")
    thread.join()
    assert answers == [3]


@pytest.mark.slow
def test_a_turn_that_is_frozen_for_longer_than_it_may_be_silent_goes_on(start: Start, tmp_path: Path) -> None:
    host = start(tree(agent("slow", "Doer", turn={"silence": "1s"}), agent("other", "Doer")))
    done = tmp_path / "done"
    host.client.send("/slow", {"do": "nap_and_note", "s": 1.5, "file": str(done)}, durable=False)
    host.wait(lambda: "busy" in host.row("/slow")["flags"], "its turn beats")
    host.ask("freeze", path="/slow")
    host.call("/other", {"do": "nap", "s": 2.5})
    assert host.row("/slow")["restarts"] == 0 and not done.exists()
    host.ask("thaw", path="/slow")
    host.wait(done.exists, "its turn has ended")
    assert host.row("/slow")["restarts"] == 0


def test_a_whole_tree_is_frozen_at_once_and_the_host_can_be_ended(start: Start) -> None:
    host = start(tree(agent("a", "Echo"), {"name": "crew", **tree(agent("b", "Echo"), agent("c", "Echo"))}))
    assert host.ask("freeze", path="/")["text"] == "frozen: 3 of 3"
    assert host.ask("thaw", path="/crew")["text"] == "thawed: 2 of 2"
    assert host.call("/crew/b", 1) == 1
    host.ask("freeze", path="/crew/c")
    host.signal(signal.SIGTERM)
    assert host.wait_end() == 0
    host.assert_nothing_left()


def test_what_does_not_run_cannot_be_frozen(start: Start) -> None:
    host = start(tree(agent("a", "Echo")))
    host.ask("stop", path="/a")
    with pytest.raises(NotRunning, match="nothing at /a can be frozen"):
        host.ask("freeze", path="/a")


@pytest.mark.parametrize("who", ["host", "agent"])
def test_sigkill_of_host_or_agent_while_it_is_frozen_leaves_nothing(start: Start, tmp_path: Path, who: str) -> None:
    program, file = ticker(tmp_path)
    host = start(tree(program))
    host.wait(file.exists, "it writes")
    host.ask("freeze", path="/ticker")
    pid = host.pid("/ticker")
    members = [one["pid"] for one in host.ask("status", members=True)["tree"][1]["members"]]
    os.kill(host.ask("status")["host"]["pid"] if who == "host" else pid, signal.SIGKILL)
    host.wait(lambda: not any(Path(f"/proc/{one}").exists() for one in members), "all of it has ended")
    host.wait(lambda: host.state("/ticker") == "ready" and host.pid("/ticker") != pid, "it is back")
    host.wait(grows(file), "it writes again")


@pytest.mark.parametrize("tier", TIERS)
def test_what_a_frozen_agent_has_started_stands_still_with_it_and_is_not_thawed_alone(start: Start, tier: str) -> None:
    host = begin(start, tier, {"name": "p", "agent": f"{FAMILIES}:Parent"})
    spec = {"agent": f"{FAMILIES}:Worker", "restart": "permanent"}
    assert host.call("/p", {"do": "start_child", "name": "sub", "spec": spec})["path"] == "/p/sub"
    first = host.pid("/p/sub")
    host.ask("freeze", path="/p")
    assert [host.row(path)["flags"] for path in ("/p", "/p/sub")] == [["frozen"], ["frozen"]]
    with pytest.raises(Busy, match="thaw that"):
        host.ask("thaw", path="/p/sub")
    with pytest.raises(TimedOut):
        host.call("/p/sub", {"do": "pid"}, timeout=0.5)
    host.ask("kill", path="/p/sub")
    host.wait_state("/p/sub", "waiting")
    host.ask("thaw", path="/p")
    host.wait(lambda: host.state("/p/sub") == "ready" and host.pid("/p/sub") != first, "the child is back")
    assert host.row("/p")["restarts"] == 0
    host.ask("freeze", path="/p")
    assert host.ask("stop", path="/p")["state"] == "down"
    assert "/p/sub" not in host.rows()
