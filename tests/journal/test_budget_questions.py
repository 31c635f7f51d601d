"""A budget with ``at_limit: ask`` that is used up between two turns: a person is asked all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agenthost.core.budget.scope import Scope
from agenthost.journal import words
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.protocol import mail as say
from tests.journal.test_clerk import Office, packed
from tests.journal.test_meters import begun, spend, take, told

TWO_TURNS = Scope("/a", "session", {"turns": 2.0}, "ask")


After = Callable[[str], tuple[Office, Any, list[int]]]


@pytest.fixture(params=["memory", "sqlite"])
def after_two_turns(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[After]:
    store: Any = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "journal.db")
    with ExitStack() as stack:
        stack.callback(store.close)

        def after(bodies: str) -> tuple[Office, Any, list[int]]:
            found = two_turns(store, bodies)
            stack.callback(found[0].clerk.close)
            return found

        yield after


def asked(office: Office) -> list[dict[str, Any]]:
    office.pass_time(1)
    office.host(words.Ask(60, "asked", {"prefix": "", "after": 0, "limit": 9}))
    return told(office, words.Answer)[-1].result  # type: ignore[no-any-return]


def say_it(office: Office, message: int, *, yes: bool) -> None:
    office.host(words.Ask(61, "answer", {"message": message, "yes": yes, "text": "", "by": "uid 7"}))


def two_turns(store: Any, bodies: str) -> tuple[Office, Any, list[int]]:
    office, party = begun(TWO_TURNS, store=store)
    numbers = [office.send("/a", packed(body)).result["message"] for body in bodies]
    for turn in (1, 2):
        mail = take(office, party) if turn == 1 else office.ask(party, say.Take(1)).mail
        office.ask(party, say.Commit(2, mail.message, mail.attempt, turn=turn))
        spend(office, party, 0.0, turn, 0, turns=turn)
    return office, party, numbers


def test_the_message_that_would_be_next_asks(after_two_turns: After) -> None:
    office, party, numbers = after_two_turns("wxyz")
    assert take(office, party) is None
    (question,) = asked(office)
    assert question["message"] == numbers[2] and question["budget"] == "turns of /a"
    assert question["question"].endswith("turns 2 of 2; go on with as much again?")
    assert [one["message"] for one in asked(office)] == [numbers[2]], "one asks for all"
    say_it(office, numbers[2], yes=True)
    assert told(office, words.Granted)[-1].amount == 2
    again = take(office, party)
    assert (again.message, again.attempt) == (numbers[2], 1), "nothing of its attempts is used up"


def test_after_a_no_the_next_one_asks(after_two_turns: After) -> None:
    office, party, numbers = after_two_turns("wxyz")
    assert take(office, party) is None and asked(office)
    say_it(office, numbers[2], yes=False)
    assert [one["message"] for one in asked(office)] == [numbers[3]]
    say_it(office, numbers[3], yes=False)
    assert asked(office) == []


def test_what_is_sent_to_one_that_is_used_up_asks_as_well(after_two_turns: After) -> None:
    office, _, _ = after_two_turns("wx")
    assert asked(office) == []
    late = office.send("/a", packed("y")).result["message"]
    assert [one["message"] for one in asked(office)] == [late]


def test_a_journal_that_begins_anew_asks_no_second_time() -> None:
    store = MemoryStore()
    office, _, numbers = two_turns(store, "wxyz")
    office.pass_time(1)
    office, _ = begun(TWO_TURNS, store=store)
    assert [one["message"] for one in asked(office)] == [numbers[2]]


def test_nobody_is_asked_where_the_budget_only_stops_until_it_shall_ask() -> None:
    office, party = begun(replace(TWO_TURNS, at_limit="stop"))
    number = office.send("/a", packed("x")).result["message"]
    spend(office, party, 0.0, 2, 0, turns=2)
    assert take(office, party) is None and asked(office) == []
    office.host(words.Budgets(2, (TWO_TURNS,), office.clerk.meters.prices))
    assert [one["message"] for one in asked(office)] == [number]
