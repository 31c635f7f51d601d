"""What agents say of their own use is heard with care: no number of theirs hurts anybody else, and nothing that they
say takes away what the host has seen."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agenthost.core.budget.amounts import EXACT, Amounts
from agenthost.core.budget.scope import Scope
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.rungs import Ladder, Retry
from agenthost.journal import meters as journal_meters
from agenthost.journal import ops, usage, words
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.ops import Retention
from agenthost.journal.spender import MODEL_MOST, MODELS
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say
from tests.journal.desk import Desk
from tests.journal.test_clerk import Office, packed
from tests.journal.test_meters import COST, begun, interrupted, spend, take, told, used


def meter(office: Any, number: int, *seen: words.Used) -> None:
    office.host(words.Meter(1000 + number, 1, number, seen))


# ---- numbers


@pytest.mark.parametrize(
    "said",
    [
        say.Spent(2**64 - 1, 0, cost=1.0),
        say.Spent(1, 2**63, cost=1.0),
        say.Spent(-1, 0, cost=1.0),
        say.Spent(1, 0, cost=float("nan"), tool_calls=1),
        say.Spent(1, 0, others=(2**64 - 1, 0)),
        say.Spent(1, 0, models={f"m{number}": (1, 1) for number in range(MODELS + 1)}),
        say.Spent(1, 0, models={"m" * (MODEL_MOST + 1): (1, 1)}),
    ],
)
def test_what_cannot_be_counted_is_as_good_as_not_said_and_others_are_metered(said: say.Spent, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.db")
    try:
        office, party = begun(store=store)
        office.clerk.hear(party, said, office.now_ms)
        office.commit()
        meter(office, 1, words.Used("/a", 1, 0, Amounts(cpu_s=1.0)), words.Used("/b", 2, 0, Amounts(cpu_s=2.0)))
        assert office.orders.did[-1] == 1001
        assert (used(office), used(office, "/b")) == (Amounts(cpu_s=1.0), Amounts(cpu_s=2.0))
        office.clerk.close()
    finally:
        store.close()


def test_sums_end_where_numbers_are_not_exact_any_more(desk: Desk) -> None:
    for _ in range(2):
        desk.does(ops.Charge("/a", Amounts(EXACT, 5, float(EXACT)), message=7))
    assert desk.read.used("/a") == desk.read.used("/") == Amounts(EXACT, 10, float(EXACT))
    assert desk.read.spent(7) == Amounts(EXACT, 10, float(EXACT))


class Refusing(MemoryStore):
    """Whatever says of ``path`` how far it has come breaks it, or all that the host has seen."""

    path = ""
    refuses_host = False

    def commit(self, batch: Any, now_ms: int) -> Any:
        for op in batch:
            told_by_agent = isinstance(op, ops.Charge) and op.spending is not None and op.path == self.path
            if told_by_agent or (self.refuses_host and isinstance(op, ops.Counted)):
                raise OverflowError("a mistake of ours")
        return super().commit(batch, now_ms)


def test_what_an_agent_says_that_the_disk_refuses_takes_nobody_elses_meters_along() -> None:
    store = Refusing()
    office, party = begun(store=store)
    store.path = "/a"
    office.clerk.hear(party, say.Spent(1, 0, cost=1.0), office.now_ms)
    meter(office, 1, words.Used("/a", 1, 0, Amounts(cpu_s=1.0)), words.Used("/b", 2, 0, Amounts(cpu_s=2.0)))
    assert office.orders.did[-1] == 1001 and office.clerk.reader().counted(1) == 1
    assert used(office, "/b").cpu_s == 2.0 and used(office).cpu_s == 1.0


def test_what_the_host_has_seen_is_not_called_done_before_it_is_written() -> None:
    store = Refusing()
    office, _ = begun(store=store)
    store.refuses_host = True
    meter(office, 1, words.Used("/b", 2, 0, Amounts(cpu_s=2.0)))
    assert 1001 not in office.orders.did


def test_large_costs_of_a_message_are_known_once_when_they_are_written() -> None:
    office, party = begun()
    known, chance, cost = office.clerk.meters.usage, random.Random(1), 0.0
    for _ in range(20):
        number = office.send("/a", packed("x")).result["message"]
        before = cost
        for part in range(20):
            cost += chance.uniform(0, 500)
            office.clerk.hear(party, say.Spent(1, number, cost=cost), office.now_ms)
            if part % 3 == 0:
                for outcome in office.writer.try_commit(office.now_ms):
                    outcome.token(outcome.answers, outcome.error)
        office.commit()
        assert known.spent_for(number).cost == pytest.approx(cost - before)
    assert not known._unwritten


# ---- whose turn, whose message


def test_a_turn_that_an_agent_claims_changes_nothing_of_what_the_host_has_seen_of_another() -> None:
    office, party = begun(Scope("/a", "turn", {"wall": 5.0}))
    spend(office, party, 0.0, 10**9)
    meter(office, 1, words.Used("/a", 1, 2, Amounts(wall_s=4.0)))
    spend(office, party, 0.0, 10**9 + 1)
    meter(office, 2, words.Used("/a", 1, 2, Amounts(wall_s=2.0)))
    (said,) = told(office, words.Overspent)
    assert said.turn == 2 and "wall 6 s of 5 s" in said.why
    spend(office, party, 0.0, 3)
    meter(office, 3, words.Used("/a", 1, 3, Amounts(wall_s=5.0)))
    assert [one.turn for one in told(office, words.Overspent)] == [2, 3]


def test_nobody_charges_the_message_of_somebody_else() -> None:
    terms = Terms(ladder=Ladder((Retry(9, 0.001),), 20, 2.5))
    office, party = begun(terms=terms)
    other = office.send("/b", packed("x")).result["message"]
    mine = office.send("/a", packed("x")).result["message"]
    for cost, number in ((50.0, other), (99.0, 777), (100.0, mine)):
        spend(office, party, cost, 1, number)
    reader = office.clerk.reader()
    assert [reader.spent(number).cost for number in (other, 777, mine)] == [0.0, 0.0, 1.0]
    assert used(office).cost == 100.0 and not told(office, words.Overspent)


def test_what_was_spent_for_messages_that_are_gone_is_not_kept(desk: Desk) -> None:
    desk.does(ops.Charge("/a", Amounts(1), message=3))
    number = desk.takes(b"x") + 1
    while desk.takes(b"y") < 5:
        pass
    desk.does(ops.Charge("/a", Amounts(2), message=number))
    first = desk.leased()
    desk.commits(first)
    desk.store.retain(Retention(mail_ms=0), desk.now_ms + 1)
    assert desk.read.spent(first.id) == Amounts() and desk.read.spent(number) == Amounts(2)
    desk.does(ops.Charge("/a", Amounts(1), message=first.id))
    desk.store.retain(Retention(), desk.now_ms + 2)
    assert desk.read.spent(first.id) == Amounts() and desk.read.spent(number) == Amounts(2)


# ---- names that are used again, and too many of them


def test_what_was_not_written_yet_is_nothing_of_who_gets_the_name_next() -> None:
    office, party = begun(Scope("/", "tree", {"cost": 1000.0}), COST)
    for cost in (1.0, 41.0):  # the second gathers behind the first
        office.clerk.hear(party, say.Spent(1, 0, cost=cost), office.now_ms)
    office.orders.hear(words.Clear(9, "/a", "another one"), office.now_ms)
    office.clerk.hear(party, say.Spent(1, 0, cost=42.0), office.now_ms)
    successor = office.own("/a", 2)
    spend(office, successor, 0.5)
    assert used(office).cost == office.clerk.meters.usage.used("/a").cost == 0.5
    assert used(office, "/").cost == office.clerk.meters.usage.used("/").cost == 41.5
    assert not office.clerk.meters.holds("/a")


def test_what_is_said_again_is_counted_once_though_there_are_more_names_than_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage, "REMEMBERED", 4)
    office, _ = begun()
    office.clerk.meters.usage._trim_at = 4
    for n in range(2, 12):
        party = office.own(f"/p{n}", n)
        for _ in range(3):
            spend(office, party, 100.0)
        assert used(office, f"/p{n}").cost == office.clerk.meters.usage.used(f"/p{n}").cost == 100.0
    assert used(office, "/").cost == 1000.0 and len(office.clerk.meters.usage._spenders) <= 4


def test_a_name_that_somebody_asks_for_is_not_remembered() -> None:
    office, _ = begun(Scope("/chats/*", "turn", {"cost": 1.0}))
    for number in range(20):
        office.host(words.Ask(2000 + number, "budgets", {"path": f"/chats/{number}"}))
        assert told(office, words.Answer)[-1].result[-1]["path"] == f"/chats/{number}"
    assert not office.clerk.meters.usage._spenders and not office.clerk.meters.usage._totals


def test_names_of_models_without_a_price_are_told_of_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_meters, "UNPRICED", 3)
    office, party = begun()
    office.clerk.hear(party, say.Spent(1, 0, models={f"odd{n}": (1, 0) for n in range(9)}), office.now_ms)
    assert len(told(office, words.Unpriced)) == 3
    assert office.clerk.meters.usage.used("/a").tokens_in == 9


def test_all_that_is_bounded_is_shown_in_pages() -> None:
    office, _ = begun(*(Scope(f"/a{n:03}", "session", {"cost": 1.0}) for n in range(450)))
    found, after = [], ""
    for page in range(4):
        office.host(words.Ask(3000 + page, "budgets", {"path": "", "after": after}))
        rows = told(office, words.Answer)[-1].result
        if not rows:
            break
        assert len(rows) <= 200
        found += [one["path"] for one in rows]
        after = found[-1]
    assert found == [f"/a{n:03}" for n in range(450)]


# ---- what children of run time bring


def test_what_one_child_brings_along_is_said_of_it_alone_and_taken_back() -> None:
    office, party = begun(COST)
    brought = Scope("/a/w", "session", {"cost": 1.0})
    office.host(words.Brings(40, "/a/w", (brought,)))
    assert office.orders.did[-1] == 40
    child = office.own("/a/w", 2)
    spend(office, child, 1.0)
    assert office.clerk.meters.holds("/a/w") and not office.clerk.meters.holds("/a")
    office.host(words.Brings(41, "/a/w"))
    assert not office.clerk.meters.holds("/a/w") and told(office, words.Budgeted)[-1] == words.Budgeted("/a/w", "")
    spend(office, party, 5.0)
    assert office.clerk.meters.holds("/a"), "the rest stays as it is"


# ---- asking


def parked_for_one_budget(count: int) -> tuple[Any, list[int]]:
    office, _ = begun(Scope("/team", "tree", {"cost": 5.0}, "ask"))
    people = [office.own(f"/team/a{n}", n) for n in range(2, 2 + count)]
    mails = []
    for party in people:
        office.send(party.path, packed("x"))
        mails.append(take(office, party))
    for party, mail in zip(people, mails, strict=True):
        spend(office, party, 6.0 / count, 1, mail.message)
    for party, mail in zip(people, mails, strict=True):
        assert interrupted(office, party, mail).rung == "budget: ask"
    return office, [mail.message for mail in mails]


@pytest.mark.parametrize("at_once", [False, True])
def test_one_budget_asks_once_whatever_waits_because_of_it(at_once: bool) -> None:
    office, numbers = parked_for_one_budget(4)
    office.host(words.Ask(60, "asked", {"prefix": "", "after": 0, "limit": 9}))
    questions = told(office, words.Answer)[-1].result
    assert [one["budget"] for one in questions] == ["cost of /team"] * 4
    for number in numbers:
        word = words.Ask(100 + number, "answer", {"message": number, "yes": True, "text": "", "by": "uid 7"})
        office.orders.hear(word, office.now_ms)
        if not at_once:
            office.commit()
    office.commit()
    assert told(office, words.Granted) == [words.Granted("/team", "cost", 5.0, "uid 7")]
    assert office.clerk.reader().parked() == () and not office.clerk.meters.holds("/team/a2")


# ---- after the end of a journal


@pytest.mark.parametrize(
    ("scope", "rung"),
    [
        (Scope("/a", "turn", {"cost": 2.0}), "budget: dead_letter"),
        (Scope("/a", "turn", {"cost": 2.0}, "ask"), "budget: ask"),
        (replace(COST, bounds={"cost": 2.0}), "budget: dead_letter"),
        (Scope("/a", "turn", {"cost": 200.0}), "budget: retry"),
    ],
)
def test_the_next_journal_knows_why_an_agent_was_killed_for_its_budget(scope: Scope, rung: str) -> None:
    store = MemoryStore()
    terms = Terms(attempts=9)
    office, party = begun(scope, terms=terms, store=store)
    office.send("/a", packed("x"))
    mail = take(office, party)
    spend(office, party, 2.5, 4, mail.message)
    later = Office(store)
    later.clerk.opened(later.now_ms)
    later.host(words.Budgets(1, (scope,)))
    later.host(words.Disown(8, "/a", 1, 1, "killed: used up", terms, Failure("budget")))
    assert told(later, words.Remedied)[-1].rung == rung


def test_what_an_agent_calls_a_budget_is_not_tried_for_ever() -> None:
    office, party = begun(terms=Terms(attempts=3, initial_ms=1, max_ms=2))
    office.send("/a", packed("x"))
    rungs = []
    for _ in range(3):
        rungs.append(interrupted(office, party, take(office, party)).rung)
        office.pass_time(2000)
    assert rungs == ["budget: retry", "budget: retry", "budget: dead_letter"]
