"""Logs are read without host and without agents: the last lines, and what comes after, over rotations too."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.observe.logs import Filter, Line, follow, logged_paths, parse, tail
from agenthost.observe.names import log_name, path_of
from agenthost.observe.rotation import LogFile, stamp
from agenthost.observe.selection import selects

NAME = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
START_S = 1795444500.0


def entry(second: float, text: str, stream: str = "out", mark: str = "|", incarnation: str = "1.1") -> bytes:
    return stamp(START_S + second) + f" {incarnation} {stream}{mark}{text}\n".encode()


def put(folder: Path, path: str, *entries: bytes, max_bytes: int = 1 << 20, keep: int = 3) -> None:
    file = LogFile(str(folder), path, max_bytes=max_bytes, keep=keep)
    for lines in entries:
        file.append(lines)
    file.close()


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


@given(st.lists(NAME, min_size=1, max_size=32))
def test_names_of_files_are_short_and_lead_back_to_their_paths(names: list[str]) -> None:
    path = "/" + "/".join(names)
    name = log_name(path)
    assert len(name) <= 255 - len(".1") and "/" not in name and not name.startswith(".")
    if "~~" not in name:
        assert path_of("/nowhere", name) == path


def test_a_path_too_long_for_a_name_is_kept_in_the_file(tmp_path: Path) -> None:
    path = "/" + "/".join("n" * 60 for _ in range(8))
    put(tmp_path, path, entry(0, "deep"))
    assert logged_paths(str(tmp_path)) == [path]
    assert [(line.path, line.text) for line in tail(str(tmp_path))] == [(path, "deep")]


@pytest.mark.parametrize("path", ["/", "/a", "/a/b.c", "/.hidden", "/a~b", "/é", "/%41", "/system/router"])
def test_odd_paths_lead_back_too(path: str) -> None:
    assert path_of("/nowhere", log_name(path)) == path


def test_two_paths_never_share_a_file() -> None:
    paths = ["/a/b", "/a~b", "/a.b", "/a%7Eb", "/ab", "/a/b.log", "/A/b"]
    assert len({log_name(path) for path in paths}) == len(paths)


@pytest.mark.parametrize(
    ("pattern", "path", "selected"),
    [
        ("/crew", "/crew", True),
        ("/crew", "/crew/planner", True),
        ("crew", "/crew/planner", True),
        ("/crew", "/crewed", False),
        ("/crew/*", "/crew", False),
        ("/crew/*", "/crew/a/b", True),
        ("/*/planner", "/crew/planner", True),
        ("/*/planner", "/a/b/planner", False),
        ("/**/planner", "/a/b/planner", True),
        ("/w?", "/w1", True),
        ("/w?", "/w12", False),
        ("/w[12]", "/w2", True),
        ("/w[!12]", "/w2", False),
        ("/w[z-a]", "/wz", False),
        ("/", "/any/thing", True),
        ("/a.c", "/abc", False),
    ],
)
def test_a_pattern_selects_a_path_and_all_below_it(pattern: str, path: str, selected: bool) -> None:
    assert selects([pattern], path) is selected


def test_tail_merges_agents_in_the_order_of_time(tmp_path: Path) -> None:
    put(tmp_path, "/a", entry(1, "a1"), entry(3, "a3"), entry(3, "a3 too"))
    put(tmp_path, "/b", entry(2, "b2"), entry(4, "b4", "err"))
    put(tmp_path, "/c/d", entry(2.5, "d"))
    assert texts(tail(str(tmp_path))) == ["a1", "b2", "d", "a3", "a3 too", "b4"]
    assert texts(tail(str(tmp_path), lines=2)) == ["a3 too", "b4"]
    assert texts(tail(str(tmp_path), ["/a", "/c"])) == ["a1", "d", "a3", "a3 too"]
    assert tail(str(tmp_path), lines=0) == []
    assert tail(str(tmp_path / "none")) == []


def test_a_line_knows_all_that_was_written(tmp_path: Path) -> None:
    put(tmp_path, "/a", entry(1.5, "x | y + z", "err", "+", "7.12"))
    line = Line(START_S + 1.5, "/a", "7.12", "err", "x | y + z", cut=True)
    assert tail(str(tmp_path)) == [line]
    assert line.stamp == "2026-11-23T14:35:01.500Z"


def test_lines_are_chosen_by_time_stream_and_text(tmp_path: Path) -> None:
    put(tmp_path, "/a", *(entry(n, f"line {n}", "err" if n % 2 else "out") for n in range(10)))
    folder = str(tmp_path)
    assert texts(tail(folder, wanted=Filter(since_s=START_S + 8))) == ["line 8", "line 9"]
    assert texts(tail(folder, lines=2, wanted=Filter(streams=frozenset({"err"})))) == ["line 7", "line 9"]
    assert texts(tail(folder, wanted=Filter(grep=re.compile("[35]$")))) == ["line 3", "line 5"]
    both = Filter(START_S + 4, re.compile("[35]"), frozenset({"err"}))
    assert texts(tail(folder, wanted=both)) == ["line 5"]


def test_tail_reaches_back_over_rotations_and_blocks(tmp_path: Path) -> None:
    entries = [entry(n / 100, f"{n:05d} " + "x" * 100) for n in range(5000)]
    put(tmp_path, "/a", *entries, max_bytes=200_000, keep=4)
    assert len(list(tmp_path.iterdir())) == 4
    found = [int(text[:5]) for text in texts(tail(str(tmp_path), lines=4000))]
    assert found == list(range(1000, 5000))
    everything = tail(str(tmp_path), lines=10**6)
    assert len(everything) == sum(file.read_bytes().count(b"\n") for file in tmp_path.iterdir())


def test_an_unfinished_line_is_not_shown_yet(tmp_path: Path) -> None:
    put(tmp_path, "/a", entry(1, "whole"))
    with open(tmp_path / "a.log", "ab") as file:
        file.write(entry(2, "half")[:-3])
    assert texts(tail(str(tmp_path))) == ["whole"]


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"# path /a\n\n\xff\xfe\nrubbish\n" + entry(1, "good") + b"2026-99-99 out|x\n")
    (tmp_path / "notes.txt").write_text("not a log\n")
    (tmp_path / "b.log.gz").write_bytes(b"\x1f\x8b")
    assert texts(tail(str(tmp_path))) == ["good"]
    assert logged_paths(str(tmp_path)) == ["/a"]


@given(st.binary(max_size=80))
def test_parsing_takes_anything(raw: bytes) -> None:
    line = parse(raw.replace(b"\n", b""), "/a")
    assert line is None or line.path == "/a"


def test_a_stamp_that_is_no_time_is_no_line() -> None:
    assert parse(b"2026-99-99T99:99:99.999Z 1.1 out|x", "/a") is None


def test_control_characters_do_not_reach_a_terminal(tmp_path: Path) -> None:
    put(tmp_path, "/a", entry(1, "\x1b]0;evil\x07 \t\x9b31m é"))
    assert tail(str(tmp_path))[0].printable() == "\\x1b]0;evil\\x07 \t\\x9b31m é"


class Following:
    """``follow``, driven by hand: ``wait`` runs the next act of the test."""

    def __init__(self, folder: Path, *patterns: str, lines: int = 10, wanted: Filter | None = None) -> None:
        self.acts: list[object] = []
        self.done = False
        self._lines = follow(
            str(folder), patterns, lines=lines, wanted=wanted or Filter(), wait=self._wait, stop=lambda: self.done
        )

    def _wait(self, seconds: float) -> None:
        if not self.acts:
            self.done = True
            return
        act = self.acts.pop(0)
        assert callable(act)
        act()

    def run(self, *acts: object) -> list[str]:
        self.acts = list(acts)
        return [line.text for line in self._lines]


def test_follow_shows_the_last_lines_and_then_what_comes(tmp_path: Path) -> None:
    put(tmp_path, "/a", entry(1, "one"), entry(2, "two"))
    following = Following(tmp_path, lines=1)
    assert following.run(
        lambda: put(tmp_path, "/a", entry(3, "three")),
        lambda: put(tmp_path, "/new", entry(4, "of a new agent")),
        lambda: None,
    ) == ["two", "three", "of a new agent"]


def test_follow_of_a_folder_that_is_not_there_yet_waits_for_it(tmp_path: Path) -> None:
    following = Following(tmp_path / "logs")
    assert following.run(lambda: put(tmp_path / "logs", "/a", entry(1, "one"))) == ["one"]


def test_follow_sorts_what_came_meanwhile_by_time(tmp_path: Path) -> None:
    def both() -> None:
        put(tmp_path, "/b", entry(2, "b2"), entry(4, "b4"))
        put(tmp_path, "/a", entry(1, "a1"), entry(3, "a3"))

    assert Following(tmp_path).run(both) == ["a1", "b2", "a3", "b4"]


def test_follow_shows_only_what_was_selected(tmp_path: Path) -> None:
    def more() -> None:
        put(tmp_path, "/a", entry(1, "a"), entry(2, "a err", "err"))
        put(tmp_path, "/b", entry(1, "b", "err"))

    wanted = Filter(streams=frozenset({"err"}))
    assert Following(tmp_path, "/a", wanted=wanted).run(more) == ["a err"]


def test_follow_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    whole = entry(2, "whole")

    def add(part: bytes) -> None:
        with open(tmp_path / "a.log", "ab") as file:
            file.write(part)

    put(tmp_path, "/a", entry(1, "one"))
    assert Following(tmp_path).run(lambda: add(whole[:40]), lambda: add(whole[40:])) == ["one", "whole"]


def test_follow_goes_over_rotations_without_missing_a_line(tmp_path: Path) -> None:
    numbers = itertools.count()

    def some(count: int) -> None:
        put(tmp_path, "/a", *(entry(n, f"{n:04d}") for n in itertools.islice(numbers, count)), max_bytes=400, keep=6)

    found = Following(tmp_path).run(*(lambda n=n: some(n) for n in (1, 30, 2, 25, 7, 40, 1)))
    assert found == [f"{n:04d}" for n in range(106)]


def test_follow_goes_on_after_a_file_was_emptied_by_hand(tmp_path: Path) -> None:
    put(tmp_path, "/a", entry(1, "one"), entry(2, "two"))

    def empty() -> None:
        os.truncate(tmp_path / "a.log", 0)
        put(tmp_path, "/a", entry(3, "three"))

    assert Following(tmp_path).run(empty) == ["one", "two", "three"]


def test_follow_beside_a_busy_writer_sees_every_line_once(tmp_path: Path) -> None:
    count = 20_000

    def write() -> None:
        file = LogFile(str(tmp_path), "/a", max_bytes=256 * 1024, keep=10)
        for number in range(0, count, 10):
            file.append(b"".join(entry(n / 1000, f"{n:06d}") for n in range(number, number + 10)))
        file.close()

    writer = threading.Thread(target=write)
    found: list[str] = []

    def take(lines: Iterator[Line]) -> None:
        for line in lines:
            found.append(line.text)
            if len(found) == count:
                return

    writer.start()
    take(follow(str(tmp_path), lines=10**6, poll_s=0.001, stop=lambda: not writer.is_alive() and len(found) >= count))
    writer.join()
    assert found == [f"{n:06d}" for n in range(count)]
