"""A log file keeps to its size, and outlives whatever its disk does."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.observe.rotation import LogFile, LogFiles, stamp
from tests.observe.scribe import logging, write_all


def test_a_file_is_rotated_before_it_is_too_large_and_the_oldest_goes(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path), "/a", max_bytes=100, keep=3)
    for number in range(40):
        file.append(f"line {number:04d}\n".encode())
    file.close()
    assert sorted(os.listdir(tmp_path)) == ["a.log", "a.log.1", "a.log.2"]
    kept = [(tmp_path / name).read_text() for name in ("a.log.2", "a.log.1", "a.log")]
    assert all(len(text) <= 100 for text in kept)
    lines = "".join(kept).splitlines()
    assert lines == [f"line {number:04d}" for number in range(40 - len(lines), 40)]


def test_one_kept_file_is_begun_anew(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path), "/a", max_bytes=20, keep=1)
    for number in range(5):
        file.append(f"line {number:04d}\n".encode())
    file.close()
    assert os.listdir(tmp_path) == ["a.log"]
    assert (tmp_path / "a.log").read_text() == "line 0004\n"


def test_what_is_larger_than_a_file_is_written_all_the_same(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path), "/a", max_bytes=10, keep=2)
    file.append(b"x" * 50 + b"\n")
    file.append(b"y" * 50 + b"\n")
    file.close()
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 50 + b"\n"
    assert (tmp_path / "a.log").read_bytes() == b"y" * 50 + b"\n"


def test_a_line_that_an_earlier_writer_left_unfinished_is_ended(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"torn")
    file = LogFile(str(tmp_path), "/a")
    file.append(b"next\n")
    file.close()
    assert (tmp_path / "a.log").read_bytes() == b"torn\nnext\n"


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "x/logs"), "/a")
    file.append(b"one\n")
    file.close()
    assert (tmp_path / "x/logs/a.log").read_bytes() == b"one\n"


def test_a_file_that_was_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agenthost.observe.rotation._LOOK_AGAIN_S", 0.0)
    file = LogFile(str(tmp_path), "/a")
    file.append(b"one\n")
    (tmp_path / "a.log").unlink()
    file.append(b"two\n")
    file.close()
    assert (tmp_path / "a.log").read_bytes() == b"two\n"


def test_a_symbolic_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "a.log").symlink_to("other")
    file = LogFile(str(tmp_path), "/a")
    file.append(b"one\ntwo\n")
    assert (file.dropped_lines, file.dropped_bytes) == (2, 8)
    assert (tmp_path / "other").read_bytes() == b""


def test_at_most_so_many_files_are_open(tmp_path: Path) -> None:
    files = LogFiles(lambda path: LogFile(str(tmp_path), path), max_open=3)
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(3):
        for number in range(10):
            files.append(f"/a{number}", f"{turn}\n".encode())
            assert len(os.listdir("/proc/self/fd")) <= before + 3
    files.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert {(tmp_path / f"a{number}.log").read_text() for number in range(10)} == {"0\n1\n2\n"}


def test_a_stamp_is_utc_to_the_millisecond() -> None:
    assert stamp(1795444501.1239) == b"2026-11-23T14:35:01.123Z"
    assert stamp(0.0) == b"1970-01-01T00:00:00.000Z"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(disk), b"tmpfs", 0, b"size=256k") != 0:
        pytest.skip(f"cannot mount a tmpfs here: {os.strerror(ctypes.get_errno())}")
    try:
        yield disk
    finally:
        assert libc.umount2(bytes(disk), 2) == 0  # MNT_DETACH


def test_on_a_full_disk_lines_are_counted_whole_and_told_of_later(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 250_000)
    file = LogFile(str(small_disk), "/a")
    for number in range(1000):
        file.append(f"line {number:04d} {'y' * 50}\n".encode())
    full = (small_disk / "a.log").read_text().splitlines()
    assert 0 < len(full) < 1000 and all(re.fullmatch(r"line \d{4} y{50}", line) for line in full)
    assert file.dropped_lines == 1000 - len(full)
    ballast.unlink()
    file.append(b"space again\n")
    file.close()
    *kept, told, last = (small_disk / "a.log").read_text().splitlines()
    assert kept == full and last == "space again"
    dropped = 1000 - len(full)
    assert told.endswith(f" - log|{dropped} lines ({dropped * 61} bytes) could not be written: No space left on device")
    assert file.dropped_lines == 0


def test_the_logger_outlives_a_full_disk_and_holds_nobody_up(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 240_000)
    with logging(small_disk / "logs", 1e9, 1e9) as logger:
        out = logger.pipe("/a")
        for number in range(20_000):
            write_all(out, f"line {number:05d}\n".encode())
        logger.flush()
        ballast.unlink()
        os.write(out, b"line 20000\n")
        logger.flush()
        lines = logger.said("/a")
        os.close(out)
    told = [line for line in lines if line.startswith("log|")]
    kept = [int(line[-5:]) for line in lines if line.startswith("out|")]
    counts = [int(line[4:].split()[0]) for line in told]
    assert len(told) >= 1 and kept == sorted(kept) and kept[-1] == 20_000
    assert len(kept) + sum(counts) == 20_001


def test_short_lines_that_come_all_at_once_do_not_make_a_file_larger_than_it_may_be(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path), "/a", max_bytes=1000, keep=3)
    lines = [b"line %04d\n" % number for number in range(1000)]
    file.append(b"".join(lines))
    file.close()
    kept = [tmp_path / "a.log.2", tmp_path / "a.log.1", tmp_path / "a.log"]
    assert all(one.stat().st_size <= 1000 for one in kept)
    found = b"".join(one.read_bytes() for one in kept).splitlines(keepends=True)
    assert found == lines[-len(found) :] and len(found) > 200


def test_files_of_a_time_when_more_were_kept_go_with_the_next_rotation(tmp_path: Path) -> None:
    files = LogFiles(lambda path: LogFile(str(tmp_path), path, max_bytes=100, keep=3))
    files.bound("/a", 100, 5)
    for _ in range(20):
        files.append("/a", b"x" * 60 + b"\n")
    assert len(list(tmp_path.iterdir())) == 5
    files.bound("/a", 0, 0)
    files.append("/a", b"x" * 60 + b"\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    files.close()
