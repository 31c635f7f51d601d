"""Durable mail and state in a running host: nothing acknowledged is lost, a turn is true as a whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError, HandlerFailed, Refuse, TimedOut, UnknownName
from tests.host.running import Running, kill, running, tree

POSTERS = Path(__file__).resolve().parent / "posters.py"
Start = Callable[..., Running]
QUICK = {"initial": "10ms", "max": "50ms"}


def poster(name: str, kind: str = "Poster", **keys: Any) -> dict[str, Any]:
    return {
        "name": name,
        "agent": f"{POSTERS}:{kind}",
        "mail": QUICK,
        "backoff": {"initial": "1ms", "max": "5ms"},
        **keys,
    }


def state(host: Running, path: str) -> dict[str, Any]:
    """Also while it restarts."""

    def asked() -> Any:
        try:
            return {"state": host.call(path, {"do": "state"}, 10)}
        except AgenthostError:
            return None

    return dict(host.wait(asked, f"{path} tells its state")["state"])


def got(host: Running, path: str) -> list[Any]:
    return [one[1] for one in state(host, path).get("got", [])]


def wait_got(host: Running, path: str, values: list[Any]) -> None:
    host.wait(lambda: got(host, path) == values, f"{path} has got {values}: {got(host, path)}")


def letters(host: Running) -> list[dict[str, Any]]:
    return list(host.ask("letters"))


def journal_pid(host: Running) -> int:
    return int(host.wait(lambda: host.own_pids("journal"), "there is a journal")[0])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# ---- mail


@pytest.mark.parametrize("kind", ["Poster", pytest.param("AsyncPoster", marks=pytest.mark.slow)])
def test_mail_is_handled_in_order_and_survives_the_end_of_everybody(start: Start, kind: str) -> None:
    host = start(tree(poster("a", kind), poster("b", kind), intensity=1000))
    for number in range(5):
        host.client.send("/a", number)
    assert host.call("/a", {"do": "send", "to": "/b", "values": ["x", "y", "z"]}) == "sent"
    wait_got(host, "/a", [0, 1, 2, 3, 4])
    wait_got(host, "/b", ["x", "y", "z"])
    assert state(host, "/b")["got"][0] == ["/a", "x", 1]
    kill(host.pid("/a"))
    kill(journal_pid(host))
    host.client.send("/a", 5)
    wait_got(host, "/a", [0, 1, 2, 3, 4, 5])


@pytest.mark.slow
def test_mail_for_who_does_not_run_waits_for_it(start: Start) -> None:
    host = start(tree(poster("a")))
    host.ask("stop", path="/a")
    host.client.send("/a", "while you were away")
    assert host.row("/a")["mailbox"] == 1
    host.ask("start", path="/a")
    wait_got(host, "/a", ["while you were away"])
    host.wait(lambda: host.row("/a")["mailbox"] == 0, "the mailbox is empty")


@pytest.mark.slow
def test_mail_survives_the_host(start: Start) -> None:
    host = start(tree(poster("a")))
    host.client.send("/a", "one")
    wait_got(host, "/a", ["one"])
    host.ask("stop", path="/a")
    host.client.send("/a", "two")
    kill(host.own_pids("host")[0])
    host.hang_up()
    host.wait_ready()
    wait_got(host, "/a", ["one", "two"])


@pytest.mark.slow
def test_a_key_is_taken_once(start: Start) -> None:
    host = start(tree(poster("a")))
    for _ in range(3):
        host.client.send("/a", "once", key="order 7")
    host.client.send("/a", "end")
    wait_got(host, "/a", ["once", "end"])


def test_nobody_can_send_to_what_takes_no_mail(start: Start) -> None:
    host = start(tree(poster("a"), {"name": "sleep", "command": ["sleep", "1000"]}))
    for path, why in (("/nobody", "no such agent"), ("/sleep", "a program"), ("/", "a supervisor")):
        with pytest.raises(UnknownName, match=why):
            host.client.send(path, 1)
    with pytest.raises(UnknownName, match="no such agent"):
        host.call("/a", {"do": "send", "to": "/nobody", "values": [1]})
    assert state(host, "/a") == {}


@pytest.mark.slow
def test_a_full_mailbox_refuses(start: Start) -> None:
    host = start(tree(poster("a"), poster("b", mail={**QUICK, "limit": 2})))
    host.ask("stop", path="/b")
    host.client.send("/b", 1)
    host.client.send("/b", 2)
    with pytest.raises(AgenthostError, match="2 of 2 messages") as refused:
        host.client.send("/b", 3)
    assert refused.value.code == "overloaded"
    with pytest.raises(AgenthostError, match="2 of 2 messages"):
        host.call("/a", {"do": "send", "to": "/b", "values": [3]})
    assert state(host, "/a") == {}


# ---- failures


@pytest.mark.parametrize("how", ["raise", "kill"])
def test_a_message_whose_turn_crashes_comes_again(start: Start, how: str, tmp_path: Path) -> None:
    host = start(tree(poster("a"), intensity=1000))
    host.client.send("/a", {"do": "crash", "how": how, "times": 2, "file": str(tmp_path / "count")})
    host.client.send("/a", "after")
    wait_got(host, "/a", ["after"])
    found = state(host, "/a")
    assert found["crashed"] == [3, 3] and "lost" not in found
    assert letters(host) == []


def test_what_fails_every_time_is_set_aside_and_can_be_tried_again(start: Start, tmp_path: Path) -> None:
    host = start(tree(poster("a"), intensity=1000))
    host.client.send("/a", {"do": "crash", "times": 4, "file": str(tmp_path / "count")})
    host.client.send("/a", "after")
    (letter,) = host.wait(lambda: letters(host), "a dead letter")
    assert [line["what"] for line in letter["history"]] == ["backed_off", "backed_off", "dead_letter"]
    assert "crashed as told" in letter["history"][0]["reason"]
    wait_got(host, "/a", ["after"])
    host.wait_event("mail.dead_letter", "/a")
    host.ask("requeue", message=letter["message"])
    host.wait(lambda: state(host, "/a").get("crashed"), "it is handled at last")
    assert letters(host) == []


@pytest.mark.slow
def test_what_is_refused_is_a_dead_letter_at_once_and_the_agent_goes_on(start: Start) -> None:
    host = start(tree(poster("a")))
    pid = host.pid("/a")
    host.client.send("/a", {"do": "refuse"})
    (letter,) = host.wait(lambda: letters(host), "a dead letter")
    assert [(line["what"], line["reason"]) for line in letter["history"]] == [("dead_letter", "never")]
    assert state(host, "/a") == {} and host.pid("/a") == pid
    host.ask("drop", message=letter["message"])
    assert letters(host) == []


# ---- turns


@pytest.mark.parametrize("kind", ["Poster", "AsyncPoster"])
def test_a_turn_that_fails_has_changed_and_sent_nothing(start: Start, kind: str) -> None:
    host = start(tree(poster("a", kind), poster("b"), intensity=1000))
    send = {"do": "send", "to": "/b", "values": ["never"]}
    with pytest.raises(Refuse):
        host.call("/a", {**send, "then": "refuse"})
    assert state(host, "/a") == {}
    with pytest.raises(HandlerFailed):
        host.call("/a", {**send, "then": "crash"})
    assert state(host, "/a") == {}
    host.call("/a", {**send, "values": ["now"]})
    wait_got(host, "/b", ["now"])
    assert state(host, "/a") == {"sends": 1}


def test_state_is_there_again_after_a_crash_and_before_on_start(start: Start) -> None:
    host = start(tree(poster("a", "Starter"), intensity=1000))
    host.call("/a", {"do": "set", "key": "k", "value": [1, {"two": b"2"}]})
    assert state(host, "/a") == {"starts": 1, "k": [1, {"two": b"2"}]}
    kill(host.pid("/a"))
    assert state(host, "/a") == {"starts": 2, "k": [1, {"two": b"2"}]}
    assert host.call("/a", {"do": "at_birth"}) == {"starts": 1, "k": [1, {"two": b"2"}]}


def test_a_state_that_cannot_be_kept_fails_the_turn(start: Start) -> None:
    host = start(tree(poster("a"), intensity=1000))
    host.call("/a", {"do": "set", "key": "k", "value": 1})
    with pytest.raises(HandlerFailed, match=r"cannot keep state\['set'\] of type set"):
        host.call("/a", {"do": "unfit"})
    assert state(host, "/a") == {"k": 1}
    with pytest.raises(AgenthostError, match="cannot keep a state of 17"):
        host.call("/a", {"do": "huge"})
    assert state(host, "/a") == {"k": 1}


@pytest.mark.slow
def test_what_an_agent_starts_has_no_past(start: Start) -> None:
    host = start(tree(poster("a")))
    for _ in range(2):
        before, after = host.call("/a", {"do": "sub", "name": "again"})
        assert before == {} and [one[1] for one in after["got"]] == ["something to remember"]


# ---- no journal


def test_who_uses_nothing_durable_has_no_door_and_needs_no_journal(start: Start) -> None:
    host = start(tree({"name": "plain", "agent": f"{POSTERS}:Plain"}))
    with stopped(journal_pid(host)):
        assert host.call("/plain", "hello") == "hello"
        assert host.call("/plain", "has a door") == []


@pytest.mark.slow
def test_a_journal_that_stands_still_is_told_of_and_who_needs_it_waits(start: Start) -> None:
    host = start(tree(poster("a"), {"name": "plain", "agent": f"{POSTERS}:Plain"}))
    with stopped(journal_pid(host)):
        assert host.call("/plain", "hello") == "hello"
        with pytest.raises(TimedOut):
            host.client.send("/a", "later", 0.5)
        assert host.row("/plain")["state"] == "ready"
        trouble = host.wait_event("journal.trouble")
        assert "has not answered" in trouble["fields"]["why"]
        (found,) = [one for one in host.ask("doctor") if one["subject"] == "journal"]
        assert not found["ok"] and "has not answered" in found["text"]
    wait_got(host, "/a", ["later"])
    host.wait_event("journal.well")


@pytest.mark.slow
def test_a_journal_of_somebody_else_is_left_alone_and_the_host_goes_on_without(places: Path) -> None:
    children = tree(poster("a"), {"name": "plain", "agent": f"{POSTERS}:Plain"})
    database = Running(places, children).places.journal  # of the same name as the one below
    database.parent.mkdir(mode=0o700, parents=True)
    with closing(sqlite3.connect(database)) as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    before = database.read_bytes()
    with running(places, children) as host:
        assert host.call("/plain", "hello") == "hello"
        host.wait(lambda: "another program" in host.host().get("journal", ""), "status says so")
        assert database.read_bytes() == before
        database.unlink()
        host.client.send("/a", "well again")
        wait_got(host, "/a", ["well again"])


# ---- ends in the middle


@pytest.mark.slow
def test_a_stop_in_the_middle_of_a_message_costs_it_no_attempt(start: Start, tmp_path: Path) -> None:
    host = start(tree(poster("a", shutdown="100ms", mail={**QUICK, "attempts": 1})))
    begun = tmp_path / "begun"
    host.client.send("/a", {"do": "nap", "file": str(begun), "until": "/nowhere"})
    host.wait(begun.exists, "its turn has begun")
    host.ask("stop", path="/a")
    assert letters(host) == [] and host.row("/a")["mailbox"] == 1


@pytest.mark.slow
def test_frozen_agents_keep_their_message(start: Start, tmp_path: Path) -> None:
    host = start(tree(poster("a")))
    begun, over = tmp_path / "begun", tmp_path / "over"
    host.client.send("/a", {"do": "nap", "file": str(begun), "until": str(over)})
    host.wait(begun.exists, "its turn has begun")
    host.ask("freeze", path="/a")
    over.touch()
    assert host.row("/a")["mailbox"] == 1
    host.ask("thaw", path="/a")
    host.wait(lambda: host.row("/a")["mailbox"] == 0, "it is done")
    assert state(host, "/a") == {"napped": 1}


@pytest.mark.slow
def test_events_of_the_core_are_in_the_journal_in_order(start: Start) -> None:
    from agenthost.journal.sqlite.reading import SqliteReader

    host = start(tree(poster("a")))
    boot = host.ask("ping")
    host.ask("stop", path="/a")
    with SqliteReader(host.places.journal) as reader:
        host.wait(lambda: reader.last_number(boot) >= 5, "events are there")
        found = reader.core(boot)
    kinds = [type(one).__name__ for one in found]
    assert kinds[0] == "Snapshot" and set(kinds[1:]) == {"Noted"}
    assert [one.number for one in found[1:]] == list(range(1, len(found)))  # type: ignore[union-attr]
    assert b"Boot" in found[1].event  # type: ignore[union-attr]
