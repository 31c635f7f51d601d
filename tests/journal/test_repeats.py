"""What an agent has counted of what it repeats is kept for the next incarnation, which alone is told of it, once."""

from __future__ import annotations

from typing import Any

import pytest

from agenthost.journal import ops
from agenthost.journal.limits import REPEATS_BYTES
from agenthost.journal.party import Party
from agenthost.protocol import mail as say
from tests.journal.test_clerk import Office, packed


def take(office: Office, party: Party) -> say.Leased:
    office.pass_time(10)
    leased: say.Leased = office.ask(party, say.Take(1))
    return leased


def begun(messages: int = 3) -> tuple[Office, Party]:
    office = Office()
    party = office.own("/a", 1)
    for number in range(messages):
        office.send("/a", packed(number))
    return office, party


def commit(office: Office, party: Party, one: say.Mail | None, **more: Any) -> Any:
    assert one is not None
    return office.ask(party, say.Commit(2, one.message, one.attempt, **more))


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_told_with_the_end_of_a_turn_is_the_next_incarnations(fails: bool) -> None:
    office, party = begun()
    first = take(office, party)
    assert (first.mail is not None, first.loops) == (True, b"")
    assert first.mail is not None
    if fails:
        office.ask(party, say.Fail(3, first.mail.message, first.mail.attempt, "no", loops=b"counted"))
    else:
        commit(office, party, first.mail, loops=b"counted")
    assert take(office, party).loops == b"", "it has said so itself"
    fresh = office.own("/a", 2)
    leased = take(office, fresh)
    assert (leased.mail is not None, leased.loops) == (True, b"counted")
    following = commit(office, fresh, leased.mail, take=True)
    assert (following.mail is not None, following.loops) == (True, b"")


def test_nil_changes_nothing_and_nothing_is_forgotten_where_nothing_was_counted() -> None:
    office, party = begun()
    commit(office, party, take(office, party).mail, loops=b"counted")
    commit(office, party, take(office, party).mail)
    assert office.clerk.reader().repeats("/a") == b"counted"
    commit(office, party, take(office, party).mail, loops=b"")
    assert office.clerk.reader().repeats("/a") == b""


def test_an_older_incarnation_counts_nothing_any_more() -> None:
    office, party = begun()
    leased = take(office, party)
    office.own("/a", 2)
    refused = commit(office, party, leased.mail, loops=b"late")
    assert (refused.code, office.clerk.reader().repeats("/a")) == (say.STALE, b"")


# ---- in a store


def test_it_is_kept_with_the_session_and_goes_with_it(desk: Any) -> None:
    desk.does(ops.Repeated("/a", (1, 1), b"one"))
    desk.does(ops.Repeated("/a", (1, 1), b"two"))
    assert (desk.read.repeats("/a"), desk.read.repeats("/b")) == (b"two", b"")
    assert [one.counts for one in desk.read.export() if type(one).__name__ == "Repeats"] == [b"two"]
    assert desk.refuses(ops.Repeated("/a", (1, 2), b"three")) == "stale"
    assert desk.refuses(ops.Repeated("/a", (1, 1), bytes(REPEATS_BYTES + 1))) == "too_large"
    desk.commits(state=b"s")
    desk.does(ops.RemoveSession("/a"))
    assert desk.refuses(ops.Repeated("/a", (1, 1), b"four")) == "removed"
    desk.does(ops.Revive("/a"))
    assert desk.read.repeats("/a") == b""


def test_it_goes_with_a_session_that_ended_long_ago(desk: Any) -> None:
    desk.commits(state=b"s")
    desk.does(ops.Repeated("/a", (1, 1), b"one"))
    desk.does(ops.EndSession("/a"))
    desk.store.retain(ops.Retention(ended_ms=1), desk.now_ms + 1000)
    assert (desk.read.session("/a"), desk.read.repeats("/a")) == (None, b"")
