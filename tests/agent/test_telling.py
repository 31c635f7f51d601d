"""What a turn tells, as it leaves its process: in bunches, again at a new door, broken when the turn fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from agenthost import Agent, AsyncContext, Context, Message
from agenthost.agent import committing
from agenthost.agent import telling as rules
from agenthost.agent.blocking import finish
from agenthost.agent.telling import Telling
from agenthost.errors import Refuse, UsageError
from agenthost.protocol import mail
from agenthost.testing import AgentHarness
from tests.agent.test_door import Journal, leased


def answered(message: mail.FromAgent) -> mail.FromJournal | None:
    return mail.Done(message.id) if isinstance(message, mail.Break) else leased(message)


@pytest.fixture
def journal() -> Iterator[Journal]:
    one = Journal()
    one.give_door()
    one.answer = answered
    yield one
    one.close()


@pytest.fixture
def told(journal: Journal) -> Telling:
    """At its door."""
    telling = journal.durable.tell()
    telling.emit("begin", {})
    settle(journal)
    journal.heard.clear()
    telling.committed()
    return telling


def settle(journal: Journal) -> None:
    """All that was said is heard."""
    asked = journal.durable.open().ask(lambda number: mail.Knows(number, "/x"))
    assert finish(journal.until(lambda: asked.answer is not None, time.monotonic() + 30))
    journal.heard = [one for one in journal.heard if not isinstance(one, mail.Knows)]


def heard(journal: Journal) -> list[mail.Delta]:
    settle(journal)
    return [one for one in journal.heard if isinstance(one, mail.Delta)]


def fold(deltas: list[mail.Delta]) -> str:
    text = ""
    for one in deltas:
        assert one.at in (0, len(text))
        text = text[: one.at] + one.text
    return text


def test_many_small_writes_are_few_deltas_and_none_is_lost(
    journal: Journal, told: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(rules.time, "monotonic", lambda: now[0])
    with told.stream("answer", {}) as out:
        for number in range(1000):
            out.write(f"{number} ")
            now[0] += 0.001
    monkeypatch.undo()
    deltas = heard(journal)
    assert fold(deltas) == out.text
    assert 40 <= len(deltas) <= 60


def test_the_first_word_after_a_pause_leaves_at_once(
    journal: Journal, told: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BUNCH_S", 1e-9)
    told.stream("answer", {}).write("Hel")
    assert fold(heard(journal)) == "Hel"


def test_fields_are_said_when_they_have_changed(journal: Journal, told: Telling) -> None:
    with told.stream("answer", {"model": "m"}) as out:
        out.write("x")
        told.flush()
        out.write("y")
        told.flush()
        out.set(done=True)
    fields = [msgpack.unpackb(one.fields) for one in heard(journal) if one.fields]
    assert fields[-1] == {"model": "m", "done": True}
    assert len(fields) == 2
    (entry,) = told.entries()
    assert msgpack.unpackb(entry.body) == {"model": "m", "done": True, "text": "xy"}


def test_at_a_new_door_open_parts_are_said_again_whole_before_all_else(journal: Journal, told: Telling) -> None:
    out = told.stream("answer", {"model": "m"})
    out.write("Hel")
    told.flush()
    settle(journal)
    journal.cut()
    door = journal.durable.open()
    finish(journal.until(lambda: door.sock is None, time.monotonic() + 30))
    out.write("lo")
    journal.heard.clear()
    asked = door.ask(lambda number: mail.Commit(number, entries=told.entries(), turn=1))
    journal.give_door()
    assert finish(journal.until(lambda: asked.answer is not None, time.monotonic() + 30))
    again, commit = journal.heard
    assert isinstance(again, mail.Delta) and isinstance(commit, mail.Commit)
    assert (again.at, again.text, msgpack.unpackb(again.fields)) == (0, "Hello", {"model": "m"})


def test_a_turn_in_the_midst_of_foreign_code_finds_its_new_door_by_itself(journal: Journal, told: Telling) -> None:
    """It waits for nothing, so nobody reads its door for it: that the journal has gone it sees when it writes."""
    out = told.stream("answer", {})
    out.write("one ")
    told.flush()
    settle(journal)
    journal.cut()
    door, deadline = journal.durable.open(), time.monotonic() + 30
    while door.sock is not None:
        assert time.monotonic() < deadline
        out.write("more ")
        told.flush()
    journal.heard.clear()
    journal.give_door()
    door.hear_birth()  # as the sentry's thread does
    out.write("end")
    told.flush()
    journal.serve()
    assert fold([one for one in journal.heard if isinstance(one, mail.Delta)]) == out.text


def test_what_the_journal_does_not_read_waits_here(
    journal: Journal, told: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "_LATER_BYTES", 100_000)
    out = told.stream("answer", {})
    for _ in range(200):
        out.write("x" * 5000)
    door = journal.durable.open()
    assert door.backlog_bytes < 200_000
    deadline = time.monotonic() + 30
    while fold([one for one in journal.heard if isinstance(one, mail.Delta)]) != out.text:
        assert time.monotonic() < deadline
        settle(journal)
        out.set(n=1)
        told.flush()


def test_a_turn_that_fails_without_mail_says_break_and_a_later_one_is_not_touched(
    journal: Journal, told: Telling
) -> None:
    journal.answer = lambda message: None if isinstance(message, mail.Break) else answered(message)
    told.emit("note", {"n": 1})
    journal.durable.revert()
    told.emit("note", {"n": 2})
    settle(journal)
    (broken,) = [one for one in journal.heard if isinstance(one, mail.Break)]
    first, second = (one.number for one in (*told.breaking, *told.parts))
    assert broken.part == first < second
    journal.cut()
    finish(journal.until(lambda: journal.durable.open().sock is None, time.monotonic() + 30))
    journal.heard.clear()
    journal.answer = answered
    journal.give_door()
    finish(journal.until(lambda: not told.breaking, time.monotonic() + 30))
    assert [type(one).__name__ for one in journal.heard] == ["Delta", "Delta", "Break"]
    assert journal.heard[-1] == broken
    finish(committing.commit(journal.durable, journal.until))
    commit = journal.heard[-1]
    assert isinstance(commit, mail.Commit)
    assert [msgpack.unpackb(one.body) for one in commit.entries] == [{"n": 2}]
    assert commit.turn > broken.turn


def test_a_turn_of_mail_that_fails_says_so_once_and_forgets_what_it_has_told(journal: Journal, told: Telling) -> None:
    one = mail.Mail(7, "/b", b"\x01", 2, 0)
    journal.durable.in_hand = one
    told.emit("note", {})
    finish(committing.failed(journal.durable, journal.until, one, Refuse("no")))
    settle(journal)
    deltas, others = heard(journal), [one for one in journal.heard if not isinstance(one, mail.Delta)]
    assert [(one.message, one.attempt) for one in deltas] == [(7, 2)]
    assert [type(one).__name__ for one in others] == ["Fail"]
    assert (told.parts, journal.durable.in_hand) == ([], None)


def test_what_is_returned_to_mail_of_a_session_is_an_entry(journal: Journal, told: Telling) -> None:
    one = mail.Mail(7, "client:0", b"\x01", 1, 0, in_session=True)
    journal.durable.in_hand = one
    rules.reply(journal.durable, one, {"answer": 42})
    finish(committing.commit(journal.durable, journal.until, of=one))
    commit = journal.heard[-1]
    assert isinstance(commit, mail.Commit)
    assert [(one.type, msgpack.unpackb(one.body)) for one in commit.entries] == [("reply", {"body": {"answer": 42}})]
    assert commit.turn == 0


def test_what_is_too_much_is_refused_and_what_was_told_stays(told: Telling) -> None:
    out = told.stream("answer", {})
    out.write("é" * 1_000_000)
    with pytest.raises(UsageError, match="is the most of one entry"):
        out.write("x" * (15 * 1024 * 1024))
    with pytest.raises(UsageError, match="surrogates not allowed"):
        out.write("\ud800")
    assert len(out.text) == 1_000_000
    told.emit("big", {"data": bytes(15 * 1024 * 1024)})
    with pytest.raises(UsageError, match="the most of a turn"):
        told.emit("big", {"data": bytes(16 * 1024 * 1024 - 10_000)})


# ---- in a test without a host


class Chatty(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        ctx.emit("note", body=message.body)
        with ctx.stream("answer", model="m") as out:
            out.write("Hel")
            if message.body == "refuse":
                raise Refuse("no")
            out.write("lo")
        return len(out.text)


class AsyncChatty(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        ctx.emit("note", body=message.body)
        async with ctx.stream("answer", model="m") as out:
            out.write("Hel")
            if message.body == "refuse":
                raise Refuse("no")
            out.write("lo")
        return len(out.text)


@pytest.mark.parametrize("kind", [Chatty, AsyncChatty])
def test_a_harness_has_the_log(kind: Any) -> None:
    with AgentHarness(kind) as chatty:
        assert chatty.call("hi") == 5
        with pytest.raises(Refuse):
            chatty.call("refuse")
        assert [(one.type, one.fields, one.broken) for one in chatty.log] == [
            ("note", {"body": "hi"}, False),
            ("answer", {"model": "m", "text": "Hello"}, False),
            ("note", {"body": "refuse"}, True),
            ("answer", {"model": "m", "text": "Hel"}, True),
        ]


class Keeper(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        if message.body == "keep":
            self.kept = ctx
        else:
            self.kept.emit("late")


def test_after_its_turn_a_context_tells_nothing_more() -> None:
    with AgentHarness(Keeper) as keeper:
        keeper.call("keep")
        with pytest.raises(UsageError, match="the turn of this ctx is over"):
            keeper.call("tell")
