"""What agents use, at the journal: counted once whatever is said again, kept, held against budgets; what follows."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.prices import Price, Prices
from agenthost.core.budget.scope import Scope
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.rungs import Ladder, Retry
from agenthost.errors import UsageError
from agenthost.journal import ops, words
from agenthost.journal.answers import Done, Rejected
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.ops import Retention
from agenthost.journal.party import Party
from agenthost.journal.values import Granted, Metered, Spending
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say
from tests.journal.desk import Desk
from tests.journal.test_clerk import TERMS, Office, packed

EUR = Prices((Price("big", 2.0, 8.0), Price("s*", 1.0, 1.0)), "EUR")
COST = Scope("/a", "session", {"cost": 5.0})


def begun(*scopes: Scope, terms: Terms = TERMS, store: Any = None) -> tuple[Office, Party]:
    office = Office(store)
    office.clerk.opened(office.now_ms)
    office.host(words.Budgets(1, scopes, EUR))
    return office, office.own("/a", 1, terms)


def spend(office: Office, party: Party, cost: float, turn: int = 1, message: int = 0, **more: Any) -> None:
    """``cost`` in all, since its process began."""
    office.clerk.hear(party, say.Spent(turn, message, cost=cost, **more), office.now_ms)
    office.commit()


def told(office: Office, kind: type[Any]) -> list[Any]:
    return [one for one in office.told if isinstance(one, kind)]


def used(office: Office, path: str = "/a") -> Amounts:
    return office.clerk.reader().used(path)


def take(office: Office, party: Party) -> Any:
    return office.ask(party, say.Take(1)).mail


def interrupted(office: Office, party: Party, mail: say.Mail, why: str = "the budget is used up") -> words.Remedied:
    fail = say.Fail(9, mail.message, mail.attempt, why, failure=Failure("budget"))
    assert office.ask(party, fail) == say.Done(9)
    return told(office, words.Remedied)[-1]  # type: ignore[no-any-return]


# ---- the stores


def test_a_charge_counts_at_its_path_and_at_all_above_it(desk: Desk) -> None:
    desk.does(ops.Charge("/a/b", Amounts(1, 2, 0.5), message=7))
    desk.does(ops.Charge("/a", Amounts(cpu_s=1.5), Spending("/a", (1, 2), 3, Amounts(1), b"x")))
    desk.does(ops.Charge("/a/c", Amounts(9), alone=True))
    desk.does(ops.Charge("/a/b", Amounts(1), message=7))
    read = desk.read
    assert read.used("/a/b") == Amounts(2, 2, 0.5)
    assert read.used("/a") == read.used("/") == Amounts(2, 2, 0.5, cpu_s=1.5)
    assert read.used("/nobody") == Amounts()
    assert read.spent(7) == Amounts(2, 2, 0.5) and read.spent(8) == Amounts()
    assert read.spending("/a") == Spending("/a", (1, 2), 3, Amounts(1), b"x") and read.spending("/a/b") is None
    assert read.metered("/a/") == (Metered("/a/b", Amounts(2, 2, 0.5)), Metered("/a/c", Amounts(9)))
    assert [one.path for one in read.metered("", "/a", 1)] == ["/a/b"]


def test_grants_are_listed_with_who_gave_them_and_when(desk: Desk) -> None:
    desk.does(ops.Grant("/a", "cost", 2.0, "uid 7"))
    desk.does(ops.Grant("/a", "cost", 1.0, "uid 8", 5))
    first = Granted("/a", 0, "cost", 2.0, "uid 7", 1000)
    assert desk.read.grants("/a") == (first,)
    assert desk.read.grants("/a", 5) == (first, Granted("/a", 5, "cost", 1.0, "uid 8", 1000))


def test_a_grant_goes_with_the_answer_it_was_given_with_or_not_at_all(desk: Desk) -> None:
    more = ops.Grant("/a", "cost", 2.0, "uid 7")
    assert desk.refuses(ops.Resume(99, "yes", grant=more)) == "unknown"
    desk.takes(b"x")
    mail = desk.leased()
    desk.does(ops.Park(mail.id, 1, "asked"))
    assert desk.asks(ops.Resume(mail.id, "yes", grant=more)) == Done()
    assert isinstance(desk.asks(ops.Resume(mail.id, "yes", grant=more)), Rejected)
    assert len(desk.read.grants("/a")) == 1


def test_words_of_the_host_are_numbered_by_boot(desk: Desk) -> None:
    for boot, number in ((1, 5), (1, 4), (2, 1)):
        desk.does(ops.Counted(boot, number))
    assert [desk.read.counted(boot) for boot in (1, 2, 3)] == [5, 1, 0]


def test_meters_go_with_the_session_and_those_above_stay(desk: Desk) -> None:
    desk.does(ops.Charge("/p/x", Amounts(5), Spending("/p/x", (1, 1))))
    desk.does(ops.Grant("/p/x", "tokens", 9.0, "uid 7"))
    desk.does(ops.RemoveSession("/p/x"))
    assert desk.read.used("/p/x") == Amounts() and desk.read.spending("/p/x") is None and not desk.read.grants("/p/x")
    assert desk.read.used("/p") == Amounts(5)


def test_what_a_message_has_cost_goes_with_the_message(desk: Desk) -> None:
    number = desk.takes(b"x")
    mail = desk.leased()
    desk.does(ops.Charge("/a", Amounts(5), message=number))
    desk.does(ops.Grant("/a", "tokens", 9.0, "uid 7", number))
    desk.commits(mail)
    desk.store.retain(Retention(mail_ms=0), desk.now_ms + 1)
    assert desk.read.spent(number) == Amounts() and not desk.read.grants("/a", number)
    assert desk.read.used("/a") == Amounts(5)


# ---- counting


def test_tokens_are_priced_by_their_model_unless_their_cost_is_said() -> None:
    office, party = begun()
    models = {"big": (1_000_000, 500_000), "small": (200_000, 0)}
    office.clerk.hear(party, say.Spent(1, 0, cost=0.25, others=(10, 5), models=models), office.now_ms)
    office.commit()
    assert used(office) == used(office, "/") == Amounts(1_200_010, 500_005, 2.0 + 4.0 + 0.2 + 0.25)


def test_a_model_without_a_price_is_told_once_and_costs_nothing() -> None:
    office, party = begun()
    for tokens in (5, 9):
        office.clerk.hear(party, say.Spent(1, 0, models={"odd": (tokens, 0)}), office.now_ms)
        office.commit()
    assert told(office, words.Unpriced) == [words.Unpriced("/a", "odd")]
    assert used(office) == Amounts(9)


def test_what_is_said_again_is_counted_once_by_this_journal_and_the_next() -> None:
    store = MemoryStore()
    office, party = begun(store=store)
    for cost in (1.0, 1.0, 3.0):
        spend(office, party, cost)
    assert used(office).cost == 3.0
    office, party = begun(store=store)
    spend(office, party, 3.0)
    spend(office, party, 3.5)
    assert used(office).cost == 3.5
    party = office.own("/a", 2)  # its successor begins anew
    spend(office, party, 1.0)
    assert used(office).cost == 4.5


def test_what_comes_while_the_disk_is_busy_is_written_with_the_next_commit() -> None:
    office, party = begun()
    number = office.send("/a", packed("x")).result["message"]
    for cost in range(1, 50):
        office.clerk.hear(party, say.Spent(1, number, cost=float(cost)), office.now_ms)
    assert office.writer.waiting <= 2
    assert office.clerk.meters.usage.used("/a").cost == 49.0, "decided by what is not written yet"
    assert office.clerk.meters.usage.spent_for(number).cost == 49.0
    office.commit()
    assert used(office).cost == 49.0 and office.clerk.reader().spent(number).cost == 49.0
    assert office.clerk.meters.usage.spent_for(number).cost == 49.0


def test_an_agent_is_not_believed_to_shrink_nor_to_say_nonsense() -> None:
    office, party = begun()
    for cost in (5.0, 1.0, float("nan"), float("inf"), -3.0):
        spend(office, party, cost, tool_calls=int(cost) if cost < 10 else 0)
    assert used(office).cost <= 13.0 and used(office).cost == used(office).cost


def test_the_host_is_counted_once_whatever_it_says_again() -> None:
    store = MemoryStore()
    office, party = begun(store=store)
    spend(office, party, 1.0)
    seen = words.Used("/a", 1, 1, Amounts(cpu_s=2.0, processes=1))
    for number in (1, 1, 2, 1):
        office.host(words.Meter(number + 10, 1, number, (seen,)))
    assert used(office) == Amounts(cost=1.0, cpu_s=4.0, processes=2)
    office, party = begun(store=store)
    office.host(words.Meter(12, 1, 2, (seen,)))
    office.host(words.Meter(13, 1, 3, (seen,)))
    assert used(office).cpu_s == 6.0 and used(office).cost == 1.0
    assert office.orders.did[-2:] == [12, 13]


def test_what_the_host_has_seen_before_the_database_was_open_is_counted_then() -> None:
    office = Office()
    office.host(words.Meter(5, 1, 1, (words.Used("/a", 1, 0, Amounts(cpu_s=2.0)),)))
    assert 5 not in office.orders.did
    office.clerk.opened(office.now_ms)
    office.commit()
    assert used(office).cpu_s == 2.0 and 5 in office.orders.did


# ---- what follows


def test_at_the_limit_the_host_is_told_and_no_mail_is_handed_out_before_more_is_granted() -> None:
    office, party = begun(COST)
    for body in ("one", "two"):
        office.send("/a", packed(body))
    mail = take(office, party)
    spend(office, party, 5.5, 3, mail.message)
    why = "the budget of /a is used up: cost 5.50 of 5 EUR"
    assert told(office, words.Budgeted) == [words.Budgeted("/a", "stopped", why, {}, "/a", 1, 1, 3)]
    said = interrupted(office, party, mail, why)
    assert (said.rung, said.reason) == ("budget: dead_letter", why)
    letters = office.clerk.reader().dead_letters()
    assert [one.id for one in letters] == [mail.message]
    assert take(office, party) is None
    party.out.clear()
    office.told.clear()
    grant = words.Ask(50, "grant", {"path": "/a", "meter": "cost", "amount": 5.0, "by": "uid 7"})
    office.host(grant)
    assert told(office, words.Budgeted) == [words.Budgeted("/a", "")]
    assert told(office, words.Granted) == [words.Granted("/a", "cost", 5.0, "uid 7")]
    assert party.out == [say.Waiting()]
    assert take(office, party).body == packed("two")


def test_a_commit_does_not_take_the_next_message_where_nothing_may_begin() -> None:
    office, party = begun(COST)
    for body in ("one", "two"):
        office.send("/a", packed(body))
    mail = take(office, party)
    office.clerk.hear(party, say.Spent(1, mail.message, cost=5.0), office.now_ms)
    answer = office.ask(party, say.Commit(5, mail.message, 1, take=True))
    assert answer == say.Leased(5), "its own work was done, and counts"
    assert office.clerk.reader().open_count("/a") == 1


def test_nobody_is_woken_for_mail_that_may_not_be_handled() -> None:
    office, party = begun(Scope("/", "tree", {"cost": 5.0}))
    spend(office, party, 5.0)
    office.send("/b", packed("x"))
    assert not told(office, words.Waits)
    office.host(words.Budgets(2, (Scope("/", "tree", {"cost": 50.0}),), EUR))
    assert told(office, words.Waits) == [words.Waits("/b")]


def test_the_sum_below_a_supervisor_stops_all_below_it() -> None:
    office, _ = begun(Scope("/team", "tree", {"cost": 5.0}))
    one, two, other = office.own("/team/one", 2), office.own("/team/two", 3), office.own("/other", 4)
    spend(office, one, 3.0)
    spend(office, two, 1.9)
    spend(office, other, 99.0)
    assert not told(office, words.Budgeted)
    spend(office, two, 2.0)
    (said,) = told(office, words.Budgeted)
    assert (said.path, said.state, said.by) == ("/team", "stopped", "/team/two")
    holds = office.clerk.meters.holds
    assert holds("/team/one") and holds("/team/new/helper") and not holds("/other") and not holds("/teams")


def test_each_member_of_a_pool_has_a_session_and_all_of_them_are_one_agent() -> None:
    members = Scope("/chats/*", "session", {"cost": 2.0}), Scope("/chats", "agent", {"cost": 5.0})
    office, _ = begun(*members)
    people = [office.own(f"/chats/{name}", n) for n, name in enumerate(("ana", "bob", "cyd"), 2)]
    spend(office, people[0], 2.0)
    assert [one.path for one in told(office, words.Budgeted)] == ["/chats/ana"]
    assert office.clerk.meters.holds("/chats/ana") and not office.clerk.meters.holds("/chats/bob")
    spend(office, people[1], 1.9)
    spend(office, people[2], 1.9)
    assert [one.path for one in told(office, words.Budgeted)] == ["/chats/ana", "/chats"]
    assert office.clerk.meters.holds("/chats/dan")


def test_a_member_that_slept_is_held_by_what_it_had_used() -> None:
    store = MemoryStore()
    scope = Scope("/chats/*", "session", {"cost": 2.0})
    office, _ = begun(scope, store=store)
    spend(office, office.own("/chats/ana", 2), 2.0)
    office, _ = begun(scope, store=store)
    office.send("/chats/ana", packed("x"))
    assert not told(office, words.Waits)
    office.host(words.Meter(9, 2, 1, (words.Used("/chats/ana", 5, 0, Amounts()),)))
    assert told(office, words.Budgeted)[-1].path == "/chats/ana", "said anew to a host that has begun anew"


def test_who_asks_lets_the_message_wait_and_yes_grants_as_much_again() -> None:
    office, party = begun(replace(COST, at_limit="ask"))
    office.send("/a", packed("x"))
    mail = take(office, party)
    spend(office, party, 6.0, 1, mail.message)
    assert interrupted(office, party, mail, "used up").rung == "budget: ask"
    (parked,) = office.clerk.reader().parked()
    office.host(words.Ask(60, "asked", {"prefix": "", "after": 0, "limit": 9}))
    (question,) = told(office, words.Answer)[-1].result
    assert question["question"] == "used up; go on with as much again?" and parked.id == mail.message
    assert take(office, party) is None
    office.host(words.Ask(61, "answer", {"message": mail.message, "yes": True, "text": "", "by": "uid 7"}))
    assert told(office, words.Granted) == [words.Granted("/a", "cost", 5.0, "uid 7")]
    again = take(office, party)
    assert (again.message, again.attempt, again.remedy.answer) == (mail.message, 2, "yes")
    spend(office, party, 9.9, 2, mail.message)
    assert told(office, words.Budgeted)[-1].state == ""


def test_no_is_the_end_of_the_message_and_the_budget_stays_used_up() -> None:
    office, party = begun(replace(COST, at_limit="ask"))
    office.send("/a", packed("x"))
    mail = take(office, party)
    spend(office, party, 6.0, 1, mail.message)
    interrupted(office, party, mail)
    office.host(words.Ask(61, "answer", {"message": mail.message, "yes": False, "text": "too dear", "by": "uid 7"}))
    assert [one.id for one in office.clerk.reader().dead_letters()] == [mail.message]
    assert office.clerk.meters.holds("/a") and not told(office, words.Granted)


def test_a_fall_back_gives_other_args_and_stops_at_twice_the_bound() -> None:
    office, party = begun(replace(COST, at_limit="fall_back", args={"model": "small"}))
    spend(office, party, 5.0)
    assert told(office, words.Budgeted)[-1].args == {"model": "small"}
    assert told(office, words.Budgeted)[-1].state == "falls_back" and not office.clerk.meters.holds("/a")
    spend(office, party, 10.0)
    assert told(office, words.Budgeted)[-1].state == "stopped" and office.clerk.meters.holds("/a")


# ---- turns and messages


def test_the_budget_of_a_turn_begins_anew_with_each_turn() -> None:
    office, party = begun(Scope("/a", "turn", {"cost": 2.0}))
    for turn, cost in ((1, 1.9), (2, 3.8), (3, 5.7)):
        spend(office, party, cost, turn)
    assert not told(office, words.Overspent)
    spend(office, party, 5.8, 3)
    why = "the budget of a turn of /a is used up: cost 2 of 2 EUR"
    assert told(office, words.Overspent) == [words.Overspent("/a", 1, 1, 3, why)]
    spend(office, party, 5.9, 3)
    assert len(told(office, words.Overspent)) == 1 and not office.clerk.meters.holds("/a")


def test_the_turn_in_hand_goes_on_counting_with_the_next_journal() -> None:
    store, scope = MemoryStore(), Scope("/a", "turn", {"cost": 2.0, "cpu": 5.0})
    office, party = begun(scope, store=store)
    spend(office, party, 1.5, 4)
    office.host(words.Meter(5, 1, 1, (words.Used("/a", 1, 4, Amounts(cpu_s=4.0)),)))
    office, party = begun(scope, store=store)
    spend(office, party, 1.5, 4)
    office.host(words.Meter(6, 1, 2, (words.Used("/a", 1, 4, Amounts(cpu_s=1.0)),)))
    (said,) = told(office, words.Overspent)
    assert "cpu 5 s of 5 s" in said.why
    assert office.clerk.meters.usage.spender("/a").latest() == Amounts(cost=1.5, cpu_s=5.0)


def test_what_the_host_counts_before_it_knows_of_the_turn_is_the_turns() -> None:
    office, party = begun(Scope("/a", "turn", {"processes": 2.0}))
    spend(office, party, 0.0, 7)
    for number in (1, 2, 3):
        office.host(words.Meter(number + 4, 1, number, (words.Used("/a", 1, words.IN_HAND, Amounts(processes=1)),)))
    (said,) = told(office, words.Overspent)
    assert said.turn == 7 and "processes 3 of 2" in said.why


def test_more_for_a_turn_is_for_that_message_alone() -> None:
    office, party = begun(Scope("/a", "turn", {"cost": 2.0}, "ask"))
    office.send("/a", packed("one"))
    mail = take(office, party)
    spend(office, party, 2.0, 1, mail.message)
    assert interrupted(office, party, mail).rung == "budget: ask"
    office.host(words.Ask(61, "answer", {"message": mail.message, "yes": True, "text": "", "by": "uid 7"}))
    assert told(office, words.Granted) == [words.Granted("/a", "cost", 2.0, "uid 7", mail.message)]
    again = take(office, party)
    office.told.clear()
    spend(office, party, 5.9, 2, again.message)
    assert not told(office, words.Overspent), "3.9 of 4"
    office.ask(party, say.Commit(8, again.message, again.attempt))
    spend(office, party, 7.9, 3, again.message + 1)
    assert [one.turn for one in told(office, words.Overspent)] == [3]


def test_a_turn_falls_back_by_itself_and_is_ended_at_twice_its_bound() -> None:
    office, party = begun(Scope("/a", "turn", {"cost": 2.0}, "fall_back", {"model": "small"}))
    spend(office, party, 2.0, 1)
    spend(office, party, 3.0, 1)
    spend(office, party, 4.0, 1)
    assert [one.args for one in told(office, words.Overspent)] == [{"model": "small"}, {}]


def test_a_message_costs_no_more_than_its_ladder_allows_over_all_attempts() -> None:
    terms = Terms(ladder=Ladder((Retry(9, 0.001),), 20, 2.5))
    office, party = begun(terms=terms)
    office.send("/a", packed("x"))
    cost = 0.0
    for attempt in (1, 2):
        mail = take(office, party)
        cost += 1.0
        spend(office, party, cost, attempt, mail.message)
        fail = say.Fail(9, mail.message, attempt, "no good", failure=Failure("error", "x"))
        assert office.ask(party, fail) == say.Done(9)
        assert told(office, words.Remedied)[-1].rung.startswith("retry")
        office.pass_time(10)
    mail = take(office, party)
    spend(office, party, 3.0, 3, mail.message)
    (said,) = told(office, words.Overspent)
    assert said.why == "the budget of a message for /a is used up: cost 3 of 2.50 EUR"
    assert interrupted(office, party, mail, said.why).rung == "budget: dead_letter"


def test_the_ladder_heeds_what_was_said_just_before_the_failure() -> None:
    terms = Terms(ladder=Ladder((Retry(9, 0.001),), 20, 0.5))
    office, party = begun(terms=terms)
    office.send("/a", packed("x"))
    mail = take(office, party)
    office.clerk.hear(party, say.Spent(1, mail.message, cost=0.5), office.now_ms)
    fail = say.Fail(9, mail.message, 1, "no good", failure=Failure("error", "x"))
    assert office.ask(party, fail) == say.Done(9)
    said = told(office, words.Remedied)[-1]
    assert said.rung == "dead_letter" and "it has cost 0.5 of at most 0.5" in said.why


def test_a_process_that_did_not_come_back_is_no_other_case() -> None:
    office, party = begun(COST)
    office.send("/a", packed("x"))
    mail = take(office, party)
    spend(office, party, 5.0, 1, mail.message)
    office.host(words.Disown(8, "/a", 1, 1, "killed: used up", TERMS, Failure("budget")))
    assert [one.id for one in office.clerk.reader().dead_letters()] == [mail.message]


def test_what_was_granted_meanwhile_lets_the_message_be_tried_again() -> None:
    office, party = begun(COST)
    office.send("/a", packed("x"))
    mail = take(office, party)
    spend(office, party, 5.0, 1, mail.message)
    office.host(words.Ask(50, "grant", {"path": "/a", "meter": "cost", "amount": 5.0, "by": "uid 7"}))
    assert interrupted(office, party, mail).rung == "budget: retry"


# ---- granting and looking


def test_only_what_is_bounded_can_be_granted() -> None:
    office, _ = begun(COST, Scope("/", "tree", {"cpu": 60.0}))
    meters = office.clerk.meters
    with pytest.raises(
        UsageError, match="cannot grant cpu to /a: its budgets are of cost; those that hold for it are at /"
    ):
        meters.grant("/a", "cpu", 1.0, "uid 7")
    with pytest.raises(UsageError, match="/b: it has no budget of its own"):
        meters.grant("/b", "cost", 1.0, "uid 7")


def test_a_sheet_has_the_bounds_what_is_used_of_them_and_who_granted() -> None:
    office, party = begun(COST, Scope("/", "tree", {"cpu": 60.0}))
    spend(office, party, 5.0)
    office.host(words.Ask(50, "grant", {"path": "/a", "meter": "cost", "amount": 5.0, "by": "uid 7"}))
    office.host(words.Ask(51, "budgets", {"path": "/a/helper"}))
    top, mine, helper = told(office, words.Answer)[-1].result
    assert [one["path"] for one in (top, mine, helper)] == ["/", "/a", "/a/helper"]
    (bound,) = mine["bounds"]
    assert (bound["used"], bound["of"], bound["granted"], bound["state"]) == (5.0, 10.0, 5.0, "")
    assert mine["grants"][0]["by"] == "uid 7" and helper["bounds"] == []
    assert top["used"]["cost"] == 5.0 and top["currency"] == "EUR"
    office.host(words.Ask(52, "budgets", {"path": "/", "below": True, "after": ""}))
    assert [one["path"] for one in told(office, words.Answer)[-1].result] == ["/", "/a"]
    office.host(words.Ask(53, "budgets", {"path": "/", "below": True, "after": "/a"}))
    assert told(office, words.Answer)[-1].result == []


def test_who_gets_a_name_next_begins_with_nothing_used() -> None:
    office, party = begun(COST)
    spend(office, party, 5.0)
    office.host(words.Clear(9, "/a", "another one"))
    assert told(office, words.Budgeted)[-1] == words.Budgeted("/a", "")
    party = office.own("/a", 2)
    spend(office, party, 4.9)
    assert not office.clerk.meters.holds("/a") and used(office).cost == 4.9 and used(office, "/").cost == 9.9
