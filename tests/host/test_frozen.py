"""Whoever stood still and goes on again: an agent that has a successor writes nothing, a host catches up."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError
from agenthost.journal.sqlite.reading import SqliteReader
from tests.host.running import Running, kill, running, tree

POSTERS = Path(__file__).resolve().parent / "posters.py"
Start = Callable[..., Running]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAUSE_S = 20.0
"""Longer than a host may be silent to its clients, and than a turn to its host."""


def poster(name: str, kind: str = "Poster", **keys: Any) -> dict[str, Any]:
    return {
        "name": name,
        "agent": f"{POSTERS}:{kind}",
        "mail": {"initial": "10ms", "max": "50ms"},
        "backoff": {"initial": "1ms", "max": "5ms"},
        **keys,
    }


def test_an_agent_that_is_thawed_after_its_successor_began_writes_nothing(start: Start, tmp_path: Path) -> None:
    """A host bears no successor while anything of the old one is there: the journal is told of one behind its back."""
    host = start(tree(poster("a", turn={"silence": "10m"})))
    begun, over = tmp_path / "begun", tmp_path / "over"
    host.client.send("/a", {"do": "nap", "file": str(begun), "until": str(over)})
    host.wait(begun.exists, "its turn has begun")
    old = host.row("/a")
    os.kill(old["pid"], signal.SIGSTOP)
    (journal,) = host.own_pids("journal")
    os.kill(journal, signal.SIGSTOP)
    boot, n = map(int, old["incarnation"].split("."))
    with closing(sqlite3.connect(host.places.journal)) as raw, raw:
        # What Own does: there is a successor, and what its predecessor held waits again.
        raw.execute("UPDATE owners SET n = ? WHERE path = '/a' AND boot = ?", (n + 1, boot))
        raw.execute("UPDATE mail SET status = 1, ready = 1 WHERE receiver = '/a' AND status = 2")
    kill(journal)
    over.touch()
    os.kill(old["pid"], signal.SIGCONT)
    ended = host.wait_event("agent.exited", "/a")
    assert "75" in ended["fields"]["reason"], ended  # it was told that it has a successor
    host.wait(lambda: host.row("/a")["mailbox"] == 0, "its successor has done it")
    assert host.call("/a", {"do": "state"}) == {"napped": 2}
    with SqliteReader(host.places.journal) as reader:
        assert reader.dead_letters() == ()


def test_an_agent_that_stands_still_when_it_is_killed_is_followed_by_another(start: Start, tmp_path: Path) -> None:
    host = start(tree(poster("a", turn={"silence": "10m"})))
    begun, over = tmp_path / "begun", tmp_path / "over"
    host.client.send("/a", {"do": "nap", "file": str(begun), "until": str(over)})
    host.wait(begun.exists, "its turn has begun")
    old = host.pid("/a")
    os.kill(old, signal.SIGSTOP)
    host.ask("kill", path="/a")  # answered when its cell is empty
    over.touch()
    host.wait(lambda: host.row("/a")["mailbox"] == 0, "the successor has done it")
    assert host.call("/a", {"do": "state"})["napped"] > 1 and host.pid("/a") != old


def test_a_host_that_stood_still_goes_on_with_the_same_agents_and_loses_nothing(places: Path) -> None:
    cron = {"tick": {"when": "* * * * * *", "zone": "UTC", "body": "tick"}}
    with running(places, tree(poster("a", cron=cron), poster("b", "AsyncPoster"))) as host:
        host.client.send("/b", "before")
        host.wait(lambda: host.call("/a", {"do": "state"}), "a first tick has come: its receiver is known")
        (pid,) = host.own_pids("host")
        before = {path: host.row(path)["incarnation"] for path in ("/a", "/b")}
        host.client.send("/b", "due while it stands still", after_s=PAUSE_S / 2)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(PAUSE_S)  # this is what is tried, no wait for a fact
        finally:
            os.kill(pid, signal.SIGCONT)
        host.hang_up()

        def answers() -> bool:
            try:
                return host.client.request("ping", timeout=5) is not None
            except AgenthostError:
                host.hang_up()
                return False

        host.wait(answers, "it answers again")
        assert {path: host.row(path)["incarnation"] for path in before} == before
        host.client.send("/b", "after")
        wanted = ["before", "due while it stands still", "after"]

        def got(path: str) -> list[Any]:
            return [one[1] for one in host.call(path, {"do": "state"}).get("got", [])]

        host.wait(lambda: got("/b") == wanted, f"nothing is lost: {got('/b')}")
        assert got("/a").count("tick") >= PAUSE_S / 2, "the journal went on without the host"
        assert host.own_pids("host") == [pid]


def test_a_host_that_stood_still_for_so_long_that_its_guardian_gave_it_up_is_born_again(places: Path) -> None:
    """The guardian waits 30 s for a beat."""
    with running(places, tree(poster("a"))) as host:
        host.client.send("/a", "before")
        host.wait(lambda: host.row("/a")["mailbox"] == 0, "it has come")
        (pid,) = host.own_pids("host")
        os.kill(pid, signal.SIGSTOP)
        host.hang_up()

        def is_born_again() -> bool:
            try:
                return host.own_pids("host") not in ([pid], [])
            except AgenthostError:
                host.hang_up()
                return False

        host.wait(is_born_again, "there is another", 120)
        host.client.send("/a", "after")

        def got() -> list[Any]:
            try:
                return [one[1] for one in host.call("/a", {"do": "state"}, 10).get("got", [])]
            except AgenthostError:
                return []

        host.wait(lambda: got() == ["before", "after"], "nothing is lost")
        with SqliteReader(host.places.journal) as reader:
            assert len(reader.boots()) == 2
