"""What an agent says of what it uses, and what the word of its host on budgets does to it; without a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agenthost import Agent
from agenthost.agent.spending import MODELS, Spending, check_spent
from agenthost.errors import UsageError
from agenthost.protocol import birth, mail
from agenthost.testing import AgentHarness
from tests.agent.test_door import Journal


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    with_door(journal)
    yield journal
    for end in (journal.host, journal.end, journal._its, journal.durable.open().sock):
        if end is not None:
            end.close()


def with_door(journal: Journal) -> None:
    door = journal.durable.open()
    if door.sock is None:
        door.want()
    journal.give_door()
    door.hear_birth()
    door.adopt()


def heard(journal: Journal) -> list[mail.Spent]:
    journal.heard.clear()
    journal.serve()
    return [one for one in journal.heard if isinstance(one, mail.Spent)]


def book(journal: Journal) -> Spending:
    return journal.durable.spend_book()


def test_what_is_spent_is_said_at_once_as_a_sum_since_the_beginning(journal: Journal) -> None:
    spending = book(journal)
    spending.begin(3)
    spending.spend(10, 1, "big", None)
    spending.spend(5, 0, "big", None)
    spending.spend(2, 2, "small", 0.5)
    assert heard(journal) == [
        mail.Spent(3, 0, models={"big": (10, 1)}),
        mail.Spent(3, 0, models={"big": (15, 1)}),
        mail.Spent(3, 0, cost=0.5, others=(2, 2), models={"big": (15, 1)}),
    ]


def test_it_is_said_for_the_message_of_the_turn_and_after_that_for_none(journal: Journal) -> None:
    journal.durable.in_hand = mail.Mail(17, "/b", b"", 1, 0)
    spending = book(journal)
    spending.is_in(2)
    spending.spend(1, 0, "", None)
    spending.over(is_timed=False)
    spending.spend(1, 0, "", None)
    assert [(one.turn, one.message, one.turns) for one in heard(journal)] == [(2, 17, 0), (0, 0, 0)]


def test_turns_and_calls_are_counted_where_a_budget_holds(journal: Journal) -> None:
    spending = book(journal)
    spending.begin(1)
    spending.called(2)
    spending.over(is_timed=False)
    assert heard(journal) == []
    spending.heed(birth.Budget())
    for turn in (2, 3):
        spending.begin(turn)
        spending.called(2)
        spending.over(is_timed=turn == 3)
    last = heard(journal)[-1]
    assert (last.turn, last.turns, last.tool_calls) == (3, 2, 4)
    assert 0 < last.wall_s < 60, "of the turn that the host has not seen"


def test_a_turn_that_has_bounds_of_its_own_is_told_when_it_begins(journal: Journal) -> None:
    spending = book(journal)
    spending.heed(birth.Budget(turns=True))
    spending.begin(5)
    assert [one.turn for one in heard(journal)] == [5]


def test_at_the_next_door_the_sum_is_said_first(journal: Journal) -> None:
    book(journal).begin(1)
    book(journal).spend(10, 1, "big", None)
    heard(journal)
    assert journal.end is not None
    journal.end.close()
    door = journal.durable.open()
    door.pump()
    journal.wait_wanted()
    asked = door.ask(mail.Take)
    book(journal).spend(1, 0, "big", None)
    with_door(journal)
    journal.heard.clear()
    journal.serve()
    assert journal.heard == [mail.Spent(1, 0, models={"big": (11, 1)}), mail.Take(1)] and asked.answer is None


def test_other_args_hold_until_the_host_takes_them_back(journal: Journal) -> None:
    agent, spending = journal.agent, book(journal)
    agent.args = own = {"model": "big", "temperature": 0}
    spending.heed(birth.Budget(args={"model": "small"}))
    assert agent.args is own, "not in the midst of a turn of another thread"
    spending.begin(1)
    assert agent.args == {"model": "small", "temperature": 0}
    spending.heed(birth.Budget(why="used up"))
    assert spending.refusal() == "used up" and agent.args is own
    spending.heed(birth.Budget())
    assert spending.refusal() == ""


def test_what_a_turn_falls_back_to_ends_with_it(journal: Journal) -> None:
    agent, spending = journal.agent, book(journal)
    agent.args = own = {"model": "big"}
    spending.begin(4)
    spending.heed(birth.Budget(args={"model": "small"}, turn=4))
    spending.heed(birth.Budget(args={"model": "tiny"}, turn=3))
    spending.spend(1, 0, "", None)
    assert agent.args == {"model": "small"}
    spending.over(is_timed=False)
    assert agent.args is own


def test_what_a_remedy_varies_stays_varied_over_a_fall_back(journal: Journal) -> None:
    agent, durable = journal.agent, journal.durable
    agent.args = own = {"model": "big", "temperature": 0}
    durable.vary({"temperature": 0.9})
    durable.fall_back({"model": "small"})
    assert agent.args == {"model": "small", "temperature": 0.9}
    durable.committed(None)
    assert agent.args == {"model": "small", "temperature": 0}
    durable.fall_back({})
    assert agent.args is own


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((-1, 0, "", None), "cannot spend -1 tokens_in"),
        ((0, 1.5, "", None), "cannot spend 1.5 tokens_out"),
        ((True, 0, "", None), "cannot spend True tokens_in"),
        ((0, 0, "x" * 201, None), "as the name of a model"),
        ((0, 0, "", float("nan")), "cannot spend nan"),
        ((0, 0, "", -0.1), "cannot spend -0.1"),
    ],
)
def test_nonsense_is_refused(given: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_spent(*given)


def test_names_of_models_are_bounded(journal: Journal) -> None:
    spending = book(journal)
    for number in range(MODELS):
        spending._models[f"m{number}"] = [0, 0]
    with pytest.raises(UsageError, match="name the model, not the call"):
        spending.spend(1, 0, "one more", None)


def test_a_word_of_budgets_reads_as_it_was_written() -> None:
    said = birth.Budget(why="used up", args={"model": "small"}, turn=3, turns=True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(said), type=birth.Budget) == said


class Thrifty(Agent):
    def handle(self, message: Any, ctx: Any) -> None:
        ctx.spend(5, 7, model="big")
        ctx.spend(cost=0.25)


def test_without_a_host_a_test_sees_what_was_spent() -> None:
    with AgentHarness(Thrifty) as agent:
        agent.call()
        assert agent.spent == [(5, 7, "big", None), (0, 0, "", 0.25)]
