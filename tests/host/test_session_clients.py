"""Sessions as Python programs have them: ``client.session`` and ``AsyncSession``, at a running host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.client import Client
from agenthost.client.async_session import AsyncSession
from agenthost.client.updates import CaughtUp, Cut, Event, Part
from agenthost.errors import Busy, UnknownName
from tests.host.running import Running, kill, tree
from tests.host.test_mail import journal_pid
from tests.host.test_sessions import teller

Start = Callable[..., Running]


@pytest.fixture
def host(start: Start) -> Running:
    return start(tree(teller()))


def types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def test_what_is_said_and_told_is_read_and_seen_as_it_grows(host: Running) -> None:
    with Client(host.endpoint) as client, client.session("t") as session:
        assert list(session.events()) == []
        number = session.say({"pieces": ["one ", "two ", "three"]})
        seen: list[Event | Part] = []
        for event in session.events(follow=True, live=True):
            seen.append(event)
            if event.type == "reply":
                break
        log = [event for event in seen if isinstance(event, Event)]
        parts = [part for part in seen if isinstance(part, Part) and part.type == "answer"]
        assert types(log) == ["message", "note", "answer", "reply"]
        assert [(event.seq, event.message) for event in log] == [(seq, number) for seq in (1, 2, 3, 4)]
        assert log[0].fields["body"] == {"pieces": ["one ", "two ", "three"]}
        assert log[2].fields == {"model": "m", "done": True, "text": "one two three"}
        assert "".join(part.new for part in parts) == parts[-1].text == "one two three"[: len(parts[-1].text or "")]
        assert log[2].part == parts[-1].part
        assert [event.seq for event in session.events(after=2)] == [3, 4]


def test_the_writing_seat_goes_from_one_to_another(host: Running) -> None:
    with Client(host.endpoint) as client, client.session("/t", name="ana") as ana, client.session("/t") as bob:
        ana.seat()
        assert (ana.has_seat, ana.present, ana.writer) == (True, ("ana",), "ana")
        with pytest.raises(Busy, match="ana"):
            bob.say("may I?")
        with pytest.raises(Busy, match="ana"):
            bob.seat()
        ana.say("I may")
        bob.seat(take=True)
        assert [type(one) for one in ana.updates(follow=False)][-1] is CaughtUp
        assert not ana.has_seat and ana.writer == bob.writer != "ana"
        bob.give_seat()
        host.wait(lambda: _may_say(ana), "anyone may speak")


def _may_say(session: Any) -> bool:
    try:
        session.say("now")
    except Busy:
        return False
    return True


def test_an_unknown_name_is_said_at_once(host: Running) -> None:
    with Client(host.endpoint) as client, client.session("/nobody") as session, pytest.raises(UnknownName):
        list(session.events())


def test_asyncio_has_the_same(host: Running) -> None:
    async def talk() -> None:
        async with (
            AsyncSession("/t", endpoint=host.endpoint, name="ana") as ana,
            AsyncSession("/t", endpoint=host.endpoint, name="bob") as bob,
        ):
            await ana.seat()
            with pytest.raises(Busy, match="ana"):
                await bob.say("no")
            await ana.say({"pieces": ["one ", "two"]})
            grown = ""
            async for event in bob.events(follow=True, live=True):
                if isinstance(event, Part) and event.type == "answer":
                    grown = event.text or ""
                if event.type == "reply":
                    break
            assert grown == "one two"
            assert types([event async for event in ana.events()]) == ["message", "note", "answer", "reply"]
            await bob.seat(take=True)
            assert bob.has_seat and set(bob.present) == {"ana", "bob"}

    asyncio.run(talk())


@pytest.mark.slow
def test_readers_go_on_after_the_journal_and_the_host_were_killed(host: Running, tmp_path: Path) -> None:
    with Client(host.endpoint) as client, client.session("/t", name="ana") as session:
        session.seat()
        log: list[Event] = []
        cuts = 0
        updates = session.updates(live=True)
        for deed in (None, "journal", "host"):
            gate = tmp_path / f"gate-{deed}"
            session.say({"pieces": ["a", "b"], "wait": str(gate)}, key=f"key {deed}")
            for update in updates:
                cuts += isinstance(update, Cut)
                if isinstance(update, Part) and update.text == "ab" and not gate.exists():
                    if deed == "journal":
                        kill(journal_pid(host))
                    elif deed == "host":
                        kill(host.own_pids("host")[0])
                        host.hang_up()
                    gate.touch()
                if isinstance(update, Event):
                    log.append(update)
                    if update.type == "reply":
                        break
        assert cuts >= 2
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        whole = [event for event in log if not event.broken]
        assert types(whole) == ["message", "note", "answer", "reply"] * 3
        assert [event.fields["text"] for event in whole if event.type == "answer"] == ["ab"] * 3
        assert list(session.events()) == _without_parts(log)
        session.attend()
        host.wait(lambda: _may_say(session), "the seat is this session's again, or nobody's")
    host.wait_ready()


def _without_parts(log: list[Event]) -> list[Event]:
    """A later reader hears of no parts."""
    import msgspec

    return [msgspec.structs.replace(event, part="") for event in log]
