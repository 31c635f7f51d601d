"""A journal whose disk fails under a running host: it is told, nothing is overwritten, who needs none of it goes on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError, JournalUnavailable
from agenthost.journal.sqlite.store import SqliteStore
from tests.host.running import NOBODY, Running, running, tree
from tests.host.small_disk import fill, small_disk

POSTERS = Path(__file__).resolve().parent / "posters.py"
AGENTS = tree(
    {"name": "a", "agent": f"{POSTERS}:Poster", "mail": {"initial": "10ms", "max": "50ms"}},
    {"name": "plain", "agent": f"{POSTERS}:Plain"},
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def disk(places: Path) -> Iterator[Path]:
    """Under the state folder. A journal in it, its WAL too, needs some 500 KiB."""
    with small_disk(places / "state", "4m") as folder:
        yield folder


def got(host: Running) -> list[Any]:
    try:
        return [one[1] for one in host.call("/a", {"do": "state"}).get("got", [])]
    except AgenthostError:  # it cannot read its state yet
        return []


def trouble(host: Running) -> str:
    said = str(host.host().get("journal", ""))
    return "" if said == "well" else said


def goes_on_without(host: Running, words: str) -> None:
    """Who uses nothing durable does not notice, and everybody can see why the others wait."""
    host.wait(lambda: words in trouble(host), f"status says {words!r}: {trouble(host)!r}")
    assert host.call("/plain", "hello") == "hello"
    assert host.ask("restart", path="/plain")["state"] == "ready"
    (found,) = [one for one in host.ask("doctor") if one["subject"] == "journal"]
    assert not found["ok"] and words in found["text"]


@pytest.mark.root
def test_a_disk_that_becomes_full_loses_nothing_and_goes_on_when_there_is_room(places: Path, disk: Path) -> None:
    with running(places, AGENTS) as host:
        host.client.send("/a", "before")
        host.wait(lambda: got(host) == ["before"], "it has come")
        fill(disk)
        refused: list[AgenthostError] = []

        def is_refused() -> bool:
            try:  # more than the WAL may have room for
                host.client.send("/a", {"do": "set", "key": "filled", "value": "x" * 200_000}, 45)
            except AgenthostError as error:
                refused.append(error)
            return bool(refused)

        host.wait(is_refused, "the disk refuses", 240)
        assert isinstance(refused[0], JournalUnavailable) and "disk is full" in str(refused[0]), refused
        goes_on_without(host, "disk is full")
        os.unlink(disk / "filler")
        host.client.send("/a", "after")
        host.wait(lambda: got(host) == ["before", "after"], "it goes on by itself")
        host.wait(lambda: not trouble(host), "all is well")
    with SqliteStore(host.places.journal) as store:
        assert store.check() == ()


def before_and_after(places: Path, uid: int | None = None) -> tuple[Path, bytes]:
    """A journal with one message in it, whose host has ended."""
    with running(places, AGENTS, uid=uid) as host:
        host.client.send("/a", "before")
        host.wait(lambda: got(host) == ["before"], "it has come")
    return host.places.journal, host.places.journal.read_bytes()


def test_a_database_of_a_newer_version_is_left_alone_and_taken_up_again_when_it_fits(places: Path) -> None:
    database, _ = before_and_after(places)
    with closing(sqlite3.connect(database)) as raw:
        (version,) = raw.execute("PRAGMA user_version").fetchone()
        raw.execute("PRAGMA user_version = 99")
    content = database.read_bytes()
    with running(places, AGENTS) as host:
        goes_on_without(host, "it has version 99")
        assert database.read_bytes() == content
        with closing(sqlite3.connect(database)) as raw:
            raw.execute(f"PRAGMA user_version = {version}")
        host.wait(lambda: got(host) == ["before"], "what it had is there")


@pytest.mark.root
def test_a_database_that_cannot_be_written_is_told_until_it_can(places: Path) -> None:
    """By another user: nothing is read-only to root."""
    database, content = before_and_after(places, NOBODY)
    database.chmod(0o400)
    with running(places, AGENTS, uid=NOBODY) as host:
        goes_on_without(host, "read-only")
        assert database.read_bytes() == content
        for one in database.parent.glob("journal.db*"):  # what SQLite has made beside it has the rights of it
            one.chmod(0o600)
        host.wait(lambda: got(host) == ["before"], "it goes on by itself")


def test_a_damaged_database_is_told_and_not_overwritten(places: Path) -> None:
    database, content = before_and_after(places)
    damaged = content[:100] + b"\xde\xad\xbe\xef" * 1024 + content[100 + 4096 :]
    database.write_bytes(damaged)
    with running(places, AGENTS) as host:
        goes_on_without(host, "malformed")
        assert database.read_bytes() == damaged
        database.rename(database.with_suffix(".damaged"))
        host.client.send("/a", "begun anew")
        host.wait(lambda: got(host) == ["begun anew"], "a new one is begun when it was moved away")


def test_pages_that_are_damaged_are_told_when_they_are_read_and_end_no_agent(places: Path) -> None:
    with running(places, AGENTS) as host:
        for number in range(20):
            host.client.send("/a", {"do": "set", "key": str(number), "value": "x" * 20_000})
        host.wait(lambda: len(host.call("/a", {"do": "state"})) == 20, "all have come")
    database = host.places.journal
    content = database.read_bytes()
    garbage = b"\xde\xad\xbe\xef" * 256
    pages = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    database.write_bytes(b"".join([*pages[:1], *(garbage + page[len(garbage) :] for page in pages[1:])]))
    with running(places, AGENTS) as host:

        def is_told() -> bool:
            try:
                host.client.send("/a", "x", 5)
            except AgenthostError:
                host.hang_up()
            return "malformed" in trouble(host)

        host.wait(is_told, "it is told")
        assert host.call("/plain", "hello") == "hello"
