"""A turn, in every kind of journal: as a whole or not at all, once, and by its owner alone."""

from __future__ import annotations

import pytest

from agenthost.journal import limits, ops
from agenthost.journal.answers import Accepted, Committed, Leased, Nothing, Rejected, Unsendable
from agenthost.journal.values import Entry
from tests.journal.desk import Desk


def test_everything_of_a_turn_becomes_true_together(desk: Desk) -> None:
    desk.takes(b"ask")
    mail = desk.leased()
    answer = desk.commits(
        mail,
        state=b"state",
        state_version=2,
        sends=(ops.Accept("/b", "/a", b"1"), ops.Accept("/a", "/a", b"2")),
        entries=(Entry("said", b"hello", mail.id, 1), Entry("note", b"x")),
        outcome=b"reply",
        checkpoint="good",
    )
    assert answer.last_seq == 2
    assert [desk.status(one.message) for one in answer.sends] == ["waiting", "waiting"]
    done = desk.read.message(mail.id)
    assert done is not None and (done.status, done.outcome, done.closed_ms) == ("done", b"reply", 1000)
    state = desk.read.state("/a")
    assert state is not None and (state.state, state.state_version, state.seq) == (b"state", 2, 2)
    assert [entry.body for entry in desk.read.log("/a").entries] == [b"hello", b"x"]
    assert [one.name for one in desk.read.checkpoints("/a")] == ["good"]
    assert desk.read.open_count("/b") == 1


def test_a_stale_incarnation_can_write_nothing(desk: Desk) -> None:
    desk.takes(b"ask")
    mail = desk.leased()
    desk.does(ops.Own("/a", (1, 2)))
    assert desk.refuses(desk.turn(mail, state=b"old", entries=(Entry("x", b""),))) == "stale"
    assert desk.refuses(ops.Append("/a", (Entry("x", b""),), (1, 1))) == "stale"
    assert desk.refuses(ops.Intend("/a", (1, 1), mail.id, 1, "c1", "tool")) == "stale"
    assert desk.refuses(ops.Conclude("/a", (1, 1), mail.id, "c1", b"")) == "stale"
    assert desk.refuses(ops.CommitTurn("/a", (1, 1), state=b"old")) == "stale"


def test_a_stale_turn_in_a_batch_fails_alone(desk: Desk) -> None:
    desk.does(ops.Own("/b", (1, 1)))
    stale = ops.CommitTurn("/a", (1, 0), state=b"old")
    good = ops.CommitTurn("/b", (1, 1), state=b"new")
    first, second = desk.store.commit([stale, good], 1)
    assert isinstance(first, Rejected) and not isinstance(second, Rejected)
    assert desk.read.state("/a") is None
    assert desk.read.state("/b") is not None


def test_the_same_turn_again_changes_nothing(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2")
    turn = desk.turn(
        desk.leased(), state=b"s", entries=(Entry("x", b""),), sends=(ops.Accept("/b", "/a", b""),), lease_until_ms=99
    )
    first = desk.asks(turn)
    before = list(desk.read.export())
    assert isinstance(first, Committed) and isinstance(first.next, Leased)
    assert desk.asks(turn) == Committed(first.last_seq, next=first.next, twice=True)
    assert list(desk.read.export()) == before


def test_a_turn_leases_the_next_message_in_the_same_breath(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2")
    following = desk.commits(desk.leased(), lease_until_ms=5).next
    assert isinstance(following, Leased) and (following.mail.body, following.mail.until_ms) == (b"2", 5)
    assert desk.commits(following.mail, lease_until_ms=5).next == Nothing()
    assert desk.commits().next is None


def test_a_turn_that_no_message_began_is_fenced_too(desk: Desk) -> None:
    assert desk.commits(state=b"s").last_seq == 0
    assert desk.refuses(ops.CommitTurn("/nobody", (1, 1), state=b"s")) == "stale"


def test_a_turn_about_somebody_elses_message_is_refused(desk: Desk) -> None:
    desk.does(ops.Own("/b", (1, 1)))
    number = desk.takes(b"1", to="/b")
    desk.leased("/b")
    assert desk.refuses(ops.CommitTurn("/a", (1, 1), number, 1)) == "stale"
    assert desk.refuses(ops.CommitTurn("/b", (1, 1), number, 2)) == "stale"
    assert desk.refuses(ops.CommitTurn("/b", (1, 1), 77, 1)) == "stale"
    desk.does(ops.Park(number, 1, ""))
    assert desk.refuses(ops.CommitTurn("/b", (1, 1), number, 1)) == "stale"


def test_a_turn_whose_send_is_refused_is_not_committed(desk: Desk) -> None:
    desk.takes(b"ask")
    desk.takes(b"full", to="/b")
    mail = desk.leased()
    sends = (ops.Accept("/c", "/a", b"1"), ops.Accept("/b", "/a", b"2", limit=1))
    assert desk.refuses(desk.turn(mail, state=b"s", entries=(Entry("x", b""),), sends=sends)) == "overloaded"
    assert desk.leased() == mail
    assert desk.takes(b"next", to="/c") == 3


def test_a_turn_may_set_aside_what_cannot_be_sent(desk: Desk) -> None:
    desk.does(ops.RemoveSession("/gone"))
    sends = (ops.Accept("/gone", "/a", b"1"), ops.Accept("/b", "/a", b"2"))
    answer = desk.commits(sends=sends, unsendable="dead_letter")
    assert answer.sends == (Unsendable(1, "removed", "cannot send to /gone: it was removed"), Accepted(2))
    (dead,) = desk.read.dead_letters()
    assert [line.what for line in desk.read.history(dead.id)] == ["unsendable"]
    assert desk.refuses(ops.Requeue(dead.id)) == "removed"
    desk.does(ops.Drop(dead.id))


def test_a_turn_that_answers_its_own_mail_has_room_for_one_more(desk: Desk) -> None:
    desk.takes(b"ask")
    mail = desk.leased()
    assert desk.commits(mail, sends=(ops.Accept("/a", "/a", b"", limit=1),)).sends == (Accepted(2),)


def test_sends_of_one_turn_fill_a_mailbox_together(desk: Desk) -> None:
    sends = tuple(ops.Accept("/b", "/a", b"", limit=2) for _ in range(3))
    assert desk.refuses(desk.turn(sends=sends)) == "overloaded"
    assert desk.commits(sends=sends[:2]).sends == (Accepted(1), Accepted(2))


def test_a_state_beyond_the_limit_is_refused_in_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STATE_BYTES", 10)
    answer = desk.asks(desk.turn(state=b"x" * 11))
    assert isinstance(answer, Rejected) and answer.code == "too_large"
    assert "state of 11 bytes" in answer.why and answer.about == "/a"
    desk.commits(state=b"x" * 10)


def test_an_empty_state_is_a_state(desk: Desk) -> None:
    desk.commits(entries=(Entry("x", b""),))
    assert desk.read.state("/a") is None
    desk.commits(state=b"")
    state = desk.read.state("/a")
    assert state is not None and state.state == b""


# ---- tool calls


def test_an_open_intent_tells_that_an_outcome_is_unknown(desk: Desk) -> None:
    desk.takes(b"ask")
    mail = desk.leased()
    desk.does(ops.Intend("/a", (1, 1), mail.id, 1, "c1", "pay", b"args"))
    desk.does(ops.Intend("/a", (1, 1), mail.id, 1, "c2", "look", b"", idempotent=True))
    desk.does(ops.Conclude("/a", (1, 1), mail.id, "c2", b"found"))
    desk.does(ops.Own("/a", (2, 1)))
    desk.leased(incarnation=(2, 1))
    intents = desk.read.intents("/a", mail.id)
    assert [(one.call, one.tool, one.idempotent, one.outcome) for one in intents] == [
        ("c1", "pay", False, None),
        ("c2", "look", True, b"found"),
    ]


def test_the_next_attempt_may_intend_the_same_call(desk: Desk) -> None:
    desk.takes(b"ask")
    mail = desk.leased()
    first = ops.Intend("/a", (1, 1), mail.id, 1, "c1", "pay")
    desk.does(first)
    assert desk.refuses(first) == "conflict"
    desk.does(ops.Release(mail.id, 1, ""))
    desk.leased()
    desk.does(ops.Intend("/a", (1, 1), mail.id, 2, "c1", "pay"))
    desk.does(ops.Conclude("/a", (1, 1), mail.id, "c1", b"paid"))
    assert [(one.attempt, one.outcome) for one in desk.read.intents("/a")] == [(1, None), (2, b"paid")]


def test_the_first_outcome_of_a_call_stays(desk: Desk) -> None:
    desk.does(ops.Intend("/a", (1, 1), 0, 0, "c1", "pay"))
    desk.does(ops.Conclude("/a", (1, 1), 0, "c1", b"paid"))
    desk.does(ops.Conclude("/a", (1, 1), 0, "c1", b"again"))
    assert [one.outcome for one in desk.read.intents("/a")] == [b"paid"]
    assert desk.refuses(ops.Conclude("/a", (1, 1), 0, "c2", b"")) == "unknown"


def test_a_committed_turn_takes_its_intents_with_it(desk: Desk) -> None:
    desk.takes(b"ask")
    mail = desk.leased()
    desk.does(ops.Intend("/a", (1, 1), mail.id, 1, "c1", "pay"))
    desk.does(ops.Intend("/a", (1, 1), 0, 0, "other", "pay"))
    desk.commits(mail)
    assert [one.call for one in desk.read.intents("/a")] == ["other"]
