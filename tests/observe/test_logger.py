"""The logger with real pipes and processes: what is printed is kept, in order, and nobody pays for another's output."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agenthost.observe.words import Ended, Flush, Matched
from tests.observe.scribe import logging, write_all


def test_a_line_is_stamped_with_time_incarnation_and_stream(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/crew/planner", "7.12", "out")
        err = logger.pipe("/crew/planner", "7.12", "err")
        os.write(out, b"hello\n")
        logger.flush()
        os.write(err, "wörld\n".encode())
        os.close(out)
        os.close(err)
        logger.wait_all_ended()
        assert logger.said("/crew/planner") == ["out|hello", "err|wörld"]
        first = logger.raw("/crew/planner").splitlines()[0]
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 7\.12 out\|hello", first)
        assert os.listdir(tmp_path) == ["crew~planner.log"]


def test_a_line_that_comes_in_pieces_is_one_line(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        for piece in (b"one ", b"two ", b"three\nfour\r\n\n"):
            os.write(out, piece)
            logger.flush()
        assert logger.said("/a") == ["out|one two three", "out|four", "out|"]
        os.close(out)


def test_the_last_line_without_an_end_is_kept_and_marked(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        os.write(out, b"whole\nTraceback")
        os.close(out)
        logger.wait_all_ended()
        assert logger.said("/a") == ["out|whole", "out+Traceback"]


def test_a_long_line_is_cut_between_characters_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    text = "é" * 100_000 + "\n" + "x" * 65_536 + "\n" + "y" * 65_537 + "\nend\n"
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        write_all(out, text.encode())
        os.close(out)
        logger.wait_all_ended()
        lines = logger.said("/a")
    assert max(len(line.encode()) for line in lines) <= 65_536 + 4
    assert [line[:4] for line in lines] == ["out+"] * 3 + ["out|", "out|", "out+", "out|", "out|"]
    assert "".join(line[4:] + ("\n" if line[3] == "|" else "") for line in lines) == text


def test_bytes_that_are_no_text_are_kept_as_they_are(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        os.write(out, b"\xff\x00\x1b[31m\n")
        logger.flush()
        assert logger.raw("/a").partition(b"|")[2] == b"\xff\x00\x1b[31m\n"
        os.close(out)


def test_the_host_hears_of_an_end_after_the_last_line_is_in_the_file(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        for number in range(50):
            out = logger.pipe(f"/a{number}")
            os.write(out, b"last words")
            os.close(out)
            logger.wait(lambda: any(isinstance(news, Ended) for news in logger.news), "the end")
            logger.news.clear()
            assert logger.said(f"/a{number}") == ["out+last words"]


def test_the_first_line_that_matches_is_told_once(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a", pattern=r"listening on \d+")
        os.write(out, b"starting\nnow listening on 80, ok\nlistening on 81\n")
        logger.flush()
        assert [news.line for news in logger.news if isinstance(news, Matched)] == ["now listening on 80, ok"]
        logger.capture.notify(1, "^again$")
        logger.flush()
        os.write(out, b"not again\nagain\nagain\n")
        logger.flush()
        assert [news.line for news in logger.news if isinstance(news, Matched)][1:] == ["again"]
        os.close(out)


def test_a_pattern_that_does_not_compile_is_reported_and_the_output_kept(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a", pattern="(")
        os.write(out, b"hello\n")
        logger.flush()
        assert "cannot use the pattern '('" in logger.capture.errors[0]
        assert logger.said("/a") == ["out|hello"]
        os.close(out)


def test_detach_keeps_what_was_said_and_hears_no_more(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        os.write(out, b"before\n")
        logger.capture.detach(1)
        logger.wait_all_ended()
        assert logger.said("/a") == ["out|before"]
        try:
            os.write(out, b"after\n")  # nobody holds the reading end any more
            raise AssertionError("the pipe still has a reader")
        except BrokenPipeError:
            pass
        os.close(out)


def test_five_hundred_sources_at_once_lose_nothing(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        ends = [logger.pipe(f"/a{number}") for number in range(500)]
        for turn in range(3):
            for number, end in enumerate(ends):
                os.write(end, f"{turn} of {number}\n".encode())
        for end in ends:
            os.close(end)
        logger.wait_all_ended()
        for number in range(500):
            assert logger.said(f"/a{number}") == [f"out|{turn} of {number}" for turn in range(3)]


def test_a_logger_that_was_killed_is_replaced_and_what_waited_in_the_pipes_is_kept(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a", pattern="^ready$")
        os.write(out, b"one\n")
        logger.flush()
        logger.kill()
        os.write(out, b"two\nready\n")  # nobody reads: it waits in the pipe
        other = logger.pipe("/b")
        os.write(other, b"three\n")
        logger.start()
        logger.flush()
        assert logger.said("/a") == ["out|one", "out|two", "out|ready"]
        assert logger.said("/b") == ["out|three"]
        assert [news.line for news in logger.news if isinstance(news, Matched)] == ["ready"]
        os.close(out)
        os.close(other)
        logger.wait_all_ended()


def test_a_detach_asked_of_a_logger_that_dies_is_done_by_the_next(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        logger.flush()
        os.kill(logger.process.pid, signal.SIGSTOP)
        os.write(out, b"one\n")
        logger.capture.detach(1)
        logger.kill()
        logger.start()
        logger.wait_all_ended()  # although the writing end is still open
        assert logger.said("/a") == ["out|one"]
        os.close(out)


def test_a_flush_asked_of_a_logger_that_dies_is_answered_by_the_next(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        logger.flush()
        os.kill(logger.process.pid, signal.SIGSTOP)  # it hears nothing more
        os.write(out, b"one\n")
        logger.capture.flush()
        logger.kill()
        logger.start()
        logger.wait(lambda: sum(isinstance(news, Flush) for news in logger.news) == 2, "the second flush")
        assert logger.said("/a") == ["out|one"]
        os.close(out)


def test_while_the_logger_is_killed_again_and_again_every_line_arrives_whole(tmp_path: Path) -> None:
    """The writer waits for room; only what a dying logger had read and not written may be missing."""
    with logging(tmp_path, 1e9, 1e9, 1 << 30) as logger:
        out = logger.pipe("/a")
        code = "import sys\nfor n in range(60000): sys.stdout.write(f'{n:08d} some text that fills the line\\n')"
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=out)
        os.close(out)
        for kilobytes in (100, 400, 900):
            logger.wait(lambda: (tmp_path / "a.log").exists(), "a file")
            logger.wait(lambda: len(logger.raw("/a")) > kilobytes * 1000 or writer.poll() is not None, "progress")  # noqa: B023
            logger.kill()
            logger.start()
        assert writer.wait(60) == 0
        logger.wait_all_ended()
        lines = [line[4:] for line in logger.said("/a")]
    numbers = [int(line[:8]) for line in lines if re.fullmatch(r"\d{8} some text that fills the line", line)]
    torn = len(lines) - len(numbers)
    assert torn <= 2 * 3  # a beginning and an end for each kill
    assert numbers == sorted(set(numbers)) and numbers[-1] == 59_999
    assert len(numbers) >= 60_000 - 3 * 3 * 65_536 // 40  # at most a few reads' worth for each kill


def test_when_the_host_is_gone_the_last_words_are_written_and_the_logger_ends(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        logger.flush()
        os.write(out, b"last\nwords")
        logger.link.close()
        assert logger.process.wait(60) == 0
        assert logger.said("/a") == ["out|last", "out+words"]
        os.close(out)


@pytest.mark.slow
def test_a_program_that_prints_without_end_is_held_back_by_its_own_pipe(tmp_path: Path) -> None:
    rate = 4 * 1024 * 1024
    with logging(tmp_path, rate, 64 * rate) as logger:
        flood = logger.pipe("/flood")
        started = time.monotonic()
        code = "import os\nfor _ in range(1024): os.write(1, (b'x' * 1023 + b'\\n') * 16)"
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=flood)
        os.close(flood)
        calm = logger.pipe("/calm")
        latencies = []
        while logger.capture.sources > 1:
            asked = time.monotonic()
            os.write(calm, b"tick\n")
            logger.flush()
            latencies.append(time.monotonic() - asked)
        took_s = time.monotonic() - started
        assert writer.wait(60) == 0
        os.close(calm)
        # 16 MiB: the burst and then 12 MiB at 4 MiB/s; a machine in trouble is slower, never faster
        assert took_s > 2.0, took_s
        assert len(logger.said("/calm")) == len(latencies) > 5
        assert sorted(latencies)[len(latencies) // 2] < 0.5
        total = sum(file.stat().st_size for file in tmp_path.glob("flood.log*"))
        assert 16 * 2**20 < total < 18 * 2**20


@pytest.mark.slow
def test_all_sources_together_keep_to_the_total_rate(tmp_path: Path) -> None:
    total = 4 * 1024 * 1024
    with logging(tmp_path, 100 * total, total) as logger:
        ends = [logger.pipe(f"/a{number}") for number in range(4)]
        code = "import os,sys\nfor _ in range(192): os.write(1, b'x' * 16383 + b'\\n')"
        started = time.monotonic()
        writers = [subprocess.Popen([sys.executable, "-c", code], stdout=end) for end in ends]
        for end in ends:
            os.close(end)
        logger.wait_all_ended()
        took_s = time.monotonic() - started
        assert [writer.wait(60) for writer in writers] == [0] * 4
        sizes = [len(logger.raw(f"/a{number}")) for number in range(4)]
        assert min(sizes) >= 192 * 16384
        assert took_s > 1.5, took_s  # 12 MiB, of which 4 at once


@pytest.mark.slow
def test_a_held_back_pipe_whose_writer_is_gone_costs_no_processor(tmp_path: Path) -> None:
    """EPOLLHUP cannot be masked; a loop that keeps such a pipe in its set spins."""
    with logging(tmp_path, 32 * 1024, 1e9) as logger:
        logger.flush()
        before = _cpu_s(logger.process.pid)
        out = logger.pipe("/a")
        os.write(out, b"x" * 60_000 + b"\n")
        os.close(out)
        logger.wait_all_ended()  # after about three seconds
        assert _cpu_s(logger.process.pid) - before < 1.0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_logger_does_nothing(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        ends = [logger.pipe(f"/a{number}") for number in range(20)]
        logger.flush()
        before = _cpu_s(logger.process.pid)
        quiet = subprocess.run([sys.executable, "-c", "import select; select.select([], [], [], 1.0)"], check=True)
        assert quiet.returncode == 0
        assert _cpu_s(logger.process.pid) - before <= 0.02
        for end in ends:
            os.close(end)


def test_the_logger_survives_the_signals_of_a_terminal_and_of_a_service(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        out = logger.pipe("/a")
        logger.flush()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            os.kill(logger.process.pid, signum)
        os.write(out, b"still here\n")
        logger.flush()
        assert logger.said("/a") == ["out|still here"]
        os.close(out)


def test_descriptors_are_not_kept(tmp_path: Path) -> None:
    with logging(tmp_path) as logger:
        logger.flush()
        before = (len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{logger.process.pid}/fd")))
        for number in range(100):
            os.close(logger.pipe(f"/a{number}"))
        logger.wait_all_ended()
        logger.flush()
        after = (len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{logger.process.pid}/fd")))
        assert after == before
