"""Children of run time that persist (D6) in a running host: back with their owner, and with the next host."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError, UnknownName, UsageError
from tests.host.running import Running, kill, tree
from tests.host.test_attempts import BACKOFF, BUYERS, kill_and_wait
from tests.host.test_mail import Start


def boss(**keys: Any) -> dict[str, Any]:
    return {"name": "boss", "agent": f"{BUYERS}:Boss", "backoff": BACKOFF, "may": {"start": ["*"]}, **keys}


def crew() -> dict[str, Any]:
    return {"name": "crew", "pool": {"command": ["sleep", "1000"], "persist": True, "backoff": BACKOFF}}


def wait_kept(host: Running, *kept: str) -> None:
    def are_kept() -> bool:
        try:
            with closing(sqlite3.connect(f"file:{host.places.journal}?mode=ro", uri=True)) as database:
                return [path for (path,) in database.execute("SELECT path FROM kept ORDER BY path")] == list(kept)
        except sqlite3.OperationalError:
            return False  # it is not made yet

    host.wait(are_kept, f"{kept} are in the journal")


def next_host(host: Running, *kept: str) -> None:
    wait_kept(host, *kept)
    kill(host.own_pids("host")[0])
    host.hang_up()
    host.wait_ready()


def answer(host: Running, path: str, body: Any) -> Any:
    """When it is there."""
    found: list[Any] = []

    def answers() -> bool:
        try:
            found.append(host.call(path, body, 10))
        except UsageError:
            raise
        except AgenthostError:
            host.hang_up()
            return False
        return True

    host.wait(answers, f"{path} answers")
    return found[0]


def below_boss(host: Running) -> list[str]:
    return [path for path in host.rows() if path.startswith("/boss/")]


def test_what_persists_is_back_with_its_owner_and_with_the_next_host(start: Start) -> None:
    host = start(tree(boss(), intensity=1000))
    host.call("/boss", {"start": "keeps", "by_name": True})
    host.call("/boss", {"start": "leaves", "by_name": True, "persist": False})
    host.call("/boss/keeps", {"start": "code"})
    assert host.call("/boss/keeps", {"count": 1}) == 1
    kill_and_wait(host, "/boss")
    assert answer(host, "/boss/keeps", {"count": 1}) == 2, "its state is its own"
    assert answer(host, "/boss", {"ask": "keeps", "body": {"count": 1}}) == 3
    assert answer(host, "/boss/keeps/code", 5) == ["code", 5, "code"]
    next_host(host, "/boss/keeps", "/boss/keeps/code")
    assert answer(host, "/boss/keeps", {"count": 1}) == 4
    assert answer(host, "/boss/keeps/code", 6) == ["code", 6, "code"]
    assert below_boss(host) == ["/boss/keeps", "/boss/keeps/code"]
    host.ask("stop", path="/boss/keeps/code")
    next_host(host, "/boss/keeps")
    assert answer(host, "/boss/keeps", {"count": 1}) == 5
    assert below_boss(host) == ["/boss/keeps"]


@pytest.mark.slow
def test_members_of_a_pool_persist(start: Start) -> None:
    host = start(tree(crew(), boss(), intensity=1000))
    host.ask("start", path="/crew/one")
    host.ask("start", path="/crew/two")
    host.ask("stop", path="/crew/two")
    host.ask("restart", path="/crew")
    host.wait(lambda: host.state("/crew/one") == "ready", "it is back with its pool")
    next_host(host, "/crew/one")
    host.wait(lambda: "/crew/one" in host.rows() and host.state("/crew/one") == "ready", "it is back with the host")
    assert "/crew/two" not in host.rows()


@pytest.mark.slow
def test_the_session_of_a_member_of_a_pool_outlives_its_end(start: Start) -> None:
    """It is found by its name, whether it runs or not; only the name of what an agent has started is used again."""
    host = start(tree({"name": "crew", "pool": {"agent": f"{BUYERS}:Boss", "persist": True, "backoff": BACKOFF}}))
    host.ask("start", path="/crew/one")
    assert host.call("/crew/one", {"count": 1}) == 1
    wait_kept(host, "/crew/one")
    host.ask("stop", path="/crew/one")
    wait_kept(host)
    assert host.call("/crew/one", {"count": 1}) == 2


@pytest.mark.slow
def test_an_orderly_stop_of_the_host_is_no_end_of_what_persists(start: Start) -> None:
    host = start(tree(boss(), intensity=1000))
    host.call("/boss", {"start": "keeps", "by_name": True})
    wait_kept(host, "/boss/keeps")
    assert host.stop() == 0
    host.start().wait_ready()
    assert answer(host, "/boss/keeps", {"count": 1}) == 1


@pytest.mark.slow
def test_what_its_owner_may_not_start_any_more_is_let_go(start: Start) -> None:
    host = start(tree(boss(), intensity=1000))
    host.call("/boss", {"start": "keeps", "by_name": True})
    wait_kept(host, "/boss/keeps")
    assert host.stop() == 0
    text = host.config.read_text()
    host.config.write_text(text.replace('"start": ["*"]', '"start": ["nothing"]'))
    host.start().wait_ready()
    assert "not permitted" in host.wait_event("agent.not_restored", "/boss/keeps")["fields"]["why"]
    assert host.stop() == 0
    host.config.write_text(text)
    host.start().wait_ready()
    assert answer(host, "/boss", {}) == "?"
    with pytest.raises(UnknownName):
        host.call("/boss/keeps", {"count": 1})


@pytest.mark.slow
def test_what_cannot_persist_is_refused(start: Start, tmp_path: Path) -> None:
    host = start(tree(boss()))
    with pytest.raises(UsageError, match="without a name"):
        host.call("/boss", {"start": None, "by_name": True})
