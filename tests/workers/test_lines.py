"""The dialog with a program over two pipes: real programs, real pipes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
from agenthost_workers.lines import LINE_MAX_BYTES, Ended, Late, LineError, LineProgram

from tests.waiting import wait_until

Start = Callable[[str], LineProgram]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python programs; ends them after the test."""
    started: list[LineProgram] = []

    def start(source: str) -> LineProgram:
        started.append(LineProgram([sys.executable, "-c", f"import sys, os, time\n{source}"]))
        return started[-1]

    yield start
    for program in started:
        program.kill()
        program.close()


ECHO = "for line in sys.stdin: print(line.strip().upper(), flush=True)"


def test_each_line_gets_the_next_line_in_order(start: Start) -> None:
    program = start(ECHO)
    assert [program.ask(word, left_s=10) for word in (b"a", b"", b"c c")] == [b"A", b"", b"C C"]


def test_a_line_of_a_megabyte_goes_there_and_back_though_a_pipe_holds_less(start: Start) -> None:
    # this program gives pieces back before it has read all: nobody may wait for the other
    program = start("while piece := sys.stdin.buffer.read(65536): sys.stdout.buffer.write(piece); sys.stdout.flush()")
    line = b"x" * (64 * 1024 * 16 - 1)
    assert program.ask(line, left_s=20) == line


def test_an_answer_that_is_late_is_never_an_answer(start: Start) -> None:
    program = start("sys.stdin.readline(); time.sleep(3600)")
    with pytest.raises(Late):
        program.ask(b"now", left_s=0.05)


def test_a_second_line_is_not_taken_for_the_answer_to_the_next_question(start: Start) -> None:
    program = start("for line in sys.stdin: print('one\\ntwo', flush=True)")
    assert program.ask(b"first", left_s=10) == b"one"
    with pytest.raises(LineError, match=r"said b'two.*' unasked"):
        program.ask(b"second", left_s=10)


def test_what_is_said_before_the_first_question_is_no_answer_to_it(start: Start) -> None:
    program = start("print('welcome', flush=True); [print(line, flush=True) for line in sys.stdin]")
    wait_until(lambda: program.is_unread, what="the program has said welcome")
    with pytest.raises(LineError, match="unasked"):
        program.ask(b"hello", left_s=10)


def test_an_answer_to_half_of_a_question_ends_the_dialog(start: Start) -> None:
    program = start("sys.stdin.read(10); print('enough', flush=True); time.sleep(3600)")
    with pytest.raises(LineError, match="before the question was read"):
        program.ask(b"y" * 1024 * 1024, left_s=10)


def test_the_end_of_the_program_in_the_middle_of_a_turn_is_heard_at_once(start: Start) -> None:
    program = start("sys.stdin.readline(); print('half', end='', flush=True); sys.exit(3)")
    with pytest.raises(Ended):
        program.ask(b"go")
    assert program.wait_ended(10) == 3


def test_the_end_is_heard_though_a_child_of_the_program_holds_its_output(start: Start) -> None:
    program = start("os.fork() or sys.stdin.read(); os._exit(4)")
    with pytest.raises(Ended):
        program.ask(b"go")
    assert program.wait_ended(10) == 4


def test_the_last_line_before_the_end_is_still_an_answer(start: Start) -> None:
    program = start("sys.stdin.readline(); print('bye', flush=True); sys.exit(0)")
    assert program.ask(b"go", left_s=10) == b"bye"
    with pytest.raises(Ended):
        program.ask(b"more", left_s=10)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(start: Start) -> None:
    program = start("sys.stdin.readline()\nwhile True: sys.stdout.write('z' * 1000000)")
    with pytest.raises(LineError, match="longer than"):
        program.ask(b"go", left_s=60)


def test_a_question_beyond_the_limit_is_not_said(start: Start) -> None:
    program = start(ECHO)
    with pytest.raises(LineError, match="is the most"):
        program.ask(b"x" * (LINE_MAX_BYTES + 1), left_s=10)
    assert program.ask(b"still here", left_s=10) == b"STILL HERE"


def test_the_program_has_a_session_of_its_own_and_what_it_was_given(start: Start) -> None:
    program = LineProgram(
        [
            sys.executable,
            "-c",
            "import os; input(); print(os.getsid(0) == os.getpid(), os.environ['WORD'])",
        ],
        env={"WORD": "given"},
    )
    try:
        assert program.ask(b"who", left_s=10) == b"True given"
    finally:
        program.kill()
        program.close()


def test_a_program_that_does_not_exist_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError):
        LineProgram(["/nonexistent/program"])
