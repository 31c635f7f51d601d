"""status, tree, ps, wait, doctor: what a user sees of a running host."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.cli.typing_user import agenthost, screen
from tests.host.conftest import Start
from tests.host.running import Running, is_alive, tree
from tests.host.sharing import put_back

LONG = "an-agent-with-a-name-that-somebody-thought-about"


@pytest.fixture
def host(share: Start, agents: str) -> Iterator[Running]:
    host = share(
        tree(
            {"name": "echo", "agent": f"{agents}:Echo"},
            {"name": "crew", "strategy": "rest_for_one", "children": [
                {"name": LONG, "agent": f"{agents}:Echo"},
                {"name": "shell", "command": ["sh", "-c", "sleep 1000 & sleep 1001 & wait"]},
            ]},
        )
    )  # fmt: skip
    yield host
    put_back(host)


def test_status_shows_the_tree_and_its_exit_status_says_whether_all_is_well(host: Running) -> None:
    done = agenthost("status")
    assert done.status == 0
    head, blank, titles, *rows = done.lines
    assert head.startswith(f"host {host.name}: ready, pid ") and blank == ""
    assert titles.split()[:3] == ["PATH", "STATE", "PID"]
    assert [row.split()[:2] for row in rows] == [
        ["/", "ready"], ["/echo", "ready"], ["/crew", "ready"], [f"/crew/{LONG}", "ready"], ["/crew/shell", "ready"],
    ]  # fmt: skip
    pid = int(rows[1].split()[2])
    assert is_alive(pid) and pid == host.pid("/echo")

    assert agenthost("stop", "crew/shell").status == 0
    done = agenthost("status")
    assert done.status == 3
    assert done.lines[-1].endswith("stopped by uid 0; stays down until it is started")
    assert agenthost("status", "echo").status == 0, "only what was asked for counts"
    assert agenthost("status", "crew").status == 3, "and all below it"


def test_a_selection_is_a_path_with_all_below_it_or_a_glob(host: Running) -> None:
    def names(*words: str) -> list[str]:
        return agenthost("status", *words, "-o", "name").lines

    assert names("echo") == ["/echo"]
    assert names("/crew") == ["/crew", f"/crew/{LONG}", "/crew/shell"]
    assert names("crew/s*") == ["/crew/shell"]
    assert names("/*") == ["/echo", "/crew", f"/crew/{LONG}", "/crew/shell"]
    assert names("**/shell", "echo") == ["/echo", "/crew/shell"]
    done = agenthost("status", "ehco")
    assert (done.status, done.err) == (4, "agenthost: there is no /ehco; did you mean /echo?\n")


def test_data_is_the_same_in_every_format(host: Running) -> None:
    import yaml

    whole = agenthost("status", "-o", "json").data
    assert set(whole) == {"host", "tree"} and whole["host"]["name"] == host.name
    row = whole["tree"][1]
    assert (row["path"], row["kind"], row["state"], row["flags"], row["held"]) == (
        "/echo",
        "worker",
        "ready",
        [],
        False,
    )
    assert row["cell"]["processes"] == 1
    lines = [json.loads(line) for line in agenthost("status", "-o", "jsonl").lines]
    assert [line["path"] for line in lines] == [row["path"] for row in whole["tree"]]
    assert yaml.safe_load(agenthost("status", "-o", "yaml").out)["tree"][1]["pid"] == row["pid"]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_on_a_terminal_no_row_is_wider_than_it(host: Running, columns: int) -> None:
    host.ask("stop", path="/crew/shell")
    with screen("status", columns=columns) as shown:
        assert shown.wait_end() == 3
    _, _, table = shown.plain.partition("PATH")
    assert max(len(line) for line in table.splitlines()) <= columns
    assert table.count("\n") == 6, "no row is on two lines"
    assert "\x1b[32mready\x1b[0m" in shown.text
    assert "STATE" in table and "stopped" in table
    assert ("PID" in table) == (columns >= 80), "what can be missed is missing where there is no room"


def test_without_colours_there_is_no_escape(host: Running) -> None:
    for words, env in ((["status"], {"NO_COLOR": "1"}), (["--no-color", "status"], {}), (["status"], {"TERM": "dumb"})):
        with screen(*words, env=env) as shown:
            assert shown.wait_end() == 0
        assert "\x1b" not in shown.text and "/echo" in shown.text


def test_wide_leaves_nothing_out_however_narrow_the_terminal(host: Running) -> None:
    with screen("status", "-o", "wide", columns=40) as shown:
        shown.wait_end()
    assert f"/crew/{LONG}" in shown.plain and "PROCESSES" in shown.plain and "permanent" in shown.plain


def test_tree_shows_who_started_what(host: Running) -> None:
    done = agenthost("tree", "-p")
    assert done.status == 0
    assert done.lines[0] == "/  ready, one_for_one"
    assert any(line.startswith("|- echo  ready, pid ") for line in done.lines)
    assert "`- crew  ready, rest_for_one" in done.lines
    assert any(line.startswith("   `- shell  ready") for line in done.lines)
    assert sum(line.endswith(("sleep 1000", "sleep 1001")) for line in done.lines) == 2
    members = agenthost("tree", "-p", "echo", "-o", "json").data["tree"][0]["members"]
    assert [one["pid"] for one in members] == [host.pid("/echo")]


def test_ps_shows_every_process_with_its_pid_outside(host: Running) -> None:
    rows = agenthost("ps", "-o", "json").data
    assert {"host", "router", "logger"} <= {row["name"] for row in rows if row["path"].startswith("/.system/")}
    assert all(is_alive(row["pid"]) for row in rows)
    assert sum(row["path"] == "/crew/shell" for row in rows) == 3
    assert {row["path"] for row in agenthost("ps", "echo", "-o", "json").data} == {"/echo"}
    marked = {pid for pid, name in host.survivors().items()}
    assert {row["pid"] for row in rows} <= marked | {row["pid"] for row in rows if row["path"] != "/.system/host"}


def test_wait_returns_when_all_are_there_and_gives_up_in_time(host: Running) -> None:
    assert agenthost("wait", "echo", "crew/*").status == 0
    done = agenthost("wait", "echo", "--for", "stopped", "--timeout", "100ms")
    assert done.status == 124
    assert done.err == "agenthost: cannot wait any longer: /echo is ready, not stopped\n"
    assert agenthost("wait", "/echo", "-o", "json").data[0]["state"] == "ready"
    assert agenthost("wait", "nobody").status == 4


def test_names_of_processes_cannot_act_on_the_terminal(start: Start) -> None:
    evil = "exec -a $'\\033[31m\\033]0;pwned\\007' sleep 1000"
    start(tree({"name": "evil", "command": ["bash", "-c", evil]}))

    def command() -> str:
        return str(agenthost("ps", "evil", "-o", "json").data[0]["command"])

    from tests.waiting import wait_until

    wait_until(lambda: "pwned" in command(), 60, "it has its name")
    for words in (["tree", "-p"], ["ps"]):
        with screen(*words, columns=120, env={"NO_COLOR": "1"}) as shown:
            shown.wait_end()
        assert "\x1b" not in shown.text and r"\x1b]0;pwned" in shown.text


@pytest.mark.slow
def test_several_hosts_are_told_apart_by_name(start: Start, agents: str) -> None:
    start(tree({"name": "a", "agent": f"{agents}:Echo"}), name=f"one{os.getpid()}")
    start(tree({"name": "b", "agent": f"{agents}:Echo"}), name=f"two{os.getpid()}")
    done = agenthost("status")
    assert done.status == 69 and f"name one with --host: one{os.getpid()}, two{os.getpid()}" in done.err
    assert agenthost("--host", f"two{os.getpid()}", "status", "-o", "name").lines == ["/", "/b"]
    assert agenthost("status", "-o", "name", env={"AGENTHOST_NAME": f"one{os.getpid()}"}).lines == ["/", "/a"]


def test_doctor_tells_which_walls_the_running_host_has(host: Running) -> None:
    findings = agenthost("doctor", "-o", "json").data
    assert any(one["subject"].startswith(f"host {host.name}, namespace") for one in findings)
