"""KILL at any instant, of anybody: every acknowledged message is handled, its effects are true once, in order.

A client sends numbers to ``/a``, which counts them and passes them on to ``/b``, and that to ``/c``. Meanwhile agents,
journal, host and guardian are killed at random. In the end each of the three has counted every number once, in order.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError
from tests.host.running import PATIENCE_S, Running, kill, tree
from tests.waiting import wait_until

POSTERS = Path(__file__).resolve().parent / "posters.py"
ROUTE = ("/a", "/b", "/c")


def relay(name: str, kind: str, **args: Any) -> dict[str, Any]:
    return {
        "name": name,
        "agent": f"{POSTERS}:{kind}",
        "args": args,
        "mail": {"initial": "1ms", "max": "5ms", "attempts": 1_000_000},
        "backoff": {"initial": "1ms", "max": "5ms"},
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


class Rampage:
    """Sends and kills until so many are dead. The seed says whom, and after how many messages."""

    def __init__(self, host: Running, seed: int) -> None:
        self.host, self.chance = host, random.Random(seed)
        self.sent = 0
        self.killed = dict.fromkeys(("a", "b", "c", "journal", "host", "guardian"), 0)

    def run(self, kills: int, weights: tuple[int, ...]) -> None:
        while sum(self.killed.values()) < kills:
            for _ in range(self.chance.randint(1, 12)):
                self.send()
            self.kill(self.chance.choices(list(self.killed), weights)[0])
        self.send()

    def send(self) -> None:
        number = self.sent + 1

        def acknowledged() -> bool:
            self.revive()
            try:
                self.host.client.send("/a", number, 10, key=str(number))
            except AgenthostError:
                self.host.hang_up()
                return False
            return True

        wait_until(acknowledged, PATIENCE_S, f"{number} is acknowledged")
        self.sent = number

    def kill(self, whom: str) -> None:
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

    def account(self, path: str) -> dict[str, Any]:
        """When everything that was sent has come there, or no more comes."""
        found: dict[str, Any] = {}

        def arrived() -> bool:
            self.revive()
            try:
                found.update(self.host.call(path, "account", 10))
            except AgenthostError:
                self.host.hang_up()
                return False
            return bool(found.get("last", 0) >= self.sent)

        try:
            wait_until(arrived, PATIENCE_S, f"{path} has had {self.sent}")
        except AssertionError:
            pass  # the faults say what is missing
        return found


def rampage(places: Path, seed: int, kills: int, weights: tuple[int, ...]) -> Rampage:
    print(f"seed {seed}")
    children = (relay("a", "Relay", next="/b"), relay("b", "AsyncRelay", next="/c"), relay("c", "Relay"))
    host = Running(places, tree(*children, intensity=1_000_000, period="1s"))
    try:
        one = Rampage(host.start().wait_ready(), seed)
        one.run(kills, weights)
        accounts = {path: one.account(path) for path in ROUTE}
        assert {path: faults(one.sent, account) for path, account in accounts.items()} == {path: [] for path in ROUTE}
        assert host.ask("letters") == []
        print(f"{one.sent} sent, {one.killed}")
        host.assert_no_bug_of_ours()
        return one
    except BaseException:
        print(f"--- seed {seed}; the host has printed:\n{host.output()[-6000:]}")
        raise
    finally:
        host.end()


def test_kills_of_anybody_lose_double_and_reorder_nothing(places: Path) -> None:
    one = rampage(places, random.randrange(2**32), 12, (4, 4, 4, 6, 1, 1))
    assert one.sent >= 12


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(5))
def test_a_thousand_kills_of_anybody_lose_double_and_reorder_nothing(places: Path, turn: int) -> None:
    one = rampage(places, random.randrange(2**32), 1000, (8, 8, 8, 8, 1, 1))
    assert min(one.killed.values()) > 0, one.killed
