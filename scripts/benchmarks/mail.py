"""Durable mail in a running host beside raw SQLite: sends end to end, a turn with a commit, what it costs to start.

End to end: agents send in turns of ``BURST``, other agents handle each message in a turn with a commit of its own; the
clock stops when the last one is handled. Raw is the group commit of ``journal``: one row in, one row out, in the same
batches, by one process that does nothing else. Alone: ``PYTHONPATH=scripts python -m benchmarks.mail [--quick]``.
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

from agenthost import Agent, Context, Message
from agenthost.client import Client
from benchmarks.figures import Figure, as_text, median

PAIRS, BURST, PATIENCE_S = 8, 250, 120.0
_RAW = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE mail (id INTEGER PRIMARY KEY, receiver TEXT, sender TEXT, status INTEGER, body BLOB);
CREATE TABLE sessions (path TEXT PRIMARY KEY, state BLOB) WITHOUT ROWID;
"""


class Sender(Agent):
    def handle(self, message: Message, ctx: Context) -> None:
        for number in range(message.body["n"]):
            ctx.send(message.body["to"], number)


class Receiver(Agent):
    """Its state is as small as a state can be; ``look`` changes nothing."""

    def handle(self, message: Message, ctx: Context) -> Any:
        if message.body == "look":
            return self.state.get("n", 0)
        self.state["n"] = self.state.get("n", 0) + 1
        return None


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    bursts, rounds, calls = (4, 3, 200) if quick else (20, 5, 2000)
    config = folder / "mail.yaml"
    config.write_text(json.dumps(_config()), encoding="utf-8")
    host = OwnHost(config, folder, {})
    try:
        _wait(host.listens)
        with Client(host.endpoint, patience_s=PATIENCE_S) as client:
            client.request("wait", {"path": "/", "for": "ready", "timeout_s": PATIENCE_S}, PATIENCE_S)
            yield from _figures(client, host, folder, bursts, rounds, calls)
    finally:
        host.stop()


def _figures(client: Client, host: OwnHost, folder: Path, bursts: int, rounds: int, calls: int) -> Iterator[Figure]:
    ours, raw, done = list[float](), list[float](), 0
    with sqlite3.connect(folder / "raw.db", isolation_level=None) as beside:
        beside.executescript(_RAW)
        for _ in range(rounds):
            count = PAIRS * bursts * BURST
            done += bursts * BURST
            began = time.perf_counter()
            for _ in range(bursts):
                for pair in range(PAIRS):
                    body = {"to": f"/to{pair}", "n": BURST}
                    client.send(f"/from{pair}", body, durable=False)
            for pair in range(PAIRS):
                _wait_count(client, f"/to{pair}", done)
            ours.append(count / (time.perf_counter() - began))
            host.try_lines()
            raw.append(_raw(beside, count))
    yield Figure("durable messages a second, sent and handled", "/s", median(ours), median(raw))
    with_commit, without = list[float](), list[float]()
    for _ in range(calls):
        for body, times in ((None, with_commit), ("look", without)):
            began = time.perf_counter()
            client.call("/to0", body, PATIENCE_S)
            times.append((time.perf_counter() - began) * 1e6)
    name = "call whose turn commits its state, beside one that changes nothing"
    yield Figure(name, "us", median(with_commit), median(without))


def _raw(database: sqlite3.Connection, count: int) -> float:
    began = time.perf_counter()
    for first in range(0, count, BURST):
        database.execute("BEGIN IMMEDIATE")
        rows = [("/to", "/from", 0, b"\x01") for _ in range(BURST)]
        database.executemany("INSERT INTO mail (receiver, sender, status, body) VALUES (?, ?, ?, ?)", rows)
        database.execute("COMMIT")
        database.execute("BEGIN IMMEDIATE")
        done = [(number,) for number in range(first + 1, first + BURST + 1)]
        database.executemany("UPDATE mail SET status = 5 WHERE id = ?", done)
        database.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?)", [("/to", b"\x81\xa1n\x01")] * BURST)
        database.execute("COMMIT")
    return count / (time.perf_counter() - began)


def _config() -> dict[str, Any]:
    children = [
        {"name": f"{name}{pair}", "agent": f"{__file__}:{kind}"}
        for pair in range(PAIRS)
        for name, kind in (("from", "Sender"), ("to", "Receiver"))
    ]
    return {"agenthost": 1, "name": "mail", "tree": {"children": children}}


def _wait_count(client: Client, path: str, count: int) -> None:
    _wait(lambda: client.call(path, "look", PATIENCE_S) >= count)


def _wait(is_true: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        if time.monotonic() > deadline:
            raise RuntimeError("the mail has not come in time")
        time.sleep(0.01)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="agenthost-bench-", ignore_cleanup_errors=True) as place:
        print(as_text(list(measure(Path(place), quick="--quick" in sys.argv))))
