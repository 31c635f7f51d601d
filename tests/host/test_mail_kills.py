"""KILL at any instant, of anybody: every acknowledged message is handled, its effects are true once, in order.

A sender sends numbers to ``/a``, which counts them and passes them on to ``/b``, and that to ``/c``; ``/a`` also sends
each to ``/d``, a moment later, with a reminder that the next one cancels. ``/a`` and ``/b`` tell what they do in their
sessions, which a reader follows. ``/d`` gets a periodic message. Meanwhile all are killed at random: agents, journal,
host, guardian, sender, reader. In the end everybody has counted every number once, the logs tell each once, and the
reader has seen the bytes that are stored.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError
from agenthost.journal.sqlite.reading import SqliteReader
from agenthost.journal.values import Mail
from agenthost.protocol.codec import unpack_body
from tests.host.running import PATIENCE_S, ROOT, Running, kill, tree
from tests.waiting import wait_until

RAMPANT = Path(__file__).resolve().parent / "rampant.py"
BYSTANDERS = Path(__file__).resolve().parent / "bystanders.py"
ROUTE = ("/a", "/b", "/c")
TICK = {"tick": {"when": "* * * * * *", "zone": "UTC", "body": "tick"}}


def link(name: str, kind: str, args: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {
        "name": name,
        "agent": f"{RAMPANT}:{kind}",
        "args": args,
        "mail": {"initial": "1ms", "max": "5ms", "attempts": 1_000_000},
        "backoff": {"initial": "1ms", "max": "5ms"},
        **keys,
    }


def faults(sent: int, account: dict[str, Any]) -> list[str]:
    """What one of the route has not counted as it should."""
    found = [f"{number} came after {last}" for last, number in account.get("wrong", [])]
    if account.get("count", 0) != sent:
        found.append(f"{account.get('count', 0)} were counted, {sent} were sent")
    return found


@pytest.mark.parametrize(
    ("account", "fault"),
    [
        ({"count": 5, "last": 5}, ""),
        ({"count": 4, "last": 5, "wrong": [[2, 4]]}, "4 came after 2"),
        ({"count": 6, "last": 5, "wrong": [[3, 3]]}, "3 came after 3"),
        ({"count": 5, "last": 5, "wrong": [[1, 3], [3, 2], [2, 4]]}, "2 came after 3"),
        ({"count": 4, "last": 4}, "4 were counted"),
    ],
    ids=["none", "lost", "doubled", "reordered", "the last one lost"],
)
def test_the_checker_sees(account: dict[str, Any], fault: str) -> None:
    assert fault in "; ".join(faults(5, account)) and bool(fault) == bool(faults(5, account))


def faults_of_latecomer(sent: int, account: dict[str, Any]) -> list[str]:
    found = [f"{number} came early" for number in account.get("early", [])]
    sums = sent, sent * (sent + 1) // 2, sent * (sent + 1) * (2 * sent + 1) // 6
    if (account.get("count", 0), account.get("sum", 0), account.get("squares", 0)) != sums:
        found.append(f"of {sent} sent for later came {account}")
    return found


@pytest.mark.parametrize(
    ("numbers", "is_wrong"),
    [([1, 2, 3, 4], False), ([4, 1, 3, 2], False), ([1, 2, 3], True), ([1, 2, 3, 4, 4], True), ([1, 1, 4, 4], True)],
)
def test_the_checker_sees_what_is_sent_for_later(numbers: list[int], is_wrong: bool) -> None:
    account = {"count": len(numbers), "sum": sum(numbers), "squares": sum(one * one for one in numbers)}
    assert bool(faults_of_latecomer(4, account)) == is_wrong
    assert faults_of_latecomer(4, {**account, "early": [3]}) != []


Line = list[Any]
"""seq, type, fields, whether it is broken, and of a reader whether what it saw grow is that."""


def faults_of_log(sent: int, log: list[Line]) -> list[str]:
    """Each number is told once, in order; what was cut off is marked as such."""
    whole = [line for line in log if not line[3]]
    counted = [line[2]["number"] for line in whole if line[1] == "counted"]
    said = [line[2]["text"] for line in whole if line[1] == "said"]
    found = []
    if [line[0] for line in log] != list(range(1, len(log) + 1)):
        found.append("the log is not numbered from 1 without gaps")
    if counted != list(range(1, sent + 1)):
        found.append(f"{len(counted)} are told as counted, {sent} were sent")
    if said != [f"number {number}" for number in range(1, sent + 1)]:
        found.append(f"{len(said)} were said, {sent} were sent")
    return found


def faults_of_reader(log: list[Line], read: list[Line]) -> list[str]:
    found = [f"entry {line[0]} is not what was seen to grow" for line in read if not line[4]]
    if [line[:4] for line in read] != [line[:4] for line in log]:
        found.append(f"the reader has {len(read)} entries up to {read[-1:]}, the log {len(log)} up to {log[-1:]}")
    return found


def entries(*numbers: int) -> list[Line]:
    lines = [[kind, fields] for n in numbers for kind, fields in _of(n)]
    return [[seq, kind, fields, False, True] for seq, (kind, fields) in enumerate(lines, 1)]


def _of(number: int) -> list[tuple[str, dict[str, Any]]]:
    return [("counted", {"number": number}), ("said", {"text": f"number {number}"})]


def test_the_checker_sees_what_is_wrong_with_a_log_and_its_reader() -> None:
    good = entries(1, 2, 3)
    assert faults_of_log(3, good) == [] and faults_of_reader(good, good) == []
    for bad in (entries(1, 2), entries(1, 3, 2), entries(1, 2, 2, 3), good[:-1], good[1:]):
        assert faults_of_log(3, bad) != []
        assert faults_of_reader(good, bad) != []
    grown = [*good[:-1], [*good[-1][:4], False]]
    assert faults_of_reader(good, grown) != []


class Bystander:
    """A process outside of the host, started anew after each of its deaths where the last one has left off."""

    def __init__(self, host: Running, what: str, path: str) -> None:
        self._host, self._what, self._path = host, what, path
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self.lines: list[Any] = []

    @property
    def next(self) -> int:
        """From where it goes on: what was printed last was acknowledged, or seen."""
        if not self.lines:
            return 1 if self._what == "sender" else 0
        return int(self.lines[-1] + 1 if self._what == "sender" else self.lines[-1][0])

    def hear(self) -> list[Any]:
        """All lines so far."""
        if self._process is None or self._process.poll() is not None:
            self._drain()
            command = [sys.executable, str(BYSTANDERS), self._what, self._host.endpoint, self._path, str(self.next)]
            environment = {**self._host.environment, "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)
        self._drain()
        return self.lines

    def _drain(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while data := self._process.stdout.read(1 << 20):
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.lines += [json.loads(line) for line in lines]

    def kill(self) -> bool:
        """What it has printed before counts."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait()
        self._drain()
        assert not self._rest, "a line is written whole or not at all"
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return True


class Rampage:
    """Kills until so many are dead. The seed says whom, and after how many messages."""

    def __init__(self, host: Running, seed: int) -> None:
        self.host, self.chance = host, random.Random(seed)
        self.sender, self.reader = Bystander(host, "sender", "/a"), Bystander(host, "reader", "/b")
        self.killed = dict.fromkeys(("a", "b", "c", "d", "journal", "host", "guardian", "sender", "reader"), 0)

    def run(self, kills: int, weights: tuple[int, ...]) -> None:
        while sum(self.killed.values()) < kills:
            before, more = len(self.sender.lines), self.chance.randint(1, 12)

            def has_sent() -> bool:
                self.revive()
                self.reader.hear()
                return len(self.sender.hear()) >= before + more  # noqa: B023 - called in here

            wait_until(has_sent, PATIENCE_S, f"{before + more} are acknowledged")
            self.kill(self.chance.choices(list(self.killed), weights)[0])
        self.sender.kill()

    @property
    def sent(self) -> int:
        """The last one may have been sent, and its acknowledgement lost with the sender."""
        return len(self.sender.lines)

    def kill(self, whom: str) -> None:
        if whom in ("sender", "reader"):
            self.killed[whom] += (self.sender if whom == "sender" else self.reader).kill()
            return
        try:
            pids = self.pids(whom)
        except AgenthostError:
            self.host.hang_up()
            return
        if not pids:
            return
        kill(pids[0])
        self.killed[whom] += 1
        if whom == "guardian":
            self.host.wait_end()

    def revive(self) -> None:
        """A guardian that was killed, or that has given up: it bears five dead hosts a minute, and we kill more."""
        assert self.host.process is not None
        if self.host.process.poll() is not None:
            self.host.hang_up()
            self.host.start()

    def pids(self, whom: str) -> list[int]:
        if whom == "guardian":
            return [self.host.guardian_pid]
        if whom in ("journal", "host"):
            return self.host.own_pids(whom)
        row = self.host.row(f"/{whom}")
        # one that cannot start at all ends the tree (S2), and that is not what is tried here
        return [row["pid"]] if row["pid"] and row["state"] == "ready" else []

    def finish(self) -> None:
        """One more is sent by somebody who lives; then all that was sent is acknowledged."""
        number = self.sent + 1

        def is_acknowledged() -> bool:
            self.revive()
            try:
                self.host.client.send("/a", number, 10, key=str(number))
            except AgenthostError:
                self.host.hang_up()
                return False
            return True

        wait_until(is_acknowledged, PATIENCE_S, f"{number} is acknowledged")
        self.sender.lines.append(number)

    def account(self, path: str) -> dict[str, Any]:
        """When everything that was sent has come there, or no more comes."""
        found: dict[str, Any] = {}

        def arrived() -> bool:
            self.revive()
            self.reader.hear()
            try:
                found.update(self.host.call(path, "account", 10))
            except AgenthostError:
                self.host.hang_up()
                return False
            return bool(found.get("last" if path != "/d" else "count", 0) >= self.sent)

        try:
            wait_until(arrived, PATIENCE_S, f"{path} has had {self.sent}")
        except AssertionError:
            pass  # the faults say what is missing
        return found

    def faults(self) -> dict[str, list[str]]:
        found = {path: faults(self.sent, self.account(path)) for path in ROUTE}
        found["/d"] = faults_of_latecomer(self.sent, self.account("/d"))
        with SqliteReader(self.host.places.journal) as store:
            logs = {path: stored(store, path) for path in ("/a", "/b")}
            for path, log in logs.items():
                found[f"log of {path}"] = faults_of_log(self.sent, log)
            wait_until(
                lambda: len(self.reader.hear()) >= len(logs["/b"]) or self.revive(),
                PATIENCE_S,
                "the reader has caught up",
            )
            found["reader of /b"] = faults_of_reader(logs["/b"], self.reader.lines)
            ticks = [one for one in store.export() if isinstance(one, Mail) and one.sender == "config"]
            reminders = [one.key for one in store.delayed()]
        self.ticks = len(ticks)
        found["reminders"] = [] if reminders == [f"=reminder {self.sent}"] else reminders
        return found


def stored(store: SqliteReader, path: str) -> list[Line]:
    log: list[Line] = []
    while page := store.log(path, len(log), 1000).entries:
        log += [[one.seq, one.type, unpack_body(one.body), one.broken] for one in page]
    return log


def rampage(places: Path, seed: int, kills: int, weights: tuple[int, ...]) -> Rampage:
    print(f"seed {seed}")
    children = (
        link("a", "Link", {"next": "/b", "later": "/d"}),
        link("b", "AsyncLink", {"next": "/c"}),
        link("c", "Link", {}),
        link("d", "Latecomer", {}, cron=TICK),
    )
    host = Running(places, tree(*children, intensity=1_000_000, period="1s"))
    one = Rampage(host, seed)
    try:
        host.start().wait_ready()
        one.run(kills, weights)
        one.finish()
        found = one.faults()
        assert {where: wrong for where, wrong in found.items() if wrong} == {}
        assert host.ask("letters") == []
        print(f"{one.sent} sent, {one.ticks} ticks, {one.killed}")
        host.assert_no_bug_of_ours()
        return one
    except BaseException:
        print(f"--- seed {seed}; the host has printed:\n{host.output()[-6000:]}")
        raise
    finally:
        one.sender.kill()
        one.reader.kill()
        host.end()


def test_kills_of_anybody_lose_double_and_reorder_nothing(places: Path) -> None:
    one = rampage(places, random.randrange(2**32), 24, (4, 4, 4, 4, 6, 1, 1, 2, 2))
    assert one.sent >= 24 and one.ticks


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("turn", range(5))
def test_a_thousand_kills_of_anybody_lose_double_and_reorder_nothing(places: Path, turn: int) -> None:
    one = rampage(places, random.randrange(2**32), 1000, (8, 8, 8, 8, 8, 1, 1, 4, 4))
    assert min(one.killed.values()) > 0, one.killed
