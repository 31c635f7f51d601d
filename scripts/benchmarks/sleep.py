"""Sleep in a running host: a call to one that sleeps, wakes a second, and what many sleeping sessions cost.

The sessions are written into the journal before the host begins, so each call to a member wakes one that slept, with a
state that it reads and changes. Raw is a bare zygote's fork until its child's hello over ZeroMQ, and one state read
from SQLite and written back. Alone: ``PYTHONPATH=scripts python -m benchmarks.sleep [--quick]``.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from own_host import OwnHost

from agenthost.client import Client
from agenthost.journal import ops
from agenthost.journal.sqlite.store import SqliteStore
from benchmarks.figures import Figure, as_text, median
from benchmarks.proc import memory_kb
from benchmarks.raw import RawZygote, weight_of

PATIENCE_S, LIVE, AT_ONCE, BATCH = 120.0, 100, 50, 1000
AGENTS = Path(__file__).with_name("sleepy_agents.py")
"""Beside this file: what that imports would be copied at each fork."""
_STATE = b"\x82\xa1n\x00\xa4text\xda\x01\xf0" + b"x" * 496
"""{"n": 0, "text": 496 bytes}."""


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    sessions, singles, rounds = (20_000, 40, 3) if quick else (1_000_000, 200, 5)
    config = folder / "sleep.yaml"
    config.write_text(json.dumps(_config()), encoding="utf-8")
    database = folder / "state" / "sleep" / "journal.db"
    yield from _filled(database, sessions)
    host = OwnHost(config, folder, {})
    try:
        _wait(host.listens)
        with Client(host.endpoint, patience_s=PATIENCE_S) as client:
            client.request("wait", {"path": "/", "for": "ready", "timeout_s": PATIENCE_S}, PATIENCE_S)
            yield from _looked_at(client, sessions)
            yield from _woken(client, host, folder, singles, rounds)
    finally:
        host.stop()


def _filled(database: Path, sessions: int) -> Iterator[Figure]:
    """By the store itself, in batches as the writer makes them."""
    database.parent.mkdir(parents=True)
    began = time.perf_counter()
    with SqliteStore(database) as store:
        for first in range(0, sessions, BATCH):
            batch: list[ops.Op] = []
            for number in range(first, min(first + BATCH, sessions)):
                path = _path(number)
                batch += [ops.Own(path, (0, number + 1)), ops.CommitTurn(path, (0, number + 1), 0, 0, _STATE, 0, ())]
            store.commit(batch, 1000)
    taken_s = time.perf_counter() - began
    yield Figure(f"sessions created a second, of {sessions:,} with 512 B of state", "/s", sessions / taken_s)
    yield Figure("bytes of database for each", "B", database.stat().st_size / sessions)


def _looked_at(client: Client, sessions: int) -> Iterator[Figure]:
    pids = {one["what"]: one["pid"] for one in client.request("ps")}
    began = time.perf_counter()
    _wait(lambda: _asleep(client) is not None)
    counted_ms = (time.perf_counter() - began) * 1e3
    times = list[float]()
    for _ in range(20):
        began = time.perf_counter()
        asleep = _asleep(client)
        times.append((time.perf_counter() - began) * 1e3)
        if asleep != sessions:
            raise RuntimeError(f"cannot measure: {asleep} sessions sleep, not {sessions}")
    yield Figure(f"status with {sessions:,} that sleep, p50", "ms", median(times))
    yield Figure("until status tells how many, the first time: all are counted", "ms", counted_ms)
    began = time.perf_counter()
    client.request("sessions", {"prefix": "/chats", "after": _path(sessions // 2), "limit": 1000})
    yield Figure("1,000 sessions listed, from the middle", "ms", (time.perf_counter() - began) * 1e3)
    yield Figure("memory of the host's process with them (PSS)", "MB", memory_kb(pids["host"], "Pss") / 1024)


def _asleep(client: Client) -> int | None:
    (pool,) = [row for row in client.request("status")["tree"] if row["path"] == "/chats"]
    asleep: int | None = pool["asleep"]
    return asleep


def _woken(client: Client, host: OwnHost, folder: Path, singles: int, rounds: int) -> Iterator[Figure]:
    number = 0
    client.call(_path(number), None, PATIENCE_S)
    pid = client.request("status", {"paths": [_path(0)]})["tree"][0]["pid"]
    ours, raw, fast, raw_fast = list[float](), list[float](), list[float](), list[float]()
    with RawZygote(folder, "sync", weight_of(pid)) as zygote, sqlite3.connect(folder / "raw-sleep.db") as beside:
        beside.isolation_level = None
        beside.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE sessions (path TEXT PRIMARY KEY, s BLOB)"
        )
        for _ in range(rounds):
            for _ in range(singles):
                number += 1
                began = time.perf_counter()
                client.call(_path(number), None, PATIENCE_S)
                ours.append((time.perf_counter() - began) * 1e3)
                time.sleep(0.02)  # one at a time: whoever makes room for it has ended
            host.try_lines()
            for nth in range(singles):
                raw.append(zygote.start_one() * 1e3 + _read_and_saved(beside, nth) * 1e3)
            zygote.kill_all()
            paths = [_path(number + nth) for nth in range(1, AT_ONCE + 1)]
            number += AT_ONCE
            time.sleep(0.5)  # all that are live are idle
            began = time.perf_counter()
            client.call("/waker", paths, PATIENCE_S)
            fast.append(AT_ONCE / (time.perf_counter() - began))
            began = time.perf_counter()
            zygote.start_many(AT_ONCE)
            raw_fast.append(AT_ONCE / (time.perf_counter() - began))
            zygote.kill_all()
    yield Figure("call to one that sleeps, p50", "ms", median(ours), median(raw), at_most=1.5)
    yield Figure(
        f"wakes a second, {AT_ONCE} wanted at once, as many falling asleep", "/s", median(fast), median(raw_fast)
    )


def _read_and_saved(database: sqlite3.Connection, nth: int) -> float:
    path = _path(nth)
    database.execute("INSERT OR IGNORE INTO sessions VALUES (?, ?)", (path, _STATE))
    began = time.perf_counter()
    database.execute("SELECT s FROM sessions WHERE path = ?", (path,)).fetchone()
    database.execute("UPDATE sessions SET s = ? WHERE path = ?", (_STATE, path))
    return time.perf_counter() - began


def _path(number: int) -> str:
    return f"/chats/m{number:07}"


def _config() -> dict[str, Any]:
    chats = {"name": "chats", "live": LIVE, "pool": {"agent": f"{AGENTS}:Chat"}}
    waker = {"name": "waker", "agent": f"{AGENTS}:Waker"}
    return {"agenthost": 1, "name": "sleep", "tree": {"children": [chats, waker]}}


def _wait(is_true: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        if time.monotonic() > deadline:
            raise RuntimeError("the host has not come up in time")
        time.sleep(0.01)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="agenthost-bench-", ignore_cleanup_errors=True) as place:
        print(as_text(list(measure(Path(place), quick="--quick" in sys.argv))))
