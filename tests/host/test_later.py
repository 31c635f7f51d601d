"""Mail for later in a running host: it comes when it is due, once, whoever has ended meanwhile; or it is taken back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError, HandlerFailed, UnknownName, UsageError
from tests.host.running import Running, kill, running, tree

LATERS = Path(__file__).resolve().parent / "laters.py"
Start = Callable[..., Running]


def later(name: str, kind: str = "Later", **keys: Any) -> dict[str, Any]:
    return {"name": name, "agent": f"{LATERS}:{kind}", "backoff": {"initial": "1ms", "max": "5ms"}, **keys}


def got(host: Running, path: str) -> list[list[Any]]:
    def asked() -> Any:
        try:
            return {"got": host.call(path, "got", 10)}
        except AgenthostError:
            host.hang_up()
            return None

    return list(host.wait(asked, f"{path} says what it has got")["got"])


def bodies(host: Running, path: str) -> list[Any]:
    return [one[0] for one in got(host, path)]


def wait_bodies(host: Running, path: str, wanted: list[str]) -> None:
    """In any order: what is due at nearly the same time."""
    host.wait(lambda: sorted(bodies(host, path)) == sorted(wanted), f"{path} has got {wanted}: {bodies(host, path)}")


def names(host: Running) -> list[str]:
    return [one["name"] for one in host.ask("schedules")]


@pytest.mark.parametrize("kind", ["Later", pytest.param("AsyncLater", marks=pytest.mark.slow)])
def test_an_agent_sends_for_later_and_takes_it_back(start: Start, kind: str) -> None:
    host = start(tree(later("a", kind)))
    began = time.time()
    assert host.call("/a", {"do": "later", "body": "in a moment", "after_s": 0.4}) == "done"
    assert host.call("/a", {"do": "later", "body": "by the clock", "after_s": None, "at": began + 0.3}) == "done"
    assert host.call("/a", {"do": "later", "body": "never", "after_s": 3, "key": "k"}) == "done"
    assert host.call("/a", {"do": "cancel", "key": "k"}) == "done"
    assert host.call("/a", {"do": "replace", "body": "instead", "after_s": 0.5, "key": "k"}) == "done"
    for _ in range(2):
        assert host.call("/a", {"do": "send", "body": "once", "key": "o"}) == "done"
    wait_bodies(host, "/a", ["once", "by the clock", "in a moment", "instead"])
    at = {one[0]: one[2] for one in got(host, "/a")}
    assert at["in a moment"] >= began + 0.4 and at["by the clock"] >= began + 0.3
    assert host.ask("delayed") == []


@pytest.mark.slow
def test_a_turn_that_fails_has_sent_and_taken_back_nothing(start: Start) -> None:
    host = start(tree(later("a")))
    host.call("/a", {"do": "later", "body": "stays", "after_s": 2, "key": "k"})
    with pytest.raises(HandlerFailed, match="after all not"):
        host.call("/a", {"do": "cancel", "key": "k", "fail": True})
    wait_bodies(host, "/a", ["stays"])


@pytest.mark.slow
def test_what_cannot_be_sent_for_later_is_refused(start: Start) -> None:
    host = start(tree(later("a")))
    for how, why in (
        ({"after_s": -1}, "cannot send after -1 seconds"),
        ({"after_s": float("nan")}, "cannot send after nan"),
        ({}, "either after how many seconds"),
        ({"after_s": 1, "at": 1}, "either after how many seconds"),
        ({"at": 1e18}, "cannot send at"),
        ({"after_s": 1, "key": "x" * 300}, "a key of 300 characters"),
        ({"after_s": 1, "to": "/nobody"}, "there is no such agent"),
    ):
        with pytest.raises(AgenthostError, match=why):
            host.call("/a", {"do": "later", "body": "x", **how})
    assert host.ask("delayed") == []


def test_a_client_sends_for_later_and_takes_it_back(start: Start) -> None:
    host = start(tree(later("a")))
    client = host.client
    client.send("/a", "soon", after_s=0.3)
    client.send("/a", "at", at=datetime.now(UTC) + timedelta(seconds=0.2))
    client.send("/a", "never", after_s=3, key="k")
    assert client.cancel("k") is True and client.cancel("k") is False
    client.send("/a", "much later", after_s=3600, key="k")
    (found,) = [one for one in host.ask("delayed") if one["key"] == "k"]
    assert found["receiver"] == "/a" and found["due_ms"] > time.time() * 1000 + 3_500_000
    wait_bodies(host, "/a", ["at", "soon"])
    host.ask("undelay", message=found["message"])
    with pytest.raises(UnknownName):
        host.ask("undelay", message=found["message"])
    assert host.ask("delayed") == []
    with pytest.raises(UsageError, match="nobody would remember it"):
        client.send("/a", "x", durable=False, after_s=1)


@pytest.mark.parametrize("kind", ["Later", pytest.param("AsyncLater", marks=pytest.mark.slow)])
def test_an_agent_schedules_and_ends_it(start: Start, kind: str) -> None:
    host = start(tree(later("a", kind)))
    host.call("/a", {"do": "schedule", "name": "tick", "cron": "* * * * * *", "path": "/a", "body": "tick"})
    host.call("/a", {"do": "schedule", "name": "rare", "cron": "@yearly", "path": "/a", "zone": "Asia/Tokyo"})
    assert names(host) == ["/a#rare", "/a#tick"]
    host.wait(lambda: len(bodies(host, "/a")) >= 2, "it has come twice")
    assert {one[1] for one in got(host, "/a")} == {"/a"}
    host.call("/a", {"do": "unschedule", "name": "tick"})
    assert names(host) == ["/a#rare"]
    with pytest.raises(AgenthostError, match="no such periodic message"):
        host.call("/a", {"do": "unschedule", "name": "tick"})
    with pytest.raises(AgenthostError, match="as a cron expression"):
        host.call("/a", {"do": "schedule", "name": "x", "cron": "daily", "path": "/a"})


def test_the_config_says_what_is_sent_again_and_again_also_when_it_changes(start: Start) -> None:
    cron = {"tick": {"when": "* * * * * *", "zone": "UTC", "body": {"n": 1}}, "rare": {"when": "@yearly"}}
    host = start(tree(later("a", cron=cron)))
    host.wait(lambda: names(host) == ["config:/a#rare", "config:/a#tick"], "both are there")
    host.wait(lambda: {"n": 1} in bodies(host, "/a"), "it has come")
    pid = host.pid("/a")
    told = json.loads(host.config.read_text())
    told["tree"] = tree(later("a", cron={"tick": {"when": "* * * * * *", "zone": "UTC", "body": 2}}))
    host.config.write_text(json.dumps(told))
    host.ask("reload")
    host.wait(lambda: 2 in bodies(host, "/a"), "the new one has come")
    assert names(host) == ["config:/a#tick"] and host.pid("/a") == pid
    with pytest.raises(UsageError, match="it stands in the config"):
        host.client.unschedule("config:/a#tick")


@pytest.mark.slow
def test_what_is_for_nobody_is_told_and_tried_again(start: Start) -> None:
    host = start(tree(later("a"), later("b")))
    due = host.client.schedule("tick", "* * * * * *", "/b", "tick", zone="UTC")
    assert due >= time.time() - 1
    told = json.loads(host.config.read_text())
    told["tree"] = tree(later("a"))
    host.config.write_text(json.dumps(told))
    host.ask("reload")
    found = host.wait_event("mail.unfired")
    assert found["path"] == "/b" and found["fields"]["schedule"] == "tick"
    host.client.unschedule("tick")
    with pytest.raises(UnknownName):
        host.client.schedule("tick", "* * * * *", "/b")


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["journal", "host", "guardian"])
def test_it_comes_once_though_whoever_waits_for_its_time_is_killed(places: Path, whom: str) -> None:
    cron = {"tick": {"when": "*/2 * * * * *", "zone": "UTC", "body": "tick"}}
    with running(places, tree(later("a", cron=cron), intensity=1000)) as host:
        host.client.send("/a", "once", after_s=2)
        host.call("/a", {"do": "later", "body": "once more", "after_s": 2.5})
        if whom == "guardian":
            kill(host.guardian_pid)
            host.wait_end()
            host.hang_up()
            host.start().wait_ready()
        else:
            kill(host.own_pids(whom)[0])
            host.hang_up()
        host.wait(lambda: bodies(host, "/a").count("tick") >= 4, "ticks have come")
        found = got(host, "/a")
        assert [one[0] for one in found if one[0] != "tick"] == ["once", "once more"]
        ticks = [int(one[2]) // 2 for one in found if one[0] == "tick"]
        assert len(ticks) == len(set(ticks)), "each time once"
