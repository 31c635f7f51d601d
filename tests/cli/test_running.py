"""``agenthost run`` on the terminal of a person."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.typing_user import COMMAND, agenthost, screen
from tests.host.conftest import Start
from tests.host.running import tree
from tests.waiting import wait_until

STUBBORN = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
CTRL_C = b"\x03"


@pytest.fixture
def config(places: Path) -> Path:
    return places / f"run{os.getpid()}.yaml"


def write(config: Path, *children: dict[str, Any]) -> str:
    config.write_text(json.dumps({"agenthost": 1, "tree": tree(*children)}))
    return str(config)


def test_it_says_what_runs_how_to_stop_it_and_at_the_end_that_nothing_is_left(config: Path, agents: str) -> None:
    file = write(config, {"name": "a", "agent": f"{agents}:Echo"}, {"name": "b", "command": ["sleep", "1000"]})
    with screen("run", file, columns=120) as shown:
        shown.wait_for("is up: 2 agents")
        head = shown.lines[:3]
        assert f"host {config.stem}, 2 agents and programs from {file}" in head[0]
        assert "Ctrl-C stops it" in head[1]
        assert "containment " in head[2] and "PID namespace" in head[2]
        shown.press(CTRL_C)
        shown.wait_for("asks 2 agents to stop; Ctrl-C again hurries, a third time kills")
        assert shown.wait_end() == 0
    assert shown.lines[-2].endswith("nothing is left; exit status 0")


def test_the_second_ctrl_c_hurries(config: Path) -> None:
    file = write(config, {"name": "stubborn", "command": STUBBORN, "shutdown": "50s"})
    with screen("run", file) as shown:
        shown.wait_for("is up")
        shown.press(CTRL_C)
        shown.wait_for("Ctrl-C again hurries")
        shown.press(CTRL_C)
        shown.wait_for("in a hurry: TERM to 1 agent")
        shown.wait_for("nothing is left; exit status 0")
        assert shown.wait_end() == 0


def test_the_third_ctrl_c_kills(config: Path) -> None:
    file = write(config, {"name": "stubborn", "command": STUBBORN, "shutdown": "infinity"})
    with screen("run", file) as shown:
        shown.wait_for("is up")
        for answer in ("Ctrl-C again hurries", "in a hurry", "killed at the third signal"):
            shown.press(CTRL_C)
            shown.wait_for(answer)
        assert shown.wait_end() == 1
    assert agenthost("status").status == 69
    assert not (config.parent / "run" / config.stem).exists(), "its guardian has removed its sockets"


def test_a_crash_shows_the_end_of_what_the_agent_printed_and_where_the_rest_is(config: Path, agents: str) -> None:
    with screen("run", write(config, {"name": "a", "agent": f"{agents}:Crasher"}), columns=120) as shown:
        shown.wait_for("is up")
        agenthost("call", "a", '"no \\u001b[2Jway"')
        shown.wait_for("see: agenthost logs /a")
        assert r"| ValueError: no \x1b[2Jway" in shown.plain
        assert "\x1b[2J" not in shown.text and "^^^" not in shown.plain
        shown.wait_for("restarting at once")
        shown.press(CTRL_C)
        assert shown.wait_end() == 0


def test_what_cannot_start_says_why_once_and_the_status_is_1(config: Path, agents: str) -> None:
    with screen("run", write(config, {"name": "a", "agent": f"{agents}:Failing"}), columns=200) as shown:
        assert shown.wait_end() == 1
    assert shown.plain.count("| LookupError: no \\x1b[31mprices today") == 1
    assert "failed: cannot start /a: failed to start: LookupError" in shown.plain
    assert shown.lines[-2].endswith("nothing is left; exit status 1")
    assert "starting it again" not in shown.plain, "what cannot work is not tried again"


def test_a_second_host_of_the_same_name_is_refused_once_and_the_first_goes_on(start: Start, agents: str) -> None:
    host = start(tree({"name": "a", "agent": f"{agents}:Echo"}))
    before = host.pid("/a")
    done = agenthost("run", str(host.config))
    assert done.status == 75
    assert done.err.count("\n") == 1 and f"agenthost --host {host.name} stop /" in done.err
    assert host.pid("/a") == before and agenthost("call", "a", "1").out == "1\n"


def test_a_second_host_on_the_same_state_folder_is_refused_by_its_lock_once(
    start: Start, agents: str, places: Path
) -> None:
    host = start(tree({"name": "a", "agent": f"{agents}:Echo"}))
    (places / "run2").mkdir(mode=0o711)
    done = agenthost("run", str(host.config), env={"AGENTHOST_RUNTIME_DIR": str(places / "run2")})
    assert done.status == 1
    assert done.err.count("another one holds") == 1 and "starting it again" not in done.err
    assert agenthost("call", "a", "1").out == "1\n"


def test_in_a_pipe_there_is_one_line_with_fields_for_every_record_and_nothing_else(config: Path) -> None:
    file = write(config, {"name": "once", "restart": "temporary", "command": ["true"]})
    output = config.with_suffix(".out")
    with open(output, "wb") as out, subprocess.Popen([*COMMAND, "run", file], stdout=out) as process:
        wait_until(lambda: "host.ready" in output.read_text(), 60, "it is up")
        process.terminate()
        assert process.wait(60) == 0
    lines = output.read_text().splitlines()
    assert all(line[:4].isdigit() and " path=" in line for line in lines)
    assert "host.ended path=/ status=0" in lines[-1]


def test_quiet_says_nothing_while_all_is_well(config: Path, agents: str) -> None:
    with screen("run", write(config, {"name": "a", "agent": f"{agents}:Echo"}), "--quiet", columns=200) as shown:
        agenthost_until_up()
        assert shown.plain == ""
        shown.press(CTRL_C)
        assert shown.wait_end() == 0
    assert [line.split()[-1] for line in shown.lines if line] == ["kills", "0"]


def agenthost_until_up() -> None:
    wait_until(lambda: agenthost("wait", "/", "--timeout", "60").status == 0, 60, "the host is up")
