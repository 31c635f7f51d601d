"""Changed configs and changed code under a running host, with real processes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import ConfigError, Down, StartFailed
from tests.host.conftest import Start
from tests.host.running import Running, agent, tree

SLEEPER = {"command": ["sleep", "1000"]}


def rewrite(host: Running, config_tree: dict[str, Any]) -> None:
    host.config.write_text(json.dumps({"agenthost": 1, "name": host.name, "tree": config_tree}))


def test_a_reload_touches_only_what_changed(start: Start) -> None:
    host = start(tree(agent("same", "Echo"), {"name": "changed", **SLEEPER}, {"name": "gone", **SLEEPER}))
    before = {path: host.pid(path) for path in ("/same", "/changed", "/gone")}
    rewrite(host, tree(agent("new", "Echo"), {"name": "changed", "command": ["sleep", "2000"]}, agent("same", "Echo")))
    assert {one["path"]: one["what"] for one in host.ask("plan")} == {
        "/": "live",  # the order
        "/new": "add",
        "/changed": "restart",
        "/gone": "remove",
    }
    assert host.pid("/changed") == before["/changed"], "a plan changes nothing"
    host.ask("reload")
    host.wait(lambda: "/gone" not in host.rows(), "/gone has left")
    host.wait_state("/changed", "ready")
    assert host.pid("/same") == before["/same"]
    assert host.pid("/changed") != before["/changed"]
    assert host.call("/new", 1) == 1
    assert list(host.rows()) == ["/", "/new", "/changed", "/same"]
    assert host.ask("plan") == []


def test_a_new_child_that_does_not_come_up_leaves_the_old_state_standing(start: Start) -> None:
    host = start(tree(agent("same", "Echo"), {"name": "old", **SLEEPER}))
    pids = {path: host.pid(path) for path in ("/same", "/old")}
    rewrite(host, tree(agent("same", "Echo"), {"name": "bad", "command": ["no-such-program"]}))
    with pytest.raises(StartFailed, match=r"/bad does not come up.*no-such-program.*the old state stands"):
        host.ask("reload")
    assert {path: host.pid(path) for path in pids} == pids
    assert "/bad" not in host.rows()


def test_a_file_that_does_not_parse_leaves_the_old_state_standing(start: Start) -> None:
    host = start(tree(agent("same", "Echo")))
    pid = host.pid("/same")
    host.config.write_text("agenthost: 1\ntree:\n  children:\n    - {name: same, agnt: echo}\n")
    with pytest.raises(ConfigError, match=r"yaml:4:20.*agnt"):
        host.ask("reload")
    assert host.pid("/same") == pid


def test_sighup_reloads(start: Start) -> None:
    host = start(tree(agent("same", "Echo")))
    rewrite(host, tree(agent("same", "Echo"), agent("new", "Echo")))
    host.signal(signal.SIGHUP)
    host.wait(lambda: "/new" in host.rows() and host.state("/new") == "ready", "/new is there")


def test_what_only_the_host_looks_at_changes_for_the_process_that_runs(start: Start) -> None:
    host = start(tree(agent("slow", "Doer", turn={"silence": "300s"})))
    pid = host.pid("/slow")
    rewrite(host, tree(agent("slow", "Doer", turn={"silence": "1s"})))
    assert {one["path"]: one["what"] for one in host.ask("plan")} == {"/slow": "live"}
    host.ask("reload")
    assert host.pid("/slow") == pid and host.row("/slow")["restarts"] == 0
    with pytest.raises(Down, match="no beat for 1 s"):
        host.call("/slow", {"do": "hog", "after": 1.5})
    host.wait_state("/slow", "ready")


SOURCE = """
from agenthost import Agent

class Versioned(Agent):
    def handle(self, message, ctx):
        return {version!r}
"""


def test_a_restart_by_hand_takes_the_code_that_is_there_now_and_a_crash_the_old(start: Start, places: Path) -> None:
    code = places / "versioned.py"
    code.write_text(SOURCE.format(version="one"))
    host = start(tree({"name": "it", "agent": f"{code}:Versioned"}))
    assert host.call("/it") == "one"
    code.write_text(SOURCE.format(version="second"))
    host.ask("kill", path="/it")
    host.wait_state("/it", "ready")
    assert host.call("/it") == "one", "who crashes comes back as the release that was running"
    host.ask("restart", path="/it")
    assert host.call("/it") == "second"


def test_a_restart_whose_code_does_not_import_is_refused_and_the_old_goes_on(start: Start, places: Path) -> None:
    code = places / "versioned.py"
    code.write_text(SOURCE.format(version="one"))
    host = start(tree({"name": "it", "agent": f"{code}:Versioned"}))
    pid = host.pid("/it")
    code.write_text("this is no Python")
    with pytest.raises(StartFailed, match="cannot import"):
        host.ask("restart", path="/it")
    assert (host.pid("/it"), host.call("/it")) == (pid, "one")
