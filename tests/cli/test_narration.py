"""What a person reads in the terminal of ``agenthost run``."""

from __future__ import annotations

import io
import re
from itertools import count
from typing import Any

from agenthost.host.narration import Narration
from agenthost.host.terminal import Terminal
from agenthost.observe.record import Record
from tests.waiting import wait_until

_OFFSETS = count(1)


def record(name: str, path: str, **fields: Any) -> Record:
    return Record(next(_OFFSETS), 1_700_000_000.0, name, path, fields)


def told(*records: Record) -> list[str]:
    """Lines without their time."""
    narration = Narration(colour=False)
    lines = [line for one in records for line in narration.lines(one)]
    return [re.sub(r"^\r?\d\d:\d\d:\d\d ", "", line) for line in lines]


def words(*records: Record) -> list[str]:
    return [" ".join(line.split()) for line in told(*records)]


def test_paths_stand_in_a_column() -> None:
    lines = told(record("agent.ready", "/a", pid=7, after_ms=3.14), record("agent.ready", "/b/c", pid=8, after_ms=1500))
    assert lines == ["/a                       ready (pid 7, 3.1 ms)", "/b/c                     ready (pid 8, 1.5 s)"]


def test_ctrl_c_is_answered_with_how_many_are_asked_and_what_helps_next() -> None:
    ready = [record("agent.starting", f"/a{n}") for n in range(5)]
    said = words(*ready, record("agent.ended", "/a4"), record("host.halting", "/", why="by a signal", how="ask"))
    assert said == ["/ stopping: by a signal; asks 4 agents to stop; Ctrl-C again hurries, a third time kills"]


def test_the_second_ctrl_c_is_answered_too_and_the_end_says_what_is_left() -> None:
    said = words(
        record("agent.starting", "/a"),
        record("host.halting", "/", why="by a signal", how="ask"),
        record("supervisor.stopping", "/", why="stopped by a signal"),
        record("agent.asked", "/a", why="its supervisor stops it"),
        record("host.hurrying", "/", why="by a second signal", how="hurry"),
        record("agent.exited", "/a", reason="killed: did not stop within 2 s"),
        record("agent.ended", "/a", reason="killed"),
        record("supervisor.ended", "/", reason="stopped"),
        record("host.ended", "/", status=0),
    )
    assert said[1:] == [
        "/ in a hurry: TERM to 1 agent, KILL soon; Ctrl-C again kills at once",
        "/a killed: did not stop within 2 s",
        "/ nothing is left; exit status 0",
    ]


def test_a_command_is_told_once_not_as_every_step_of_it() -> None:
    said = words(
        record("command.stop", "/a", by="uid 0"),
        record("agent.asked", "/a", why="stopped by uid 0"),
        record("agent.exited", "/a", reason="stopped"),
        record("agent.ended", "/a", reason="stopped"),
    )
    assert said == ["/a stop, by uid 0", "/a stopped"]


def test_a_traceback_is_shown_once_and_only_its_end() -> None:
    trace = (
        "Traceback:\n"
        + "".join(f'  File "x.py", line {n}\n    f()\n    ^^^\n' for n in range(9))
        + "ValueError: \x1b[2J"
    )
    said = words(
        record("agent.exited", "/a", reason="failed to start: ValueError", trace=trace),
        record("host.failed", "/", reason="failed to start: cannot start /a", trace=trace),
    )
    assert said[-2:] == [r"| ValueError: \x1b[2J", "/ failed: cannot start /a"]
    assert len(said) == 7 and not [line for line in said if "^^^" in line]


def test_colours_mark_what_went_wrong_and_only_that() -> None:
    narration = Narration(colour=True)

    def colour(name: str, **fields: Any) -> str:
        (line,) = narration.lines(record(name, "/a", **fields))
        return line.rpartition(" \033[")[2].partition("m")[0] if "\033[3" in line.split("/a")[1] else ""

    assert colour("agent.exited", reason="exit status 3") == "33"
    assert colour("agent.ready", pid=1) == "32"
    assert "\033[33m" not in next(iter(narration.lines(record("agent.exited", "/a", reason="ended normally"))))


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_every_record_is_one_line_with_fields() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream=stream)
    terminal.show(record("agent.exited", "/a b", reason='exit status 3: "\x1b[31m"', trace="one\ntwo"))
    terminal.close()
    assert stream.getvalue() == (
        '2023-11-14T22:13:20.000Z agent.exited path="/a b" '
        'reason="exit status 3: \\"\\u001b[31m\\"" trace="one\\ntwo"\n'
    )


def test_quiet_leaves_only_what_went_wrong_and_the_answer_to_ctrl_c() -> None:
    stream = Tty()
    terminal = Terminal(quiet=True, stream=stream)
    for one in (
        record("host.containment", "/", text="containment cgroup"),
        record("agent.starting", "/a"),
        record("agent.ready", "/a", pid=1),
        record("agent.exited", "/a", reason="killed: silent"),
        record("agent.exited", "/b", reason="stopped"),
        record("host.halting", "/", why="by a signal"),
        record("host.ended", "/", status=0),
    ):
        terminal.show(one)
    terminal.close()
    shown = stream.getvalue().replace("\033[0m", "").split("\n")[:-1]
    assert [line.split()[-1] for line in shown] == ["silent", "kills", "0"]
    assert "asks 1 agent to stop" in shown[1]


def test_a_terminal_that_has_gone_stops_nobody() -> None:
    stream = Tty()
    terminal = Terminal(stream=stream)
    stream.close()
    for n in range(20_000):
        terminal.show(record("agent.ready", f"/a{n}"))
    wait_until(lambda: not terminal._thread.is_alive(), what="the thread that writes has ended")
    terminal.close()
