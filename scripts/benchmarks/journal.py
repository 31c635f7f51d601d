"""The journal beside raw SQLite: the same rows, in the same batches, to the same disk, by the same Python.

Raw is what a single purpose would need and no more: a table with the index that finds the row, prepared statements,
one transaction for a batch. Rounds alternate. Alone: ``PYTHONPATH=scripts python -m benchmarks.journal [--quick]``.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agenthost.journal import ops
from agenthost.journal.answers import Committed, Leased
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.values import Entry, Mail
from agenthost.journal.writer import Writer
from benchmarks.figures import Figure, as_text, median, p99

BODY, STATE = b"b" * 100, b"s" * 200
AGENTS = 100

_RAW = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = 4000;
CREATE TABLE mail (id INTEGER PRIMARY KEY, receiver TEXT, sender TEXT, status INTEGER, body BLOB);
CREATE INDEX box ON mail (receiver, id) WHERE status = 0;
CREATE TABLE sessions (id INTEGER PRIMARY KEY, path TEXT UNIQUE, seq INTEGER, state BLOB);
CREATE TABLE log (session INTEGER, seq INTEGER, body BLOB, PRIMARY KEY (session, seq)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Size:
    rounds: int
    batches: int
    batch: int
    singles: int
    sessions: int


QUICK = Size(rounds=3, batches=10, batch=500, singles=300, sessions=50_000)
FULL = Size(rounds=7, batches=40, batch=500, singles=1000, sessions=1_000_000)


@dataclass(slots=True)
class _Pair:
    raw: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)


def measure(folder: Path, size: Size) -> Iterator[Figure]:
    raw = sqlite3.connect(folder / "raw", isolation_level=None)
    raw.executescript(_RAW)
    with SqliteStore(folder / "journal") as store:
        yield from _sends(raw, store, size)
        yield from _turns(raw, store, size)
    raw.close()
    yield from _crowd(folder, size)


# ---- sends


def _sends(raw: sqlite3.Connection, store: SqliteStore, size: Size) -> Iterator[Figure]:
    many, one = _Pair(), _Pair()
    for _ in range(size.rounds):
        many.raw.append(_rate(size.batches * size.batch, lambda: _send_raw(raw, size.batches, size.batch)))
        many.ours.append(_rate(size.batches * size.batch, lambda: _send(store, size.batches, size.batch)))
        one.raw.append(1e6 / _rate(size.singles, lambda: _send_raw(raw, size.singles, 1)))
        one.ours.append(1e6 / _rate(size.singles, lambda: _send(store, size.singles, 1)))
    name = f"durable sends a second, {size.batch} in a commit"
    yield Figure(name, "/s", median(many.ours), median(many.raw))
    yield Figure("durable send, a commit of its own", "us", median(one.ours), median(one.raw))


def _send(store: SqliteStore, batches: int, batch: int) -> None:
    writer = Writer(store)
    for _ in range(batches):
        for n in range(batch):
            writer.submit(n, (ops.Accept(f"/sink/{n % AGENTS}", "/sender", BODY),), 1)
        writer.try_commit(1)


def _send_raw(raw: sqlite3.Connection, batches: int, batch: int) -> None:
    for _ in range(batches):
        raw.execute("BEGIN IMMEDIATE")
        for n in range(batch):
            row = (f"/sink/{n % AGENTS}", "/sender", BODY)
            raw.execute("INSERT INTO mail (receiver, sender, status, body) VALUES (?, ?, 0, ?)", row)
        raw.execute("COMMIT")


# ---- turns


def _turns(raw: sqlite3.Connection, store: SqliteStore, size: Size) -> Iterator[Figure]:
    each = max(2, size.batches * size.batch // AGENTS // 5)
    many, one, tail = _Pair(), _Pair(), _Pair()
    for number in range(size.rounds):
        _fill_raw(raw, AGENTS, each)
        many.raw.append(_rate(AGENTS * each, lambda: _turns_raw(raw, AGENTS, each)))
        held = _fill(store, number, AGENTS, each)
        many.ours.append(_rate(AGENTS * each, lambda held=held: _turns_ours(store, held)))  # type: ignore[misc]
        _fill_raw(raw, 1, size.singles)
        taken = [_turn_raw_us(raw) for _ in range(size.singles)]
        one.raw.append(median(taken))
        tail.raw.append(p99(taken))
        taken = _turns_one_by_one_us(store, _fill(store, number + size.rounds, 1, size.singles))
        one.ours.append(median(taken))
        tail.ours.append(p99(taken))
    name = f"turns a second, {AGENTS} in a commit: acknowledge, state, log entry, next message"
    yield Figure(name, "/s", median(many.ours), median(many.raw))
    yield Figure("a turn, a commit of its own, p50", "us", median(one.ours), median(one.raw))
    yield Figure("a turn, a commit of its own, p99", "us", median(tail.ours), median(tail.raw))


def _fill(store: SqliteStore, boot: int, agents: int, each: int) -> list[Mail]:
    paths = [f"/agent/{n}" for n in range(agents)]
    store.commit([ops.Own(path, (boot, 1)) for path in paths], 1)
    for _ in range(each):
        store.commit([ops.Accept(path, "/sender", BODY) for path in paths], 1)
    answers = store.commit([ops.Lease(path, (boot, 1), 1) for path in paths], 1)
    return [answer.mail for answer in answers if isinstance(answer, Leased)]


def _turn(mail: Mail) -> ops.CommitTurn:
    owner = mail.incarnation or (0, 0)
    entries = (Entry("said", BODY),)
    return ops.CommitTurn(mail.receiver, owner, mail.id, mail.attempt, STATE, entries=entries, lease_until_ms=1)


def _turns_ours(store: SqliteStore, held: list[Mail]) -> None:
    while held:
        answers = store.commit([_turn(mail) for mail in held], 1)
        held = [one.next.mail for one in answers if isinstance(one, Committed) and isinstance(one.next, Leased)]


def _turns_one_by_one_us(store: SqliteStore, held: list[Mail]) -> list[float]:
    taken = []
    while held:
        began = time.perf_counter()
        answers = store.commit([_turn(held[0])], 1)
        taken.append((time.perf_counter() - began) * 1e6)
        held = [one.next.mail for one in answers if isinstance(one, Committed) and isinstance(one.next, Leased)]
    return taken


def _fill_raw(raw: sqlite3.Connection, agents: int, each: int) -> None:
    raw.execute("BEGIN IMMEDIATE")
    for n in range(agents):
        raw.execute("INSERT OR IGNORE INTO sessions (path, seq) VALUES (?, 0)", (f"/agent/{n}",))
        for _ in range(each):
            row = (f"/agent/{n}", "/sender", BODY)
            raw.execute("INSERT INTO mail (receiver, sender, status, body) VALUES (?, ?, 0, ?)", row)
    raw.execute("COMMIT")


def _turns_raw(raw: sqlite3.Connection, agents: int, each: int) -> None:
    for _ in range(each):
        raw.execute("BEGIN IMMEDIATE")
        for n in range(agents):
            _one_raw(raw, f"/agent/{n}")
        raw.execute("COMMIT")


def _one_raw(raw: sqlite3.Connection, path: str) -> None:
    """The next message, its acknowledgement, the state, a log entry: as few statements as can do it."""
    find = "SELECT id, body FROM mail WHERE receiver = ? AND status = 0 ORDER BY id LIMIT 1"
    (number, _) = raw.execute(find, (path,)).fetchone()
    raw.execute("UPDATE mail SET status = 5 WHERE id = ?", (number,))
    (session, seq) = raw.execute("SELECT id, seq FROM sessions WHERE path = ?", (path,)).fetchone()
    raw.execute("UPDATE sessions SET seq = seq + 1, state = ? WHERE id = ?", (STATE, session))
    raw.execute("INSERT INTO log VALUES (?, ?, ?)", (session, seq + 1, BODY))


def _turn_raw_us(raw: sqlite3.Connection) -> float:
    began = time.perf_counter()
    raw.execute("BEGIN IMMEDIATE")
    _one_raw(raw, "/agent/0")
    raw.execute("COMMIT")
    return (time.perf_counter() - began) * 1e6


# ---- a crowd of sleeping sessions


def _crowd(folder: Path, size: Size) -> Iterator[Figure]:
    with SqliteStore(folder / "crowd") as store:
        with store.reader() as read:
            empty = read.stats().size_bytes
        began = time.perf_counter()
        for first in range(0, size.sessions, 1000):
            paths = [f"/chats/user{n:07}" for n in range(first, min(first + 1000, size.sessions))]
            batch: list[ops.Op] = [ops.Own(path, (1, 1)) for path in paths]
            batch += (ops.CommitTurn(path, (1, 1), state=STATE, entries=(Entry("said", BODY),)) for path in paths)
            store.commit(batch, 1)
        taken_s = time.perf_counter() - began
        with store.reader() as read:
            stats = read.stats()
            pages, looks = [], []
            for n in range(0, size.sessions, max(1, size.sessions // 50)):
                began = time.perf_counter()
                assert read.sessions("/chats/", f"/chats/user{n:07}", 100)
                pages.append((time.perf_counter() - began) * 1e3)
                began = time.perf_counter()
                assert read.state(f"/chats/user{n:07}") and read.log(f"/chats/user{n:07}").entries
                looks.append((time.perf_counter() - began) * 1e3)
            began = time.perf_counter()
            read.stats()
            counted_ms = (time.perf_counter() - began) * 1e3
    assert stats.sessions == size.sessions
    yield Figure(f"sessions created a second, of {size.sessions:,}", "/s", size.sessions / taken_s)
    authors = len(STATE) + len(BODY)
    per_session = (stats.size_bytes - empty) / size.sessions
    yield Figure("bytes on disk of a session (raw: what its author wrote)", "B", per_session, authors)
    yield Figure(f"list 100 sessions of {size.sessions:,}, p50", "ms", median(pages))
    yield Figure(f"list 100 sessions of {size.sessions:,}, slowest", "ms", max(pages))
    yield Figure("state and log of one of them, p50", "ms", median(looks))
    yield Figure("count them", "ms", counted_ms)


def _rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agenthost-bench-") as folder:
        print(as_text(list(measure(Path(folder), QUICK if "--quick" in sys.argv else FULL))))


if __name__ == "__main__":
    main()
