"""What one can see of a host: status as data, pids from outside, flags, reasons, events, logs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agenthost.errors import Down
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, is_alive, kill, tree


def cli(host: Running, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agenthost.cli", "--host", host.name, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=host.environment,
    )


def test_status_as_json_has_what_the_design_says(start: Start) -> None:
    host = start(
        tree(
            agent("echo", "Echo"),
            {"name": "in", **tree(agent("deep", "Doer"), strategy="rest_for_one")},
            {"name": "program", "command": ["/bin/sleep", "1000"]},
        )
    )
    done = cli(host, "status", "-o", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {"name", "version", "pid", "boot", "since", "containment", "namespace", "state"} <= said["host"].keys()
    assert said["host"]["name"] == host.name and said["host"]["state"] == "ready"
    rows = {row["path"]: row for row in said["tree"]}
    assert list(rows) == ["/", "/echo", "/in", "/in/deep", "/program"]
    for row in rows.values():
        assert {"path", "kind", "state", "pid", "incarnation", "restarts", "since", "reason", "next"} <= row.keys()
        assert row["state"] == "ready" and row["restarts"] == 0 and row["next"] is None
        assert 0 <= time.time() - row["since"] < 600
    for path in ("/echo", "/in/deep", "/program"):
        assert rows[path]["kind"] == "worker"
        assert rows[path]["cell"].keys() >= {"tier", "processes", "memory_bytes", "cpu_s"}
        assert rows[path]["cell"]["tier"] == said["host"]["containment"]
        assert rows[path]["cell"]["processes"] == 1 and rows[path]["cell"]["memory_bytes"] > 0
    assert rows["/in"]["kind"] == "supervisor" and rows["/in"]["strategy"] == "rest_for_one"
    assert len({rows[path]["incarnation"] for path in ("/echo", "/in/deep", "/program")}) == 3


@pytest.mark.parametrize("containment", ["auto", "pidns", pytest.param("walk", marks=pytest.mark.slow)])
def test_pids_are_those_seen_from_outside(start: Start, containment: str) -> None:
    host = start(
        tree(agent("echo", "Echo"), {"name": "program", "command": ["/bin/sleep", "1234"]}), containment=containment
    )
    assert Path(f"/proc/{host.pid('/program')}/cmdline").read_bytes() == b"/bin/sleep\x001234\x00"
    assert Path(f"/proc/{host.pid('/echo')}/comm").read_text() == "echo\n"
    [pid] = host.own_pids("host")
    assert Path(f"/proc/{pid}/comm").read_text() == "ah-host\n"
    assert {Path(f"/proc/{pid}/comm").read_text() for pid in host.own_pids("router")} == {"ah-router\n"}
    assert {Path(f"/proc/{pid}/comm").read_text() for pid in host.own_pids("logger")} == {"ah-logger\n"}
    assert set(host.own_pids("")) <= host.survivors().keys()
    members = {one["pid"]: one for one in host.row("/program", members=True)["members"]}
    assert host.pid("/program") in members


@pytest.mark.slow
def test_busy_is_shown_while_a_turn_lasts_and_not_after_it(start: Start) -> None:
    host = start(tree(agent("doer", "Doer"), agent("async", "AsyncDoer")))
    for path in ("/doer", "/async"):
        assert host.row(path)["flags"] == []
        host.client.send(path, {"do": "nap", "s": 3}, durable=False)
        host.wait(lambda path=path: "busy" in host.row(path)["flags"], "it is busy")
        host.wait(lambda path=path: host.row(path)["flags"] == [], "it is idle again")
    assert host.call("/doer", {"do": "nap", "s": 0}) == "awake"


@pytest.mark.parametrize("deed", ["hog", pytest.param("spin", marks=pytest.mark.slow)])
def test_c_code_that_holds_the_interpreter_is_silence_and_a_python_loop_is_not(start: Start, deed: str) -> None:
    host = start(tree(agent("doer", "Doer", turn={"silence": "2s"}, shutdown="500ms"), agent("echo", "Echo")))
    pid = host.pid("/doer")
    host.client.send("/doer", {"do": deed, "after": 2.5}, durable=False)  # silence counts from the first beat on
    if deed == "hog":
        record = host.wait_event("agent.exited", "/doer")
        assert record["fields"]["reason"].startswith("killed: silent: no beat for 2 s"), record
        assert not is_alive(pid)
        host.wait_state("/doer", "ready")
        assert host.call("/doer", {"do": "nap", "s": 0}) == "awake"
    else:
        host.wait(lambda: "busy" in host.row("/doer")["flags"], "its turn lasts")
        began = time.monotonic()
        host.wait(lambda: time.monotonic() - began > 4, "twice the time of silence has passed")
        assert host.pid("/doer") == pid and host.row("/doer")["restarts"] == 0
    assert host.call("/echo", 1) == 1


def test_reasons_are_words(start: Start) -> None:
    host = start(tree(*(agent(name, "Doer", restart="transient") for name in "abcd"), intensity=100))
    for path, body in (("/a", {"do": "exit", "status": 7}), ("/b", {"do": "segv"})):
        with contextlib.suppress(Down):  # it may be gone before it has said that it took the message
            host.client.send(path, body, durable=False)
    kill(host.pid("/c"))
    host.ask("kill", path="/d", reason="because")
    host.wait_event("agent.exited", count=4)
    said = {one["path"]: one["fields"]["reason"] for one in host.events("agent.exited")}
    assert said["/a"] == "exit status 7"
    assert said["/b"] == "killed by SIGSEGV"
    assert said["/c"] == "killed by SIGKILL"
    assert said["/d"].startswith("killed: by uid") and "because" in said["/d"]


def test_events_are_numbered_without_a_hole_and_can_be_followed(start: Start) -> None:
    host = start(tree(agent("echo", "Echo")))
    stream = host.client.stream("events", {"from": 1, "follow": True}, timeout=PATIENCE_S)  # type: ignore[union-attr]
    seen = list(next(stream))
    cli(host, "restart", "/echo")
    for batch in stream:
        seen += batch
        if [record["name"] for record in seen].count("agent.ready") == 2:
            break
    stream.close()
    assert [record["offset"] for record in seen] == list(range(1, len(seen) + 1))
    names = [record["name"] for record in seen if record["path"] == "/echo"]
    assert names == [
        "agent.starting", "agent.ready", "command.restart", "agent.asked", "agent.exited", "agent.ended",
        "agent.starting", "agent.ready",
    ]  # fmt: skip
    assert all(record["at"] <= time.time() for record in seen)


def test_what_agents_and_programs_print_can_be_read_also_after_the_end_of_the_host(start: Start) -> None:
    script = "echo to stdout; echo to stderr >&2; exec sleep 1000"
    host = start(tree(agent("doer", "Doer"), {"name": "program", "command": ["/bin/sh", "-c", script]}))
    host.call("/doer", {"do": "print", "text": "the agent speaks"})
    host.wait(lambda: "the agent speaks" in host.printed("/doer"), "it is kept")
    host.wait(lambda: "to stderr" in host.printed("/program"), "it is kept")
    assert host.stop() == 0
    done = cli(host, "logs")
    assert done.returncode == 0, done.stderr
    for text in ("the agent speaks", "to stdout", "to stderr"):
        assert text in done.stdout
    assert "to stdout" not in cli(host, "logs", "--stderr", "/program").stdout


def test_a_failed_import_is_seen_with_its_traceback_by_an_operator(start: Start, places: Path) -> None:
    (places / "broken.py").write_text(
        "from agenthost import Agent\nraise ValueError('bad seed')\nclass A(Agent): ...\n"
    )
    host = start(tree({"name": "broken", "agent": "broken.py:A"}, agent("echo", "Echo")))
    [record] = host.events("agent.gave_up", "/broken")
    assert "ValueError: bad seed" in record["fields"]["trace"]
    assert "bad seed" in host.row("/broken")["reason"]


def test_the_command_line_says_by_its_exit_status_what_was_wrong(start: Start, places: Path) -> None:
    host = start(tree(agent("echo", "Echo")))
    assert cli(host, "call", "/echo", '{"a": 1}').returncode == 0
    assert cli(host, "stop", "/nobody").returncode == 4
    assert cli(host, "stop", "/echo").returncode == 0
    assert cli(host, "call", "/echo", "1").returncode == 3
    assert cli(host, "status").returncode in (0, 3)
    (places / "bad.yaml").write_text("agenthost: 1\ntree: {childrn: []}\n")
    assert cli(host, "run", str(places / "bad.yaml")).returncode == 78
    assert host.stop() == 0
    assert cli(host, "status").returncode == 69


def test_out_of_memory_is_told_as_such_and_its_neighbours_go_on(start: Start) -> None:
    host = start(
        tree(agent("greedy", "Doer", limits={"memory": "96MiB"}), agent("echo", "Echo"), intensity=100),
        containment="cgroup",
    )
    if not any("memory of an agent: limited by cgroup" in one["text"] for one in host.ask("doctor")):
        pytest.skip("no controller limits the memory of a cell here")
    pid = host.pid("/echo")
    for count in (1, 2):
        with pytest.raises(Down, match="out of memory"):
            host.call("/greedy", {"do": "leak"})
        record = host.wait_event("agent.exited", "/greedy", count=count)
        assert record["fields"]["reason"] == "killed: out of memory: its limit is 96 MiB"
        host.wait(lambda: host.row("/greedy")["state"] == "ready", "it is back")
    assert host.call("/echo", 1) == 1 and host.pid("/echo") == pid
