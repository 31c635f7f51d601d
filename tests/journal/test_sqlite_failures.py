"""What can happen to the file of a journal: each a clear error, nothing overwritten, and on again when it is over."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.errors import (
    JournalDamaged,
    JournalForeign,
    JournalFull,
    JournalUnavailable,
    StateError,
    UsageError,
)
from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Done
from agenthost.journal.sqlite import opening, statements
from agenthost.journal.sqlite.reading import SqliteReader
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.values import Entry

SEED, PAGE, FIRST, LAST = 5, 4096, 80, 140


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(path) as store:
        yield store


def filled(path: Path, messages: int = 300) -> None:
    with SqliteStore(path) as store:
        store.commit([ops.Own("/a", (1, 1))], 1)
        for number in range(messages):
            entry = Entry("said", b"e" * 300)
            turn = ops.CommitTurn("/a", (1, 1), state=b"%d" % number * 50, entries=(entry,), checkpoint="c")
            store.commit([ops.Accept(f"/r{number % 7}", "/s", b"m" * 300), turn], number)


def digests(path: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.parent.iterdir()
        if file.stat().st_size and not file.name.endswith("-shm")
    }


# ---- whose it is


def test_there_is_one_writer_at_a_time(path: Path) -> None:
    with SqliteStore(path) as store:
        with pytest.raises(JournalUnavailable, match="another process writes it; two hosts on one state folder"):
            SqliteStore(path)
        store.commit([ops.Accept("/a", "/s", b"")], 1)
    SqliteStore(path).close()


def test_a_journal_of_a_newer_version_is_refused_untouched(path: Path) -> None:
    filled(path, 3)
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    before = digests(path)
    for opens in (SqliteStore, SqliteReader):
        newest = statements.migrations()[-1][0]
        with pytest.raises(JournalForeign, match=f"version 99, .* knows up to {newest}; nothing was changed"):
            opens(path)
    assert digests(path) == before


@pytest.mark.parametrize("content", ["text", "database"])
def test_a_file_that_is_not_ours_is_refused_untouched(path: Path, content: str) -> None:
    if content == "text":
        path.write_text("my notes, " * 1000)
    else:
        raw = sqlite3.connect(path)
        raw.execute("CREATE TABLE mine (x)")
        raw.close()
    before = digests(path)
    with pytest.raises(JournalForeign, match="move it away"):
        SqliteStore(path)
    assert digests(path) == before


def test_a_journal_of_an_older_agenthost_is_brought_up_by_its_writer_and_refused_by_readers(path: Path) -> None:
    raw = sqlite3.connect(path)
    number, script = statements.migrations()[0]
    raw.executescript(
        f"BEGIN; {script} PRAGMA application_id = {opening.APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
    )
    raw.execute("INSERT INTO owners (path, boot, n) VALUES ('/a', 1, 1)")
    raw.execute("INSERT INTO failures VALUES (1, 1, 1, 5, 'released', 'it was stopped')")
    raw.commit()
    raw.close()
    before = digests(path)
    with pytest.raises(StateError, match="it has version 1"):
        SqliteReader(path)
    assert digests(path) == before
    with SqliteStore(path) as store, store.reader() as reader:
        assert store.commit([ops.Own("/a", (1, 1))], 10) == [Done()]
        assert [line.reason for line in reader.history(1)] == ["it was stopped"]


def test_a_journal_that_was_killed_before_its_first_table_is_begun_anew(path: Path) -> None:
    path.touch()
    SqliteStore(path).close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA application_id").fetchone() == (opening.APPLICATION_ID,)
    assert raw.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    raw.close()


def test_nobody_else_can_read_its_files(store: SqliteStore, path: Path) -> None:
    store.commit([ops.Accept("/a", "/s", b"")], 1)
    files = list(path.parent.iterdir())
    assert len(files) == 4  # the database, its WAL, the index of that, our lock
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_where_there_is_no_journal_none_is_made_by_reading(path: Path) -> None:
    with pytest.raises(StateError, match="there is none"):
        SqliteReader(path)
    assert not path.exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="No such file or directory; is its folder there"):
        SqliteStore(tmp_path / "no" / "journal")


def test_a_closed_journal_says_so(path: Path) -> None:
    store = SqliteStore(path)
    reader = store.reader()
    reader.close()
    store.close()
    store.close()
    with pytest.raises(UsageError, match="it was closed"):
        store.commit([], 1)
    with pytest.raises(UsageError, match="this reader was closed"):
        reader.stats()


def test_durability_of_power_cuts_is_a_setting(path: Path) -> None:
    for durability, level in (("process", 1), ("power", 2)):
        connection = opening.writer(path, durability)  # type: ignore[arg-type]
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        connection.close()


# ---- it cannot be written for a while


def test_somebody_who_locks_the_database_is_waited_for_then_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BUSY_S", 0.05)
    with SqliteStore(path) as store:
        store.commit([ops.Accept("/a", "/s", b"1")], 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable, match="another process holds a lock"):
            store.commit([ops.Accept("/a", "/s", b"2")], 1)
        with store.reader() as read:
            assert read.open_count("/a") == 1
        other.close()
        assert store.commit([ops.Accept("/a", "/s", b"2")], 1) == [Accepted(2)]


def test_a_file_that_may_not_grow_takes_nothing_and_goes_on_when_it_may(path: Path) -> None:
    """RLIMIT_FSIZE in a child, for a disk that fails: setrlimit(2) gives EFBIG once SIGXFSZ is ignored."""
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            with SqliteStore(path) as store:
                _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
                taken = _until_refused(store, JournalUnavailable)
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                _goes_on(store, taken)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _until_refused(store: SqliteStore, error: type[Exception]) -> int:
    taken = 0
    try:
        while taken < 10_000:
            store.commit([ops.Accept("/a", "/s", b"x" * 20_000)], 1)
            taken += 1
    except error:
        pass
    else:
        pytest.fail("there was room for 200 MB")
    with pytest.raises(error):
        store.commit([ops.Accept("/a", "/s", b"x" * 2_000_000)], 1)
    return taken


def _goes_on(store: SqliteStore, taken: int) -> None:
    assert store.commit([ops.Accept("/a", "/s", b"x" * 2_000_000)], 1) == [Accepted(taken + 1)]
    with store.reader() as read:
        assert read.open_count("/a") == taken + 1
    assert store.check() == ()


@pytest.mark.root
@pytest.mark.parametrize("what", ["full", "read_only"])
def test_a_file_system_that_is(tmp_path: Path, what: str) -> None:
    """A tmpfs in a mount namespace of its own: really full, really read-only."""
    script = f"mount -t tmpfs -o size=2m none {tmp_path} && exec {sys.executable} -m {__name__} {what} {tmp_path}"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=env, timeout=60, capture_output=True, text=True, check=False
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"mount namespaces are refused here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "as promised\n"


def _full(folder: Path) -> None:
    filler = folder / "filler"
    filler.write_bytes(b"x" * 1_000_000)
    with SqliteStore(folder / "journal") as store:
        taken = _until_refused(store, JournalFull)
        assert taken
        with store.reader() as read:
            assert read.open_count("/a") == taken
        filler.unlink()
        # There is room for what was refused, but not for all of it: a smaller one goes.
        assert store.commit([ops.Accept("/a", "/s", b"x" * 20_000)], 1) == [Accepted(taken + 1)]
        assert store.check() == ()


def _read_only(folder: Path) -> None:
    path = folder / "journal"
    filled(path, 5)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    with pytest.raises(JournalUnavailable):
        SqliteStore(path)
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    with SqliteStore(path) as store:
        store.commit([ops.Accept("/a", "/s", b"")], 1)


# ---- it is not what was written


def test_damage_is_told_and_not_overwritten(path: Path) -> None:
    filled(path)
    _scribble(path)
    before = path.read_bytes()
    store = SqliteStore(path)
    problems = store.check()
    assert problems
    with pytest.raises(JournalDamaged, match="nothing was overwritten"), store.reader() as read:
        list(read.export())
    with pytest.raises(JournalDamaged, match="nothing was overwritten"):
        store.commit([ops.RemoveSession("/a")], 1)
    with pytest.raises(JournalDamaged):
        store.commit([ops.Accept("/new", "/s", b"")], 1)
    store.close()
    after = path.read_bytes()
    assert all(after[at : at + PAGE] == before[at : at + PAGE] for at in range(PAGE * FIRST, PAGE * LAST, PAGE))


def test_damage_in_the_schema_is_told_when_it_is_opened(path: Path) -> None:
    filled(path, 100)
    _scribble(path, 1, FIRST)
    before = digests(path)
    for opens in (SqliteStore, SqliteReader):
        with pytest.raises(JournalDamaged, match="nothing was overwritten"):
            opens(path)
    assert digests(path) == before


def _scribble(path: Path, first: int = FIRST, last: int = LAST) -> None:
    noise = random.Random(SEED).randbytes(PAGE)
    with open(path, "r+b") as file:
        for page in range(first, last):
            file.seek(PAGE * page)
            file.write(noise)


def test_a_state_whose_bytes_changed_is_told_and_its_checkpoint_still_reads(path: Path) -> None:
    filled(path, 3)
    raw = sqlite3.connect(path)
    raw.execute("UPDATE sessions SET state = x'00' WHERE path = '/a'")
    raw.commit()
    raw.close()
    with SqliteStore(path) as store, store.reader() as read:
        with pytest.raises(JournalDamaged, match="the state of /a is not what was written"):
            read.state("/a")
        assert store.check() == (
            f"cannot read the journal {path}: the state of /a is not what was written; its other checkpoints may be",
        )
        store.commit([ops.RollBack("/a", "c")], 1)
        state = read.state("/a")
        assert state is not None and state.state == b"2" * 50
        assert store.check() == ()


def test_an_operation_that_breaks_takes_its_batch_back_and_nothing_else(store: SqliteStore) -> None:
    store.commit([ops.Own("/a", (1, 1)), ops.Accept("/a", "/s", b"1")], 1)
    with pytest.raises(OverflowError):  # beyond 64 bits: SQLite has no such number
        store.commit(
            [ops.Accept("/a", "/s", b"2"), ops.Note(1, 1, 0.0, b""), ops.Accept("/a", "/s", b"", due_ms=1 << 64)], 1
        )
    with store.reader() as read:
        assert read.open_count("/a") == 1 and read.last_number(1) == 0
    assert store.commit([ops.Accept("/a", "/s", b"2"), ops.Note(1, 1, 0.0, b"")], 1)[0] == Accepted(2)


# ---- readers


def test_a_long_look_neither_waits_nor_makes_the_writer_wait(path: Path) -> None:
    filled(path, 300)
    with SqliteStore(path) as store, store.reader() as slow, store.reader() as other:
        lines = slow.export()
        first = next(lines)
        for _ in range(5):
            store.commit([ops.Accept("/late", "/s", b"x")], 1)
        assert other.open_count("/late") == 5
        seen = [first, *lines]
        assert not [one for one in seen if getattr(one, "receiver", "") == "/late"]
        assert slow.open_count("/late") == 5


def test_a_reader_cannot_write(store: SqliteStore, path: Path) -> None:
    raw = opening.reader(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        raw.execute("DELETE FROM mail")
    raw.close()


def test_room_that_was_freed_is_given_back(path: Path) -> None:
    with SqliteStore(path) as store:
        store.commit([ops.Own("/a", (1, 1))], 1)
        for number in range(200):
            store.commit([ops.Append("/b", (Entry("x", b"x" * 20_000),))], number)
        store.commit([ops.EndSession("/b")], 1)
        with store.reader() as read:
            before = read.stats()
        while store.retain(ops.Retention(ended_ms=0), 10_000, limit=10).more:
            pass
        given = 0
        while step := store.vacuum(1_000_000):
            assert step < 1_010_000
            given += step
        with store.reader() as read:
            after = read.stats()
    assert given > 3_000_000
    assert after.file_bytes < before.file_bytes / 4 and after.size_bytes < before.size_bytes / 4


# ---- the statements


def test_every_statement_is_sound_and_finds_its_rows_by_index(path: Path) -> None:
    SqliteStore(path).close()
    raw = sqlite3.connect(path)
    scans = set()
    for name, text in statements.load().items():
        values = [0] * text.count("?") if "?" in text else _Zeros()
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {text}", values)]
        if any(line.startswith("SCAN") and "CONSTANT ROW" not in line and "(subquery-" not in line for line in plan):
            scans.add(name)
        if any("TEMP B-TREE" in line for line in plan):
            scans.add(f"{name} sorts")
    raw.close()
    everything = {name for name in scans if name.startswith("export_")}
    # Periodic messages are few; leases are at most one for each live agent; snapshots are few; a count is a count;
    # records of crashes are at most some thousands.
    assert scans - everything == {
        "cut_snapshot",
        "read_counts",
        "read_crashes",
        "surplus_crashes",
        "heavy_crashes",
        "heavy_crashes sorts",
        "unschedule_all",
        "read_overdue",
        "read_overdue sorts",
        "read_checkpoints sorts",
        "read_intents sorts",
    }


class _Zeros(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return 0


if __name__ == "__main__":
    {"full": _full, "read_only": _read_only}[sys.argv[1]](Path(sys.argv[2]))
    print("as promised")
