"""Calls and tools of durable mail in a running host: whoever is killed in between, nothing that may have been done is
done again in silence. What was really done is counted in a file."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError, UnknownName
from tests.host.running import PATIENCE_S, Running, kill, tree
from tests.host.test_mail import QUICK, Start, journal_pid
from tests.host.test_reload import rewrite
from tests.waiting import wait_until

BUYERS = Path(__file__).resolve().parent / "buyers.py"
BACKOFF = {"initial": "1ms", "max": "5ms"}


def buyer(folder: Path, kind: str = "Buyer", **keys: Any) -> dict[str, Any]:
    args = {"folder": str(folder)}
    return {"name": "buyer", "agent": f"{BUYERS}:{kind}", "args": args, "mail": QUICK, "backoff": BACKOFF, **keys}


def till(folder: Path) -> dict[str, Any]:
    return {"name": "till", "agent": f"{BUYERS}:Till", "args": {"folder": str(folder)}, "backoff": BACKOFF}


def shop(folder: Path, kind: str = "Buyer") -> dict[str, Any]:
    return tree(till(folder), buyer(folder, kind), intensity=1000)


def lines(folder: Path, file: str) -> list[str]:
    return (folder / file).read_text().split("\n")[:-1] if (folder / file).exists() else []


def account(host: Running, order: int) -> Any:
    """What came of it, when it is committed."""
    found: dict[str, Any] = {}

    def has_come() -> bool:
        try:
            found.update(host.call("/buyer", "account", 10))
        except AgenthostError:
            return False
        return str(order) in found

    host.wait(has_come, f"order {order} is done")
    return found


def wait_paid(host: Running, folder: Path) -> None:
    host.wait(lambda: lines(folder, "paid"), "somebody has paid")


def wait_another(host: Running, path: str, before: int) -> None:
    def is_there() -> bool:
        row = host.row(path)
        return bool(row["state"] == "ready" and row["pid"] != before)

    host.wait(is_there, "another one is there")


def kill_and_wait(host: Running, path: str) -> None:
    pid = host.pid(path)
    kill(pid)
    wait_another(host, path, pid)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("Buyer", "call"),
        pytest.param("Buyer", "run", marks=pytest.mark.slow),
        pytest.param("Buyer", "gather", marks=pytest.mark.slow),
        pytest.param("Buyer", "popen", marks=pytest.mark.slow),
        pytest.param("AsyncBuyer", "call", marks=pytest.mark.slow),
        pytest.param("AsyncBuyer", "gather", marks=pytest.mark.slow),
        pytest.param("AsyncBuyer", "run", marks=pytest.mark.slow),
        pytest.param("AsyncBuyer", "popen", marks=pytest.mark.slow),
    ],
)
def test_an_agent_killed_in_a_call_is_told_that_its_outcome_is_unknown(
    start: Start, tmp_path: Path, kind: str, how: str
) -> None:
    host = start(shop(tmp_path, kind))
    wait, then = str(tmp_path / "wait"), str(tmp_path / "then")
    host.client.send("/buyer", {"order": 1, "how": how, "wait": wait, "then": then if how == "popen" else ""})
    wait_paid(host, tmp_path)
    if how == "popen":  # it has ended, and what was said to it is not kept
        host.wait(lambda: lines(tmp_path, "bought"), "it was talked to")
    kill(host.pid("/buyer"))
    (tmp_path / "wait").touch()
    if how == "popen":
        (tmp_path / "then").touch()
    found = account(host, 1)
    assert found["1"] == "unknown" and lines(tmp_path, "paid") == ["1"]
    tool = "/till" if how in ("call", "gather") else how
    assert "this is attempt 2; the one before ended: " in found["line 1"]
    assert f"not known whether it was done: {tool} " in found["line 1"]
    if how == "popen":
        return
    # Killed after the outcome: that stands for the call.
    host.client.send("/buyer", {"order": 2, "how": how, "then": then})
    host.wait(lambda: "2" in lines(tmp_path, "bought"), "it has bought")
    kill(host.pid("/buyer"))
    (tmp_path / "then").touch()
    assert account(host, 2)["2"] == 2 and lines(tmp_path, "paid") == ["1", "2"]
    assert lines(tmp_path, "attempts") == ["1 1", "1 2", "2 1", "2 2"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Buyer", "AsyncBuyer"])
@pytest.mark.parametrize("how", ["call", "run"])
def test_an_idempotent_call_is_made_again_after_a_kill(start: Start, tmp_path: Path, kind: str, how: str) -> None:
    host = start(shop(tmp_path, kind))
    host.client.send("/buyer", {"order": 1, "how": how, "wait": str(tmp_path / "wait"), "idempotent": True})
    wait_paid(host, tmp_path)
    kill(host.pid("/buyer"))
    (tmp_path / "wait").touch()
    assert account(host, 1)["1"] == 2 and lines(tmp_path, "paid") == ["1", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Buyer", "AsyncBuyer"])
@pytest.mark.parametrize("how", ["call", "run"])
def test_a_tool_killed_in_a_call_may_have_done_it(start: Start, tmp_path: Path, kind: str, how: str) -> None:
    host = start(shop(tmp_path, kind))
    host.client.send("/buyer", {"order": 1, "how": how, "wait": str(tmp_path / "wait")})
    wait_paid(host, tmp_path)
    if how == "call":
        kill(host.pid("/till"))
    else:
        tool = host.wait(lambda: [path for path in host.rows() if path.startswith("/buyer/")], "there is a tool")[0]
        kill(host.pid(tool))
    (tmp_path / "wait").touch()
    assert account(host, 1)["1"] == "unknown" and lines(tmp_path, "paid") == ["1"]
    assert lines(tmp_path, "attempts") == ["1 1", "1 2"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Buyer", "AsyncBuyer"])
def test_a_journal_killed_in_a_call_costs_time_alone(start: Start, tmp_path: Path, kind: str) -> None:
    host = start(shop(tmp_path, kind))
    host.client.send("/buyer", {"order": 1, "wait": str(tmp_path / "wait"), "then": str(tmp_path / "then")})
    wait_paid(host, tmp_path)
    kill(journal_pid(host))
    (tmp_path / "wait").touch()
    host.wait(lambda: lines(tmp_path, "bought"), "it has bought")
    (tmp_path / "then").touch()
    assert account(host, 1)["1"] == 1
    assert lines(tmp_path, "paid") == ["1"] and lines(tmp_path, "attempts") == ["1 1"]


@pytest.mark.slow
def test_a_journal_that_stands_still_holds_a_call_back(start: Start, tmp_path: Path) -> None:
    """An intent that is not kept yet is no intent: nothing is called."""
    host = start(shop(tmp_path))
    host.client.send("/buyer", {"order": 1})
    assert account(host, 1)["1"] == 1
    pid = journal_pid(host)
    (tmp_path / "gate").unlink(missing_ok=True)
    host.client.send("/buyer", {"order": 2, "wait": str(tmp_path / "gate")})
    host.wait(lambda: lines(tmp_path, "paid") == ["1", "2"], "it has begun the second")
    os.kill(pid, signal.SIGSTOP)
    try:
        (tmp_path / "gate").touch()
        host.wait(lambda: lines(tmp_path, "bought") == ["1", "2"], "its outcome need not be waited for")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert account(host, 2)["2"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Buyer", "AsyncBuyer"])
@pytest.mark.parametrize("how", ["call", "run"])
def test_a_host_killed_in_a_call_tells_the_next_one(start: Start, tmp_path: Path, kind: str, how: str) -> None:
    host = start(shop(tmp_path, kind))
    host.client.send("/buyer", {"order": 1, "how": how, "wait": str(tmp_path / "wait")})
    wait_paid(host, tmp_path)
    kill(host.own_pids("host")[0])
    host.hang_up()
    host.wait_ready()
    host.wait(lambda: "1 2" in lines(tmp_path, "attempts"), "it is tried again")
    (tmp_path / "wait").touch()  # nobody waits for it any more, or the test fails
    assert account(host, 1)["1"] == "unknown" and lines(tmp_path, "paid") == ["1"]


def test_a_turn_may_go_back_to_a_checkpoint_also_after_a_crash(start: Start) -> None:
    host = start(tree({"name": "k", "agent": f"{BUYERS}:Keeper", "backoff": BACKOFF}, intensity=1000))
    assert host.call("/k", {"set": 1, "keep": "first"}) == {"value": 1}
    assert host.call("/k", {"set": 2}) == {"value": 2}
    kill_and_wait(host, "/k")
    assert host.call("/k", {"back": "first"}) == {"value": 1}
    assert host.call("/k", {}) == {"value": 1}
    with pytest.raises(UnknownName, match="no such checkpoint; it has first"):
        host.call("/k", {"set": 3, "back": "nowhere"})
    assert host.call("/k", {"keep": "unchanged"}) == {"value": 1}
    assert host.call("/k", {"set": 4}) == {"value": 4}
    assert host.call("/k", {"back": "unchanged"}) == {"value": 1}


@pytest.mark.slow
def test_a_state_of_older_code_is_migrated_and_one_of_newer_code_is_left_alone(start: Start) -> None:
    def keeper(version: int) -> dict[str, Any]:
        return {"name": "k", "agent": f"{BUYERS}:Keeper", "args": {"version": version}, "backoff": BACKOFF}

    def change(version: int) -> None:
        before = host.pid("/k")
        rewrite(host, tree(keeper(version), intensity=1000))
        host.ask("reload")
        wait_another(host, "/k", before)

    host = start(tree(keeper(1), intensity=1000))
    assert host.call("/k", {"set": 1}) == {"value": 1}
    change(2)
    assert host.call("/k", {}) == {"value": 1, "migrated": 1}
    change(3)
    assert host.call("/k", {}) == {"value": 1, "migrated": 2}
    change(1)
    with pytest.raises(AgenthostError, match="cannot open a state of version 3"):
        host.call("/k", {})
    change(3)
    assert host.call("/k", {}) == {"value": 1, "migrated": 2}


class Spree:
    """Orders while agents, journal, tool and host are killed at random; the seed says whom and when."""

    WHOM = ("buyer", "till", "journal", "host")

    def __init__(self, host: Running, folder: Path, how: tuple[str, ...], seed: int) -> None:
        self.host, self.folder, self.how, self.chance = host, folder, how, random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.orders: dict[int, dict[str, Any]] = {}

    def run(self, kills: int) -> None:
        while self.killed.total() < kills:
            for _ in range(self.chance.randint(1, 4)):
                self.order()
            # so that it hits now one and now another instant between an intent and its commit
            wait_until(lambda: self.chance.random() < 0.2, PATIENCE_S, "the next kill")
            self.kill(self.chance.choices(self.WHOM, (10, 4, 4, 1))[0])

    def order(self) -> None:
        number = len(self.orders) + 1
        body = {"order": number, "how": self.chance.choice(self.how), "idempotent": self.chance.random() < 0.2}

        def is_taken() -> bool:
            self.revive()
            try:
                self.host.client.send("/buyer", body, 10, key=str(number))
            except AgenthostError:
                self.host.hang_up()
                return False
            return True

        wait_until(is_taken, PATIENCE_S, f"order {number} is taken")
        self.orders[number] = body

    def kill(self, whom: str) -> None:
        try:
            if whom in ("journal", "host"):
                pids = self.host.own_pids(whom)
            else:
                row = self.host.row(f"/{whom}")
                pids = [row["pid"]] if row["pid"] and row["state"] == "ready" else []
        except AgenthostError:
            self.host.hang_up()
            return
        if pids:
            kill(pids[0])
            self.killed[whom] += 1

    def revive(self) -> None:
        """A guardian bears five dead hosts a minute, and we kill more."""
        assert self.host.process is not None
        if self.host.process.poll() is not None:
            self.host.hang_up()
            self.host.start()

    def faults(self) -> list[str]:
        found: dict[str, Any] = {}

        def all_done() -> bool:
            self.revive()
            try:
                found.update(self.host.call("/buyer", "account", 10))
            except AgenthostError:
                self.host.hang_up()
                return False
            return all(str(number) in found for number in self.orders)

        wait_until(all_done, PATIENCE_S, "every order has its outcome")
        return misdeeds(self.orders, Counter(map(int, lines(self.folder, "paid"))), found)


def misdeeds(orders: dict[int, dict[str, Any]], paid: Counter[int], found: dict[str, Any]) -> list[str]:
    """What was repeated in silence, or claimed without having been done."""
    faults = []
    for number, body in orders.items():
        result, times = found[str(number)], paid[number]
        if times > 1 and not body["idempotent"]:
            faults.append(f"{number} ({body['how']}) was done {times} times")
        if result == "unknown" and body["idempotent"]:
            faults.append(f"{number} is idempotent and has no outcome")
        if result != "unknown" and times == 0:
            faults.append(f"{number} has the outcome {result} and was never done")
    return faults


@pytest.mark.parametrize(
    ("idempotent", "paid", "result", "fault"),
    [
        (False, 1, 7, ""),
        (False, 0, "unknown", ""),
        (False, 1, "unknown", ""),
        (True, 3, 7, ""),
        (False, 2, 7, "done 2 times"),
        (False, 2, "unknown", "done 2 times"),
        (False, 0, 7, "never done"),
        (True, 1, "unknown", "no outcome"),
    ],
)
def test_the_checker_sees(idempotent: bool, paid: int, result: Any, fault: str) -> None:
    found = misdeeds({1: {"idempotent": idempotent, "how": "call"}}, Counter({1: paid}), {"1": result})
    assert fault in "; ".join(found) and bool(fault) == bool(found)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [("Buyer", 1), ("AsyncBuyer", 2)])
def test_whoever_is_killed_at_random_nothing_is_repeated_in_silence(
    start: Start, tmp_path: Path, kind: str, seed: int
) -> None:
    print(f"seed {seed}")
    children = till(tmp_path), buyer(tmp_path, kind, mail={"initial": "1ms", "max": "5ms", "attempts": 1_000_000})
    host = start(tree(*children, intensity=1_000_000, period="1s"))
    spree = Spree(host, tmp_path, ("call", "run", "gather"), seed)
    spree.run(40)
    assert spree.faults() == [], f"after {dict(spree.killed)}"
    assert spree.killed["buyer"] and spree.killed["journal"]
