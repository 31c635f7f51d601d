"""Groups and monitors, with real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, agent, kill, tree
from tests.host.test_children import begin, echo, end, owner
from tests.host.test_scopes import FAMILIES


def members(host: Running, group: str) -> list[str]:
    found = host.call("/boss", {"do": "members", "group": group})
    return [one["path"] for one in found]


def test_a_group_is_who_is_ready_of_those_that_name_it_wherever_they_stand(start: Start) -> None:
    pool = {"name": "pool", "pool": {"agent": f"{AGENTS}:Echo", "group": "readers"}}
    host: Running = start(tree(owner(), agent("a", "Echo", group="readers"), agent("b", "Echo"), pool))
    assert members(host, "readers") == ["/a"] and members(host, "nobody") == []
    host.ask("start", path="/pool/m")
    begin(host, "/boss", "sub", echo(group="readers"))
    assert members(host, "readers") == ["/a", "/pool/m", "/boss/sub"]
    host.ask("stop", path="/a")
    end(host, "/boss", "/boss/sub")
    assert members(host, "readers") == ["/pool/m"]
    before = host.pid("/pool/m")
    kill(before)
    host.wait(lambda: host.pid("/pool/m") not in (None, before), "it is restarted")
    host.wait_state("/pool/m", "ready")
    (found,) = host.call("/boss", {"do": "members", "group": "readers"})
    row = host.rows()["/pool/m"]
    assert found == {"path": "/pool/m", "incarnation": row["incarnation"], "busy": False}


def test_a_member_whose_turn_lasts_is_busy(start: Start) -> None:
    host: Running = start(tree(owner(), agent("a", "Doer", group="readers")))
    host.client.send("/a", {"do": "nap", "s": 30}, durable=False)
    busy = {"do": "members", "group": "readers"}
    host.wait(lambda: [one["busy"] for one in host.call("/boss", busy)] == [True], "it is seen to be busy")


def test_a_reload_moves_an_agent_to_another_group_without_a_new_process(start: Start) -> None:
    import json

    host: Running = start(tree(owner(), agent("a", "Echo", group="readers")))
    pid = host.pid("/a")
    config = json.loads(host.config.read_text())
    config["tree"]["children"][1]["group"] = "writers"
    host.config.write_text(json.dumps(config))
    host.ask("reload")
    assert (members(host, "readers"), members(host, "writers"), host.pid("/a")) == ([], ["/a"], pid)


def monitor_in_background(host: Running, path: str, file: Path, **more: Any) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)

    def ask() -> Any:
        with host.new_client() as client:
            return client.call("/boss", {"do": "monitor", "path": path, "file": str(file), **more}, 60)

    future = pool.submit(ask)
    host.wait(file.exists, "the monitor stands")
    pool.shutdown(wait=False)
    return future


def test_who_monitors_hears_of_the_end_and_why(start: Start, places: Path) -> None:
    host: Running = start(tree(owner(), agent("a", "Echo"), {"name": "tool", "command": ["sleep", "1000"]}))
    inc = host.rows()["/a"]["incarnation"]
    future = monitor_in_background(host, "/a", places / "first")
    host.ask("stop", path="/a", reason="enough")
    answer, count, (of, reason, well) = future.result(60)
    assert (answer, count, of) == ({"incarnation": inc, "reason": ""}, 1, inc)
    assert "enough" in reason and well
    future = monitor_in_background(host, "/tool", places / "second")
    kill(host.pid("/tool"))
    _, _, (_, reason, well) = future.result(60)
    assert (reason, well) == ("killed by SIGKILL", False)


def test_nobody_there_is_said_at_once_and_no_down_follows(start: Start) -> None:
    host: Running = start(tree(owner(), agent("a", "Echo")))
    host.ask("stop", path="/a")
    for path, why in (("/a", "not running: /a is down"), ("/x", "not running: there is no /x")):
        answer, count = host.call("/boss", {"do": "monitor", "path": path, "timeout": 0.5})
        assert answer["incarnation"] == "" and answer["reason"].startswith(why) and count == 0
    assert host.call("/boss", {"do": "monitor", "path": "/", "timeout": 0.1})[0]["reason"].endswith("a supervisor")


def test_who_monitors_and_computes_for_long_hears_of_it_afterwards_over_a_restart_of_the_router(
    start: Start, places: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    host: Running = start(tree(owner(), agent("a", "Echo", restart="temporary")))
    begun, until = places / "begun", places / "until"
    body = {"do": "nap_deaf", "path": "/a", "file": str(begun), "until": str(until)}

    def ask() -> Any:
        with host.new_client() as client:
            return client.call("/boss", body, 60)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(ask)
        host.wait(begun.exists, "it computes")
        kill(host.pid("/a"))
        host.wait(lambda: "/a" not in host.rows(), "/a has ended")
        (router,) = host.own_pids("router")
        kill(router)
        host.wait(lambda: host.own_pids("router") not in ([], [router]), "the router is back")
        until.touch()
        reasons = future.result(60)
    assert set(reasons) == {"killed by SIGKILL"}


def test_a_monitor_asked_again_is_told_again_for_its_answer_may_have_been_lost(start: Start) -> None:
    host: Running = start(tree(owner()))
    inc = begin(host, "/boss", "sub", echo())["incarnation"]
    before, *told = host.call("/boss", {"do": "monitor_again", "path": "/boss/sub"})
    assert before == 1 and len(told) == 1, "the same Down, by its number"
    assert told[0][1:] == [inc, "killed: by /boss"]


def test_a_monitor_that_was_taken_back_tells_nothing(start: Start) -> None:
    host: Running = start(tree(owner()))
    begin(host, "/boss", "sub", echo())
    assert host.call("/boss", {"do": "forget", "path": "/boss/sub"}) == 0


def test_a_member_that_has_just_got_work_is_not_taken_while_others_are_idle(start: Start) -> None:
    members = [{"name": f"m{n}", "agent": f"{FAMILIES}:Worker", "group": "crew"} for n in range(4)]
    host: Running = start(tree({"name": "p", "agent": f"{FAMILIES}:Parent"}, *members))
    for number in range(4):
        taken = host.call("/p", {"do": "busy_then_ask", "path": f"/m{number}", "group": "crew", "s": 1.0})
        assert f"/m{number}" not in taken and len(taken) == 3
        host.wait(lambda: not any(host.row(f"/m{n}")["flags"] for n in range(4)), "all are idle")
