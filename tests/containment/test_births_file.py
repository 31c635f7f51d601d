"""The births file: what was born is found by a later life, whatever happened to the last line."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agenthost.containment import births as births_file
from agenthost.containment import procfs
from agenthost.containment.births import BirthsFile, Born, line_of, parse, read
from tests.containment import births

numbers = st.integers(0, 2**63)
texts = st.text(max_size=60)
borns = st.builds(Born, texts, numbers, numbers, numbers, texts, texts, texts)


@given(st.lists(borns, max_size=20))
def test_what_is_written_is_read(written: list[Born]) -> None:
    assert parse(b"".join(map(line_of, written))) == written


@given(st.lists(borns, min_size=1, max_size=10), st.data())
def test_a_torn_last_line_costs_that_line_only(written: list[Born], data: st.DataObject) -> None:
    whole = b"".join(map(line_of, written))
    last = len(line_of(written[-1]))
    cut = data.draw(st.integers(2, last))
    assert parse(whole[: len(whole) - cut]) == written[:-1]


@given(st.lists(borns, max_size=5), st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=5))
def test_foreign_lines_are_passed_over(written: list[Born], foreign: list[bytes]) -> None:
    lines = [*(line + b"\n" for line in foreign), *map(line_of, written)]
    assert parse(b"".join(lines)) == written


def since(pid: int) -> int:
    found = procfs.start_time(pid)
    assert found is not None
    return found


def test_no_file_is_no_births(tmp_path: Path) -> None:
    assert read(str(tmp_path / "births")) == []


def test_the_living_are_kept_and_the_dead_dropped_when_a_host_starts(tmp_path: Path) -> None:
    file = str(tmp_path / "births")
    living, dead = births.child(births.rest), births.child(lambda: None)
    first = BirthsFile(file)
    first.append(living, since(living), "/a", "1.1", "/cell")
    first.append(dead, since(dead), "/b", "1.2")
    first.append(os.getpid(), since(os.getpid()) - 1, "/not-us", "1.3")
    first.close()
    assert [born.path for born in read(file)] == ["/a", "/b", "/not-us"]
    os.waitpid(dead, 0)
    with open(file, "ab") as torn:
        torn.write(b'["half a li')
    second = BirthsFile(file)
    assert [(born.pid, born.path, born.folder) for born in second.living()] == [(living, "/a", "/cell")]
    second.append(os.getpid(), since(os.getpid()), "/c", "2.1")
    second.close()
    assert [born.path for born in read(file)] == ["/a", "/c"]
    assert os.stat(file).st_mode & 0o777 == 0o600
    os.kill(living, 9)
    os.waitpid(living, 0)


def test_births_of_another_boot_of_the_machine_or_another_namespace_are_dropped(tmp_path: Path) -> None:
    file = tmp_path / "births"
    pid, start = os.getpid(), since(os.getpid())
    here = (procfs.machine_boot_id(), procfs.pid_namespace())
    file.write_bytes(
        line_of(Born("another boot", here[1], pid, start, "/a", "1.1"))
        + line_of(Born(here[0], 1, pid, start, "/b", "1.2"))
        + line_of(Born(*here, pid, start, "/c", "1.3"))
    )
    opened = BirthsFile(str(file))
    assert [born.path for born in opened.living()] == ["/c"]
    opened.close()


def test_the_file_does_not_grow_with_every_birth(tmp_path: Path) -> None:
    file = str(tmp_path / "births")
    opened = BirthsFile(file)
    opened.append(os.getpid(), since(os.getpid()), "/stays", "1.0")
    for n in range(3 * births_file.SLACK_LINES):
        opened.append(10**9 + n, 1, "/comes/and/goes", f"1.{n}")
        opened.forget(10**9 + n)
    assert len(read(file)) <= births_file.SLACK_LINES + 4
    assert read(file)[0].path == "/stays"
    opened.close()
