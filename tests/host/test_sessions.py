"""Session logs in a running host: what a turn tells is seen as it grows, and kept once, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pytest

from agenthost.errors import AgenthostError, Busy, HandlerFailed, Refuse, UnknownName
from agenthost.protocol import sessions as say
from tests.host.onlooker import Onlooker, shown
from tests.host.running import NOBODY, Running, kill, tree
from tests.host.test_mail import journal_pid

TELLERS = Path(__file__).resolve().parent / "tellers.py"
Start = Callable[..., Running]


def teller(name: str = "t", kind: str = "Teller", **keys: Any) -> dict[str, Any]:
    mail = {"initial": "10ms", "max": "50ms"}
    return {
        "name": name,
        "agent": f"{TELLERS}:{kind}",
        "mail": mail,
        "backoff": {"initial": "1ms", "max": "5ms"},
        **keys,
    }


def speak(host: Running, body: Any, **more: Any) -> Any:
    return host.client.request("send", {"path": "/t", "body": msgpack.packb(body), "session": True, **more})


def answer_again(host: Running, body: Any) -> Any:
    """Of an agent that may be restarting."""

    def asked() -> Any:
        try:
            return [host.call("/t", body)]
        except AgenthostError:
            return None

    return host.wait(asked, "it answers again")[0]


@pytest.fixture
def look() -> Iterator[Callable[..., Onlooker]]:
    there: list[Onlooker] = []

    def begin(host: Running, path: str = "/t", name: str = "") -> Onlooker:
        there.append(Onlooker(host, path, name))
        there[-1].wait(lambda screen: screen.caught_up is not None, "it is caught up")
        return there[-1]

    yield begin
    for one in there:
        one.close()


@pytest.mark.parametrize("kind", ["Teller", pytest.param("AsyncTeller", marks=pytest.mark.slow)])
def test_a_turn_is_seen_as_it_grows_and_is_kept_once(
    start: Start, look: Callable[..., Onlooker], tmp_path: Path, kind: str
) -> None:
    host = start(tree(teller(kind=kind), intensity=1000))
    ana, bob = look(host, name="ana"), look(host)
    until = tmp_path / "until"
    speak(host, {"pieces": ["Hel", "lo ", "wörld"], "wait": str(until)})
    for one in (ana, bob):
        texts = one.wait(
            lambda screen: [part["text"] for part in screen.parts.values() if part.get("text") == "Hello wörld"],
            "the text as far as it is",
        )
        assert texts == ["Hello wörld"]
        assert [entry.type for entry in one.screen.entries] == ["message"]
    until.touch()
    said = {"pieces": ["Hel", "lo ", "wörld"], "wait": str(until)}
    told = [
        ("message", {"body": said, "sender": f"client:{os.getuid()}"}, 0, False),
        ("note", {"attempt": 1}, 1, False),
        ("answer", {"model": "m", "done": True, "text": "Hello wörld"}, 1, False),
        ("reply", {"body": {"said": 11}}, 1, False),
    ]  # fmt: skip
    assert shown(ana.wait_entries(4)) == shown(bob.wait_entries(4)) == told
    assert (ana.screen.parts, bob.screen.parts) == ({}, {})
    late = look(host)
    assert late.screen.fold == ana.screen.fold == bob.screen.fold
    assert host.call("/t", {"pieces": ["by call"]}) == {"said": 7}
    assert shown(late.wait_entries(6))[4:] == [
        ("note", {"attempt": 1}, 0, False),
        ("answer", {"model": "m", "done": True, "text": "by call"}, 0, False),
    ]


@pytest.mark.parametrize("kind", ["Teller", pytest.param("AsyncTeller", marks=pytest.mark.slow)])
@pytest.mark.parametrize("then", ["kill", pytest.param("raise", marks=pytest.mark.slow)])
def test_of_an_attempt_that_broke_off_the_part_is_kept_as_broken_and_the_next_one_follows(
    start: Start, look: Callable[..., Onlooker], tmp_path: Path, kind: str, then: str
) -> None:
    host = start(tree(teller(kind=kind), intensity=1000))
    ana, until = look(host), tmp_path / "until"
    speak(host, {"pieces": ["Hel", "lo"], "then": then, "times": 1, "wait": str(until)})
    ana.wait(lambda screen: any(part.get("text") == "Hello" for part in screen.parts.values()), "its text")
    until.touch()
    entries = shown(ana.wait_entries(6))
    assert entries[1:] == [
        ("note", {"attempt": 1}, 1, True),
        ("answer", {"model": "m", "text": "Hello"}, 1, True),
        ("note", {"attempt": 2}, 2, False),
        ("answer", {"model": "m", "done": True, "text": "Hello"}, 2, False),
        ("reply", {"body": {"said": 5}}, 2, False),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 4])
def test_the_journal_killed_in_the_midst_loses_nothing_that_was_told(
    start: Start, look: Callable[..., Onlooker], tmp_path: Path, kills: int
) -> None:
    host = start(tree(teller(), intensity=1000))
    ana, until = look(host), tmp_path / "until"
    pieces = [f"{number} " for number in range(40 * kills)]
    speak(host, {"pieces": pieces, "wait": str(until)})
    for number in range(kills):
        ana.wait(lambda screen: any(len(part.get("text", "")) > 20 for part in screen.parts.values()), "some of it")
        kill(journal_pid(host))
        ana.wait(lambda screen, comes=number + 2: ana.comes == comes, "it came again")  # type: ignore[misc]
    until.touch()
    entries = ana.wait_entries(4)
    assert [(type_, attempt, broken) for type_, _, attempt, broken in shown(entries)] == [
        ("message", 0, False),
        ("note", 1, False),
        ("answer", 1, False),
        ("reply", 1, False),
    ]
    assert shown(entries)[2][1]["text"] == "".join(pieces)


@pytest.mark.slow
def test_what_was_told_before_everything_was_killed_is_kept_as_broken(
    start: Start, look: Callable[..., Onlooker], tmp_path: Path
) -> None:
    """The host dies, and with it journal and agent: what had grown for a while is in the log, and the next attempt."""
    host = start(tree(teller(), intensity=1000))
    ana, until = look(host), tmp_path / "until"
    speak(host, {"pieces": ["half ", "of it"], "wait": str(until)})
    ana.wait(lambda screen: any(part.get("text") == "half of it" for part in screen.parts.values()), "its text")
    host.wait(lambda: _stashed(host) == 2, "both parts are written down")
    kill(host.own_pids("host")[0])
    host.hang_up()
    host.wait_ready()
    until.touch()
    assert [
        (what, fields.get("text"), attempt, broken) for what, fields, attempt, broken in shown(ana.wait_entries(6))
    ] == [
        ("message", None, 0, False),
        ("note", None, 1, True),
        ("answer", "half of it", 1, True),
        ("note", None, 2, False),
        ("answer", "half of it", 2, False),
        ("reply", None, 2, False),
    ]


def _stashed(host: Running) -> int:
    """Parts of turns in hand that are in the database."""
    with closing(sqlite3.connect(f"file:{host.places.journal}?mode=ro", uri=True)) as database:
        return sum(len(msgpack.unpackb(packed)) for (packed,) in database.execute("SELECT entries FROM stash"))


@pytest.mark.slow
def test_a_call_whose_turn_fails_leaves_what_it_has_told_as_broken(start: Start, look: Callable[..., Onlooker]) -> None:
    host = start(tree(teller(), intensity=1000))
    ana = look(host)
    with pytest.raises(Refuse, match="not today"):
        host.call("/t", {"pieces": ["no"], "then": "refuse"})
    assert shown(ana.wait_entries(2)) == [
        ("note", {"attempt": 1}, 0, True),
        ("answer", {"model": "m", "text": "no"}, 0, True),
    ]
    with pytest.raises(HandlerFailed):
        host.call("/t", {"pieces": ["crash"], "then": "raise"})
    assert shown(ana.wait_entries(4))[3] == ("answer", {"model": "m", "text": "crash"}, 0, True)
    assert answer_again(host, "try_left_block") == "done"
    assert shown(ana.wait_entries(6))[4:] == [
        ("answer", {"text": "half"}, 0, True),
        ("note", {"text": "went on"}, 0, False),
    ]


@pytest.mark.slow
def test_what_cannot_be_told_is_said_at_once(start: Start, look: Callable[..., Onlooker]) -> None:
    host = start(tree(teller(), intensity=1000))
    words = host.call("/t", "try_misuse")
    assert [word.partition(":")[0] for word in words] == ["UsageError"] * 3 + ["TypeError"] + ["UsageError"] * 2
    assert "fields['bad'] of type set" in words[3]
    assert host.call("/t", "try_later").startswith("UsageError: cannot tell anything: the turn of this ctx is over")
    assert shown(look(host).screen.entries) == [("s", {"text": "x"}, 0, False)]


@pytest.mark.slow
def test_who_has_the_writing_seat_speaks_and_hands_it_over(start: Start, look: Callable[..., Onlooker]) -> None:
    host = start(tree(teller(), intensity=1000))
    ana, bob = look(host, name="ana"), look(host, name="bob")
    ana.say(say.Seat(1))
    seat = ana.wait(lambda screen: screen.seat, "ana has the seat")
    bob.wait(lambda screen: screen.writer == "ana", "bob sees it")
    with pytest.raises(Busy, match="ana has the writing seat"):
        speak(host, "me too")
    speak(host, "first", seat=seat, key="k1")
    bob.say(say.Seat(1, take=True))
    other = bob.wait(lambda screen: screen.seat, "bob has it")
    ana.wait(lambda screen: not screen.seat and screen.writer == "bob", "ana has it no more")
    with pytest.raises(Busy, match="bob"):
        speak(host, "again", seat=seat)
    assert speak(host, "first", seat=seat, key="k1")["twice"]  # said while it was hers
    speak(host, "second", seat=other)
    bob.close()
    ana.wait(lambda screen: (screen.names, screen.writer) == (["ana"], ""), "bob has gone, and nobody has the seat")
    speak(host, "third")
    told = [fields["body"] for what, fields, _, _ in shown(ana.wait_entries(6)) if what == "message"]
    assert told == ["first", "second", "third"]


@pytest.mark.slow
def test_only_who_asks_the_host_comes_in(start: Start, look: Callable[..., Onlooker]) -> None:
    others = [NOBODY] if os.getuid() == 0 else []
    host = start(tree(teller(), intensity=1000), operators=others)
    with pytest.raises(UnknownName, match="there is no such agent"):
        host.client.request("attach", {"path": "/nobody"})
    way = host.client.request("attach")
    status = os.stat(way["address"])
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, os.getuid())
    for uid in others:
        assert host.places.sessions_socket(uid).stat().st_uid == uid
    with closing(socket.socket(socket.AF_UNIX)) as stranger:
        stranger.connect(way["address"])
        stranger.sendall(b"\x00\x00\x00\x01\xc1")
        stranger.settimeout(30)
        while stranger.recv(1000):
            pass


@pytest.mark.slow
def test_a_hundred_readers_see_the_same_and_cost_the_agent_little(
    start: Start, look: Callable[..., Onlooker], tmp_path: Path
) -> None:
    """Half of them do not read at all until the end."""
    host = start(tree(teller(), intensity=1000))
    ana = look(host)
    everybody = [Onlooker(host, "/t") for _ in range(100)]
    for one in everybody:
        one.wait(lambda screen: screen.caught_up is not None, "it is caught up")
    threads = [threading.Thread(target=one.wait_entries, args=(40,), daemon=True) for one in everybody[:50]]
    for thread in threads:
        thread.start()
    for number in range(10):
        speak(host, {"pieces": [f"{number} {'x' * 20_000}", "y"]})
    ana.wait_entries(40)
    for thread in threads:
        thread.join(60)
    for one in everybody:
        one.wait_entries(40)
        assert one.screen.fold == ana.screen.fold
        one.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_whoever_is_killed_all_readers_see_the_same_and_each_message_is_answered_once(
    start: Start, look: Callable[..., Onlooker]
) -> None:
    """Agent and journal, at random instants, while a hundred messages are said in one session."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    host = start(tree(teller(mail={"initial": "1ms", "max": "5ms", "attempts": 1_000_000}), intensity=1_000_000))
    ana, bob = look(host), look(host)
    said = 100
    for number in range(said):
        _insist(lambda: speak(host, {"pieces": [f"{number} ", "x"]}, key=f"k{number}"))  # noqa: B023 - called at once
        if chance.random() < 0.3:
            row = host.row("/t")
            victim = journal_pid(host) if chance.random() < 0.5 else row.get("pid")
            if victim:
                kill(victim)
    for one in (ana, bob):
        one.wait(lambda screen: sum(entry.type == "reply" for entry in screen.entries) >= said, "all replies")
    late = look(host)
    assert ana.screen.fold == bob.screen.fold == late.screen.fold
    told = late.screen.entries
    messages = [entry.message for entry in told if entry.type == "message"]
    assert len(messages) == len(set(messages)) == said
    assert [entry.message for entry in told if entry.type == "reply"] == messages
    whole = [shown([entry])[0][1]["text"] for entry in told if entry.type == "answer" and not entry.broken]
    assert whole == [f"{number} x" for number in range(said)]
    broken = [entry for entry in told if entry.broken]
    assert all(entry.type in ("note", "answer") for entry in broken)
    assert len({(entry.message, entry.attempt, entry.type) for entry in broken}) == len(broken)


def _insist(deed: Callable[[], Any]) -> None:
    """While the journal is away."""
    for _ in range(100):
        try:
            deed()
        except Busy:
            continue
        return
    raise AssertionError("the journal did not come back")
