"""A program that speaks JSON lines, as an agent. Where the agent's process ends, it is a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agenthost_workers.command import Command

from agenthost import Refuse
from tests.waiting import wait_until
from tests.workers.turns import turns_of

JSON = "import sys, json, os, time\nfor line in sys.stdin:\n    asked = json.loads(line)\n    "


def program(source: str) -> dict[str, Any]:
    return {"argv": [sys.executable, "-c", source]}


def test_a_body_becomes_a_line_and_the_line_that_comes_back_the_reply() -> None:
    with turns_of(Command, program(JSON + "print(json.dumps({'got': asked}), flush=True)")) as command:
        for body in (None, 5, "ünï\ncode", {"a": [1, 2.5, True]}):
            assert command.call(body) == {"got": body}


def test_a_line_that_is_no_json_is_a_text() -> None:
    with turns_of(Command, program(JSON + "print('plain words\\r', flush=True)")) as command:
        assert command.call("x") == "plain words"


def test_what_json_cannot_hold_is_refused_and_the_program_goes_on() -> None:
    with turns_of(Command, program(JSON + "print(json.dumps(asked), flush=True)")) as command:
        for body in (b"bytes", float("nan"), {"deep": [b"x"]}):
            with pytest.raises(Refuse, match="send what JSON can hold"):
                command.call(body)
        assert command.call("still here") == "still here"


def test_its_environment_and_folder_are_those_it_was_given(tmp_path: Path) -> None:
    args = program(JSON + "print(json.dumps([os.environ['WORD'], os.getcwd()]), flush=True)")
    with turns_of(Command, {**args, "env": {"WORD": "given"}, "cwd": str(tmp_path)}) as command:
        assert command.call("where") == ["given", str(tmp_path)]


def test_a_late_answer_kills_the_program_and_is_never_heard() -> None:
    with turns_of(Command, program(JSON + "time.sleep(asked); print(asked, flush=True)")) as command:
        assert command.call(0) == 0
        with pytest.raises(TimeoutError, match=r"killed .*python.*: no answer in time"):
            command.call(3600, timeout=0.1)


def test_a_program_that_answers_twice_is_killed() -> None:
    with turns_of(Command, program(JSON + "sys.stdout.write('1\\n2\\n'); sys.stdout.flush()")) as command:
        assert command.call("x") == 1
        with pytest.raises(RuntimeError, match="unasked"):
            command.call("y")


def test_a_program_that_is_not_there_fails_the_start() -> None:
    with pytest.raises(FileNotFoundError), turns_of(Command, {"argv": ["/nonexistent/program"]}):
        pass


def test_an_orderly_stop_ends_the_program_at_the_end_of_its_input(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with turns_of(Command, program(JSON + f"print(1, flush=True)\nopen({str(done)!r}, 'w').close()")) as command:
        command.call("x")
    assert done.exists()


def test_a_program_that_does_not_end_is_killed_at_the_stop() -> None:
    args = {**program("import time\nwhile True: time.sleep(3600)"), "stop_wait_s": 0.1}
    with turns_of(Command, args):
        pass  # nothing_left sees whether the program has gone


AGENT = """
import sys
from agenthost_workers.command import Command
from agenthost.testing import AgentHarness
agent = AgentHarness(Command, args={"argv": [sys.executable, "-c", sys.argv[1]]})
print("pid", agent.agent._program.pid, flush=True)
for line in sys.stdin:
    print(agent.call(line.strip(), timeout=20), flush=True)
"""


def agent_of(source: str) -> subprocess.Popen[str]:
    """A Command in a process of its own: what is said to it is called, what it prints are the replies."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", AGENT, source], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    )


@pytest.mark.parametrize(
    ("ending", "status", "words"),
    [
        ("sys.exit(3)", 3, "exit status 3"),
        ("sys.exit(0)", 0, "exit status 0"),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL, "killed by SIGKILL"),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM, "killed by SIGTERM"),
        ("os.kill(os.getpid(), 11)", -signal.SIGSEGV, "killed by SIGSEGV"),
    ],
)
def test_the_agent_ends_as_the_program_ends_in_a_turn(ending: str, status: int, words: str) -> None:
    agent = agent_of(JSON + ending)
    output, errors = agent.communicate("go\n", timeout=30)
    assert agent.returncode == status
    assert words in errors
    assert len(output.splitlines()) == 1


def test_the_agent_ends_as_the_program_ends_between_turns() -> None:
    agent = agent_of("import time; time.sleep(3600)")
    assert agent.stdout is not None
    pid = int(agent.stdout.readline().split()[1])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: agent.poll() is not None, what="the agent has ended too")
    agent.communicate()
    assert agent.returncode == -signal.SIGKILL


def test_a_reply_that_was_given_before_the_end_still_arrives() -> None:
    agent = agent_of(JSON + "print(json.dumps('last words'), flush=True); sys.exit(5)")
    assert agent.stdin is not None and agent.stdout is not None
    agent.stdin.write("go\n")
    agent.stdin.flush()
    assert [agent.stdout.readline() for _ in range(2)][1] == "last words\n"
    wait_until(lambda: agent.poll() is not None, what="the agent has ended too")
    agent.communicate()
    assert agent.returncode == 5


def test_its_error_output_is_the_agents() -> None:
    agent = agent_of(JSON + "print('a warning', file=sys.stderr); print(1, flush=True); sys.exit(0)")
    _, errors = agent.communicate("go\n", timeout=30)
    assert "a warning" in errors
