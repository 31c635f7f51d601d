"""logs and events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cli.typing_user import COMMAND, agenthost, screen
from tests.host.conftest import Start
from tests.host.running import Running, kill, tree
from tests.waiting import wait_until

NASTY = "red \x1b[31m\x9b2J bell \x07 bad \xff\xfe\n"


@pytest.fixture
def host(start: Start, agents: str) -> Running:
    return start(
        tree(
            {"name": "talker", "agent": f"{agents}:Talker"},
            {"name": "echo", "agent": f"{agents}:Echo"},
            {"name": "once", "restart": "temporary", "command": ["sh", "-c", "echo out; echo err >&2"]},
        )
    )


@contextmanager
def following(*words: str, ends: bool = False) -> Iterator[Callable[[], str]]:
    """A command that goes on until Ctrl-C, or ``ends`` by itself; what it has printed so far."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    text = b""

    def printed() -> str:
        nonlocal text
        try:
            text += os.read(read, 1 << 20)
        except BlockingIOError:
            pass
        return text.decode("utf-8", "backslashreplace")

    process = subprocess.Popen([*COMMAND, *words], stdin=subprocess.DEVNULL, stdout=write)
    os.close(write)
    try:
        yield printed
    finally:
        if not ends:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == (0 if ends else 130)
        os.close(read)


@pytest.fixture
def two(share: Start, agents: str) -> Running:
    """Nothing of it ends by itself."""
    return share(tree({"name": "talker", "agent": f"{agents}:Talker"}, {"name": "echo", "agent": f"{agents}:Echo"}))


def test_what_agents_print_cannot_act_on_the_terminal_and_is_whole_as_data(two: Running) -> None:
    agenthost("call", "talker", json.dumps(NASTY))
    wait_until(lambda: "bad" in agenthost("logs", "talker").out, 60, "it is in the log")
    shown = agenthost("logs", "talker").out
    assert "\x1b" not in shown and "\x07" not in shown and "\x9b" not in shown
    assert r"red \x1b[31m" in shown
    with screen("logs", "talker", env={"NO_COLOR": "1"}) as on_terminal:
        on_terminal.wait_end()
    assert "\x1b" not in on_terminal.text and "\x07" not in on_terminal.text
    line = json.loads(agenthost("logs", "talker", "-o", "json").lines[-1])
    assert line["text"].startswith("red \x1b[31m") and line["path"] == "/talker" and line["stream"] == "out"


def test_logs_tell_stderr_apart_and_can_be_cut_and_searched(host: Running) -> None:
    wait_until(lambda: len(agenthost("logs", "once").lines) == 2, 60, "both lines are in the log")
    assert sorted(line.split()[-1] for line in agenthost("logs", "once").lines) == ["!err", "out"]
    assert [line.split()[-1] for line in agenthost("logs", "once", "--stderr").lines] == ["!err"]
    assert len(agenthost("logs", "once", "-n", "1").lines) == 1
    assert agenthost("logs", "--grep", "^ou.$").lines[0].endswith(" out")
    assert agenthost("logs", "--grep", "(").status == 2
    assert agenthost("logs", "once", "--since", "1ms").out == ""


def test_one_who_never_printed_is_silent_and_one_who_is_not_there_is_an_error(two: Running) -> None:
    done = agenthost("logs", "echo")
    assert (done.status, done.out, done.err) == (0, "", "agenthost: nothing was printed by echo\n")
    done = agenthost("logs", "tlaker")
    assert (done.status, done.err) == (4, "agenthost: there is no /tlaker; did you mean /talker?\n")


def test_logs_are_read_without_a_host_too(host: Running) -> None:
    wait_until(lambda: agenthost("logs", "once").out, 60, "it is in the log")
    agenthost("stop", "/")
    assert host.wait_end() == 0
    assert len(agenthost("logs", "once").lines) == 2
    assert agenthost("logs", "talker").status == 4


def test_following_logs_goes_on_over_a_restart(two: Running) -> None:
    with following("logs", "-f", "talker") as printed:
        agenthost("call", "talker", '"before\\n"')
        wait_until(lambda: "before" in printed(), 60, "the first line")
        agenthost("restart", "talker")
        agenthost("call", "talker", '"after\\n"')
        wait_until(lambda: "after" in printed(), 60, "the line of the next incarnation")


def test_events_tell_what_happened_and_can_be_selected(host: Running) -> None:
    host.wait_event("agent.ended", "/once")
    lines = agenthost("events").lines
    assert lines[0].split()[0] == "1" and "containment" in lines[0]
    assert [line for line in lines if "is up: " in line]
    assert {line.split()[2] for line in agenthost("events", "echo").lines} == {"/echo"}
    assert len(agenthost("events", "-n", "2").lines) == 2
    record = json.loads(agenthost("events", "-n", "1", "-o", "json").out)
    assert record["offset"] == len(lines) and set(record) == {"offset", "at", "name", "path", "fields"}
    assert "ended normally" in agenthost("events", "once").out, "a temporary child is gone, its records are not"
    assert agenthost("events", "nobody").status == 4


def test_following_events_survives_a_killed_router_and_misses_nothing(host: Running) -> None:
    def told(count: int) -> None:
        wait_until(lambda: printed().count("command.restart") == count, 60, f"{count} restarts were told")

    with following("events", "-f", "-o", "json") as printed:
        wait_until(lambda: "host.ready" in printed(), 60, "it follows")
        agenthost("restart", "echo")
        told(1)
        (router,) = host.own_pids("router")
        kill(router)
        host.wait_answers("/echo", "again")
        agenthost("restart", "echo")
        told(2)
        offsets = [json.loads(line)["offset"] for line in printed().splitlines()]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))


def test_following_events_ends_with_the_host(host: Running) -> None:
    with following("events", "-f", ends=True) as printed:
        wait_until(lambda: "is up" in printed(), 60, "it follows")
        agenthost("stop", "/")
        wait_until(lambda: "nothing is left; exit status 0" in printed(), 60, "the end was told")
    assert host.wait_end() == 0


def test_the_reader_of_a_pipe_may_leave(two: Running) -> None:
    for words in (["events"], ["logs"], ["status"]):
        command = " ".join([*COMMAND, *words]) + " | head -1 >/dev/null; echo ${PIPESTATUS[0]}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("0\n", "")
