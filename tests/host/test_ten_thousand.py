"""Ten thousand messages, while agents, the journal and the host are killed: each is answered once, or set aside.

Customers send numbers to clerks, each of whom answers by a message to one book. Some numbers fail for a while, some
always, by an error, a crash or a kill of the clerk; a ladder says what is done. In the end each number that was sent is
in the book once, or is a dead letter; nothing is open, and nobody was answered twice.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from agenthost.client.client import Client
from agenthost.errors import AgenthostError
from agenthost.journal.sqlite.reading import SqliteReader
from agenthost.journal.values import Failure, Mail
from agenthost.protocol.codec import unpack_body
from tests.host import clerks
from tests.host.running import PATIENCE_S, Running, kill, tree
from tests.waiting import wait_until

CLERKS = ("/c0", "/c1", "/c2", "/c3")
RECOVERY = [{"retry": {"times": 4, "initial": "1ms", "max": "5ms"}}, {"vary": {"seed": "random"}}, "dead_letter"]


def clerk(name: str, kind: str, **keys: Any) -> dict[str, Any]:
    return {
        "name": name,
        "agent": f"{clerks.__file__}:{kind}",
        "backoff": {"initial": "1ms", "max": "5ms"},
        **keys,
    }


def faults(sent: int, answered: set[int], twice: list[int], mail: dict[int, list[str]], dead: set[int]) -> list[str]:
    """``mail``: of each number, what became of the messages that bore it."""
    wanted = set(range(1, sent + 1))
    found = [f"{number} was answered twice" for number in twice]
    found += [f"{number} has vanished" for number in sorted(wanted - answered - dead)]
    found += [f"{number} was answered and set aside" for number in sorted(answered & dead)]
    found += [f"{number} was never sent" for number in sorted((answered | dead) - wanted)]
    found += [f"{number} cannot be answered, and was" for number in sorted(answered) if clerks.is_poison(number)]
    for number in sorted(wanted):
        if mail.get(number) != ["dead" if number in dead else "done"]:
            found.append(f"{number} is {mail.get(number, 'nowhere')} in the journal")
    return found


def test_the_checker_sees() -> None:
    mail = {1: ["done"], 2: ["done"], 3: ["dead"]}
    assert faults(3, {1, 2}, [], mail, {3}) == []
    assert faults(3, {1, 2}, [2], mail, {3}) == ["2 was answered twice"]
    assert "2 has vanished" in faults(3, {1}, [], mail, {3})
    assert "3 was answered and set aside" in faults(3, {1, 2, 3}, [], mail, {3})
    assert "4 was never sent" in faults(3, {1, 2, 4}, [], mail, {3})
    assert faults(3, {1, 2}, [], {**mail, 2: ["waiting"]}, {3}) == ["2 is ['waiting'] in the journal"]
    assert faults(3, {1, 2}, [], {**mail, 2: ["done", "done"]}, {3}) == ["2 is ['done', 'done'] in the journal"]
    poison = clerks.POISON_RAISES
    everybody = set(range(1, poison + 1))
    assert faults(poison, everybody, [], {n: ["done"] for n in everybody}, set()) == [
        f"{poison} cannot be answered, and was"
    ]


class Customers:
    """One thread for each clerk. They send what they may, each number until it is acknowledged, however often its host
    is killed meanwhile."""

    def __init__(self, host: Running, most: int) -> None:
        self._host, self._most = host, most
        self._may, self._acknowledged = 0, [0] * len(CLERKS)
        self._changed = threading.Condition()
        self._over = False
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(len(CLERKS))]
        for thread in self._threads:
            thread.start()

    def let(self, number: int) -> None:
        """They may send up to this one."""
        with self._changed:
            self._may = min(number, self._most)
            self._changed.notify_all()

    @property
    def acknowledged(self) -> int:
        return sum(self._acknowledged)

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _send(self, which: int) -> None:
        client: Client | None = None
        for number in range(1 + which, self._most + 1, len(CLERKS)):
            with self._changed:
                self._changed.wait_for(lambda: self._over or number <= self._may)  # noqa: B023 - called in here
            done = False
            while not done and not self._over:
                try:
                    client = client or Client(self._host.endpoint, patience_s=5)
                    client.send(CLERKS[which], number, 10, key=str(number))
                    done = True
                except AgenthostError:  # the host, or the journal, is gone for a moment: the same number again
                    if client is not None:
                        client.close()
                    client = None
            self._acknowledged[which] += done
        if client is not None:
            client.close()


class Siege:
    """Kills so many times, evenly over the messages. The seed says whom."""

    def __init__(self, host: Running, seed: int) -> None:
        self.host, self.chance = host, random.Random(seed)
        self.killed = dict.fromkeys(("clerk", "book", "journal", "host"), 0)
        self.dead: set[int] = set()
        self.struck = 0
        """Attempts at good messages that a kill of ours has cut off."""

    def run(self, messages: int, kills: int, weights: tuple[int, ...]) -> None:
        customers = Customers(self.host, messages)
        try:
            while (done := sum(self.killed.values())) < kills:
                customers.let((done + 1) * messages // kills)
                self.wait_acknowledged(customers, done * messages // kills)
                self.kill(self.chance.choices(list(self.killed), weights)[0])
            customers.let(messages)
            self.wait_acknowledged(customers, messages)
        finally:
            customers.end()

    def wait_acknowledged(self, customers: Customers, count: int) -> None:
        wait_until(lambda: self.revive() or customers.acknowledged >= count, PATIENCE_S, f"{count} are acknowledged")

    def kill(self, whom: str) -> None:
        try:
            pids = self.pids(whom)
        except AgenthostError:
            self.host.hang_up()
            return
        if pids:
            kill(pids[0])
            self.killed[whom] += 1
            if whom == "host":
                self.host.hang_up()

    def pids(self, whom: str) -> list[int]:
        if whom in ("journal", "host"):
            return self.host.own_pids(whom)
        row = self.host.row("/book" if whom == "book" else self.chance.choice(CLERKS))
        # one that cannot start at all ends the tree (S2), and that is not what is tried here
        return [row["pid"]] if row["pid"] and row["state"] == "ready" else []

    def revive(self) -> None:
        """A guardian that has given up: it bears five dead hosts a minute, and we kill more."""
        assert self.host.process is not None
        if self.host.process.poll() is not None:
            self.host.hang_up()
            self.host.start()

    def wait_settled(self) -> None:
        """Nothing is open any more."""

        def settled() -> bool:
            self.revive()
            try:
                rows = self.host.rows()
                return not any(rows[path]["mailbox"] for path in (*CLERKS, "/book"))
            except (AgenthostError, KeyError):
                self.host.hang_up()
                return False

        wait_until(settled, 2 * PATIENCE_S, "all mailboxes are empty")

    def faults(self, messages: int) -> list[str]:
        account = self.host.call("/book", "account")
        assert self.host.stop() == 0
        mail: dict[int, list[str]] = {}
        dead: set[int] = set()
        bore: dict[int, int] = {}
        failed: list[Failure] = []
        told: dict[int, list[str]] = {}
        with SqliteReader(self.host.places.journal) as store:
            for one in store.export():
                if isinstance(one, Mail):
                    number = bore[one.id] = unpack_body(one.body)
                    boot, n = one.incarnation or (0, 0)
                    life = f"message {one.id} of {one.sender} to {one.receiver} is {one.status}, attempt {one.attempt}"
                    told.setdefault(number, []).append(f"{life}, {boot}.{n}")
                    if one.sender.startswith("client:"):
                        mail.setdefault(number, []).append(one.status)
                        if one.status == "dead":
                            dead.add(number)
                if isinstance(one, Failure):
                    line = f"message {one.message}, attempt {one.attempt}: {one.what}, {one.reason}"
                    told.setdefault(bore.get(one.message, 0), []).append(line)
                    if one.fingerprint.startswith("signal"):
                        failed.append(one)
        self.dead = dead
        self.struck = sum(not clerks.is_poison(bore[one.message]) for one in failed if one.message in bore)
        found = faults(messages, clerks.numbers(account["bits"]), account.get("twice", []), mail, dead)
        return [f"{one}: {'; '.join(told.get(int(one.split()[0]), ()))}" for one in found]


def siege(places: Path, seed: int, messages: int, kills: int, weights: tuple[int, ...]) -> Siege:
    print(f"seed {seed}")
    children = [clerk(path[1:], "AsyncClerk" if n % 2 else "Clerk", recovery=RECOVERY) for n, path in enumerate(CLERKS)]
    book = clerk("book", "Book", mail={"initial": "1ms", "max": "5ms", "attempts": 1_000_000})
    host = Running(places, tree(*children, book, intensity=1_000_000, period="1s"))
    one = Siege(host, seed)
    try:
        host.start().wait_ready()
        one.run(messages, kills, weights)
        one.wait_settled()
        found = one.faults(messages)
        assert found == [], "\n".join(found[:50])
        host.assert_no_bug_of_ours()
        host.assert_nothing_left()
        good = {number for number in one.dead if not clerks.is_poison(number)}
        print(
            f"{messages} sent, {len(one.dead)} set aside, {len(good)} for our kills, {one.killed}, {one.struck} struck"
        )
        assert len(good) <= kills, "more were set aside than there were kills"
        return one
    except BaseException:
        print(f"--- seed {seed}, {one.killed}; the host has printed:\n{host.output()[-6000:]}")
        raise
    finally:
        host.end()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_five_hundred_messages_each_is_answered_once_or_set_aside_whoever_is_killed(places: Path) -> None:
    siege(places, random.randrange(2**32), 500, 25, (12, 4, 6, 3))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_ten_thousand_messages_each_is_answered_once_or_set_aside_whoever_is_killed(places: Path) -> None:
    one = siege(places, random.randrange(2**32), 10_000, 520, (300, 60, 140, 20))
    assert min(one.killed.values()) > 0 and sum(one.killed.values()) >= 500, one.killed
    assert one.struck > 10, "the kills have hit nothing"
