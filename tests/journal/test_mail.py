"""Mail, in every kind of journal: taken once, leased in order, held back by lane, set aside with its history."""

from __future__ import annotations

import pytest

from agenthost.journal import limits, ops
from agenthost.journal.answers import Accepted, Rejected, Ripened
from tests.journal.desk import Desk

# ---- taking


def test_a_message_is_kept_as_it_was_sent(desk: Desk) -> None:
    number = desk.takes(b"\x00body", sender="/s", session="s1", key="k", meta=b"m")
    mail = desk.read.message(number)
    assert mail is not None
    assert (mail.receiver, mail.sender, mail.session, mail.body, mail.meta) == ("/a", "/s", "s1", b"\x00body", b"m")
    assert (mail.key, mail.status, mail.attempt, mail.accepted_ms) == ("k", "waiting", 0, 1000)
    assert desk.read.by_key("/s", "k") == mail


def test_the_same_key_of_the_same_sender_is_taken_once(desk: Desk) -> None:
    first = desk.asks(ops.Accept("/a", "/s", b"1", key="k"))
    assert first == Accepted(1)
    assert desk.asks(ops.Accept("/a", "/s", b"again", key="k")) == Accepted(1, twice=True)
    assert desk.asks(ops.Accept("/a", "/other", b"2", key="k")) == Accepted(2)
    assert desk.handles() == b"1"
    assert desk.asks(ops.Accept("/a", "/s", b"late", key="k")) == Accepted(1, twice=True)
    assert [mail.body for mail in desk.read.mailbox("/a")] == [b"2"]


def test_a_key_holds_within_one_batch(desk: Desk) -> None:
    one = ops.Accept("/a", "/s", b"", key="k")
    assert desk.store.commit([one, one], 1) == [Accepted(1), Accepted(1, twice=True)]


def test_a_full_mailbox_refuses(desk: Desk) -> None:
    for n in range(3):
        desk.takes(bytes([n]), limit=3)
    assert desk.refuses(ops.Accept("/a", "/s", b"x", limit=3)) == "overloaded"
    desk.handles()
    desk.takes(b"x", limit=3)


def test_a_full_mailbox_drops_its_oldest_but_never_what_is_leased(desk: Desk) -> None:
    numbers = [desk.takes(bytes([n])) for n in range(3)]
    desk.leased()
    answer = desk.asks(ops.Accept("/a", "/s", b"x", limit=3, when_full="drop_oldest"))
    assert answer == Accepted(4, dropped=(numbers[1],))
    assert desk.status(numbers[1]) == "dropped"
    assert [line.what for line in desk.read.history(numbers[1])] == ["dropped"]
    assert [mail.id for mail in desk.read.mailbox("/a")] == [numbers[0], numbers[2], 4]


def test_a_full_mailbox_whose_only_message_is_leased_cannot_drop_it(desk: Desk) -> None:
    desk.takes()
    desk.leased()
    assert desk.refuses(ops.Accept("/a", "/s", b"x", limit=1, when_full="drop_oldest")) == "overloaded"


def test_a_mailbox_may_spill(desk: Desk) -> None:
    desk.takes()
    assert desk.asks(ops.Accept("/a", "/s", b"x", limit=1, when_full="spill")) == Accepted(2, spilled=True)
    assert desk.read.open_count("/a") == 2


def test_what_is_too_large_is_refused_and_says_how_large_it_may_be(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_BYTES", 100)
    answer = desk.asks(ops.Accept("/a", "/s", b"x" * 101))
    assert isinstance(answer, Rejected) and answer.code == "too_large" and "the limit is 100" in answer.why
    assert desk.refuses(ops.Accept("/a" * 1000, "/s", b"x")) == "too_large"
    desk.takes(b"x" * 100)


# ---- leasing and order


def test_a_sender_is_heard_in_order(desk: Desk) -> None:
    for n in range(5):
        desk.takes(bytes([n]))
    assert [desk.handles() for _ in range(6)] == [b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", None]


def test_a_lease_counts_attempts_and_names_its_holder(desk: Desk) -> None:
    desk.takes(b"x")
    mail = desk.leased()
    assert (mail.status, mail.attempt, mail.incarnation, mail.until_ms) == ("leased", 1, (1, 1), 61_000)
    desk.does(ops.Release(mail.id, 1, "crashed"))
    assert desk.leased().attempt == 2
    assert [(line.attempt, line.what, line.reason) for line in desk.read.history(mail.id)] == [
        (1, "released", "crashed")
    ]


def test_who_holds_a_message_gets_the_same_again(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2", sender="/t")
    first = desk.leased()
    desk.now_ms += 5
    assert desk.leased() == first
    assert desk.read.held("/a") == first


def test_only_the_owner_may_lease(desk: Desk) -> None:
    desk.takes()
    assert desk.refuses(ops.Lease("/a", (1, 0), 1)) == "stale"
    assert desk.refuses(ops.Lease("/a", (1, 2), 1)) == "stale"
    assert desk.refuses(ops.Lease("/nobody", (1, 1), 1)) == "stale"


def test_a_newer_owner_takes_over_what_was_leased(desk: Desk) -> None:
    desk.takes(b"x")
    old = desk.leased()
    desk.does(ops.Own("/a", (1, 2)))
    assert desk.refuses(desk.turn(old)) == "stale"
    assert desk.refuses(ops.Own("/a", (1, 1))) == "stale"
    desk.does(ops.Own("/a", (1, 2)))
    again = desk.leased(incarnation=(1, 2))
    assert (again.id, again.attempt) == (old.id, 2)
    assert [(line.attempt, line.what) for line in desk.read.history(old.id)] == [(1, "lost")]
    assert desk.read.owner("/a") == (1, 2)


def test_a_later_boot_is_newer_than_any_incarnation_before(desk: Desk) -> None:
    desk.does(ops.Own("/a", (1, 99)))
    desk.does(ops.Own("/a", (2, 1)))
    assert desk.refuses(ops.Own("/a", (1, 100))) == "stale"


def test_a_lease_does_not_end_by_the_clock(desk: Desk) -> None:
    desk.takes(b"x")
    mail = desk.leased()
    assert desk.read.overdue(mail.until_ms - 1) == ()
    desk.now_ms = mail.until_ms + 1
    assert [late.id for late in desk.read.overdue(desk.now_ms)] == [mail.id]
    assert desk.leased() == mail
    assert desk.read.holders() == ("/a",)
    assert desk.read.holders("/a") == ()
    desk.commits(mail)
    assert desk.read.overdue(desk.now_ms) == ()
    assert desk.read.holders() == ()


def test_a_holder_may_ask_for_more_time(desk: Desk) -> None:
    desk.takes(b"x")
    mail = desk.leased()
    desk.does(ops.Extend("/a", (1, 1), mail.id, 1, 99_000))
    assert desk.read.overdue(98_999) == ()
    assert desk.refuses(ops.Extend("/a", (1, 1), mail.id, 2, 1)) == "stale"
    assert desk.refuses(ops.Extend("/a", (1, 0), mail.id, 1, 1)) == "stale"


def test_what_backs_off_holds_back_its_own_sender_alone(desk: Desk) -> None:
    desk.takes(b"s1", sender="/s")
    desk.takes(b"s2", sender="/s")
    desk.takes(b"t1", sender="/t")
    desk.does(ops.BackOff(desk.leased().id, 1, 5000, "model is down"))
    assert [desk.handles(), desk.handles()] == [b"t1", None]
    desk.now_ms = 5000
    assert desk.asks(ops.Ripen()) == Ripened(("/a",))
    assert [desk.handles(), desk.handles(), desk.handles()] == [b"s1", b"s2", None]


def test_with_sessions_a_lane_is_a_session_whoever_sends(desk: Desk) -> None:
    desk.takes(b"1", sender="/s", session="ana")
    desk.takes(b"2", sender="/t", session="ana")
    desk.takes(b"3", sender="/s", session="bob")
    desk.does(ops.Park(desk.leased().id, 1, "needs a person"))
    assert [desk.handles(), desk.handles()] == [b"3", None]
    desk.does(ops.Requeue(1, "approved"))
    assert [desk.handles(), desk.handles()] == [b"1", b"2"]


def test_a_session_named_like_a_sender_is_another_lane(desk: Desk) -> None:
    desk.takes(b"1", sender="/s")
    desk.takes(b"2", sender="/t", session="/s")
    desk.does(ops.Park(desk.leased().id, 1, ""))
    assert desk.handles() == b"2"


def test_a_dead_letter_lets_its_lane_go_on_and_keeps_its_history(desk: Desk) -> None:
    desk.takes(b"poison")
    desk.takes(b"2")
    desk.does(ops.Release(desk.leased().id, 1, "crash: KeyError"))
    desk.does(ops.DeadLetter(desk.leased().id, 2, "the ladder is at its end"))
    assert desk.handles() == b"2"
    (dead,) = desk.read.dead_letters()
    assert (dead.body, dead.attempt, dead.closed_ms) == (b"poison", 2, 1000)
    assert [line.what for line in desk.read.history(dead.id)] == ["released", "dead_letter"]
    assert desk.read.dead_letters("/other") == ()
    assert desk.read.dead_letters("/a", after=dead.id) == ()


def test_a_requeued_dead_letter_goes_to_the_end_of_its_lane(desk: Desk) -> None:
    desk.takes(b"1")
    desk.does(ops.DeadLetter(desk.leased().id, 1, ""))
    desk.takes(b"2")
    desk.does(ops.Requeue(1))
    assert [desk.handles(), desk.handles()] == [b"2", b"1"]


def test_a_word_on_an_attempt_that_is_over_is_stale(desk: Desk) -> None:
    desk.takes(b"1")
    desk.does(ops.Release(desk.leased().id, 1, ""))
    desk.leased()
    for op in (ops.Release(1, 1, ""), ops.BackOff(1, 1, 9, ""), ops.Park(1, 1, ""), ops.DeadLetter(1, 1, "")):
        assert desk.refuses(op) == "stale"
    assert desk.refuses(ops.Park(77, 1, "")) == "stale"


def test_a_dropped_message_is_never_handled(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2")
    desk.does(ops.Drop(1, "not wanted"))
    assert [desk.handles(), desk.handles()] == [b"2", None]
    assert desk.refuses(ops.Drop(1)) == "conflict"
    assert desk.refuses(ops.Drop(2)) == "conflict"
    assert desk.refuses(ops.Drop(3)) == "unknown"
    assert desk.refuses(ops.Requeue(3)) == "unknown"
    assert desk.refuses(ops.Requeue(1)) == "conflict"


def test_what_is_leased_cannot_be_dropped(desk: Desk) -> None:
    desk.takes(b"1")
    desk.leased()
    assert desk.refuses(ops.Drop(1)) == "conflict"


def test_the_mail_of_who_is_gone_for_good_is_set_aside(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2", sender="/t", due_ms=9000)
    desk.takes(b"3", to="/b")
    desk.leased()
    desk.does(ops.Strand("/a", "the name is used again"))
    assert [(one.body, one.attempt) for one in desk.read.dead_letters()] == [(b"1", 1), (b"2", 0)]
    assert [line.what for line in desk.read.history(1)] == ["stranded"]
    assert desk.read.mailboxes() == (("/b", 1),) and desk.read.next_due_ms() == 0
    desk.does(ops.RemoveSession("/a"))
    desk.does(ops.Revive("/a"))
    desk.does(ops.Requeue(1))
    assert [desk.handles(), desk.handles()] == [b"1", None]


def test_several_lanes_are_served_in_the_order_of_arrival(desk: Desk) -> None:
    for n in range(9):
        desk.takes(bytes([n]), sender=f"/s{n % 3}")
    assert [desk.handles() for _ in range(9)] == [bytes([n]) for n in range(9)]


# ---- later


def test_a_delayed_message_enters_its_lane_when_it_is_due(desk: Desk) -> None:
    desk.takes(b"later", due_ms=5000)
    desk.takes(b"now")
    assert desk.read.next_due_ms() == 5000
    assert desk.asks(ops.Ripen()) == Ripened(())
    assert [desk.handles(), desk.handles()] == [b"now", None]
    desk.now_ms = 5001
    desk.takes(b"newer")
    assert desk.asks(ops.Ripen()) == Ripened(("/a",))
    assert desk.read.next_due_ms() == 0
    assert [desk.handles(), desk.handles()] == [b"newer", b"later"]


def test_what_ripens_does_so_in_pages_in_the_order_it_is_due(desk: Desk) -> None:
    for n, due_ms in enumerate((5003, 5001, 5002)):
        desk.takes(bytes([n]), due_ms=due_ms)
    desk.now_ms = 6000
    assert desk.asks(ops.Ripen(limit=2)) == Ripened(("/a",), more=True)
    assert desk.asks(ops.Ripen(limit=2)) == Ripened(("/a",))
    assert [desk.handles() for _ in range(3)] == [b"\x01", b"\x02", b"\x00"]


def test_a_delayed_message_counts_in_its_mailbox(desk: Desk) -> None:
    desk.takes(b"later", due_ms=5000)
    assert desk.refuses(ops.Accept("/a", "/s", b"", limit=1)) == "overloaded"


def test_a_periodic_message_is_sent_once_for_each_time(desk: Desk) -> None:
    desk.does(ops.Schedule("nightly", "/a", "/cron", "0 3 * * *", b"go", 5000))
    assert [cron.due_ms for cron in desk.read.crons()] == [5000]
    assert desk.asks(ops.Fire("nightly", 5000, 9000)) == Accepted(1)
    assert desk.refuses(ops.Fire("nightly", 5000, 9000)) == "stale"
    assert desk.asks(ops.Fire("nightly", 9000, 0)) == Accepted(2)
    assert desk.read.crons() == ()
    assert [desk.handles(), desk.handles(), desk.handles()] == [b"go", b"go", None]


def test_a_periodic_message_can_be_changed_and_taken_back(desk: Desk) -> None:
    desk.does(ops.Schedule("n", "/a", "/cron", "0 3 * * *", b"go", 5000))
    desk.does(ops.Schedule("n", "/a", "/cron", "0 4 * * *", b"went", 6000))
    assert [(cron.cron, cron.body, cron.due_ms) for cron in desk.read.crons()] == [("0 4 * * *", b"went", 6000)]
    desk.does(ops.Unschedule("n"))
    assert desk.refuses(ops.Unschedule("n")) == "unknown"
    assert desk.refuses(ops.Fire("n", 6000, 7000)) == "stale"


def test_a_periodic_message_that_its_mailbox_refuses_is_due_next_time_all_the_same(desk: Desk) -> None:
    desk.takes(b"full")
    desk.does(ops.Schedule("n", "/a", "/cron", "* * * * *", b"go", 5000))
    answer = desk.asks(ops.Fire("n", 5000, 6000, limit=1))
    assert isinstance(answer, Rejected) and answer.code == "overloaded"
    assert [cron.due_ms for cron in desk.read.crons()] == [6000]


# ---- looking


def test_who_has_mail_is_listed_in_pages(desk: Desk) -> None:
    for n in range(5):
        desk.takes(b"", to=f"/r{n}")
        desk.takes(b"", to=f"/r{n}")
    desk.takes(b"", to="/later", due_ms=9999)
    assert desk.read.receivers(limit=3) == ("/r0", "/r1", "/r2")
    assert desk.read.receivers(after="/r2", limit=3) == ("/r3", "/r4")


def test_who_only_holds_or_holds_back_has_no_mail_to_wake_for(desk: Desk) -> None:
    desk.takes(b"1")
    desk.takes(b"2")
    desk.leased()
    assert desk.read.receivers() == ()
    desk.does(ops.Park(1, 1, ""))
    assert desk.read.receivers() == ()
    desk.does(ops.Drop(1))
    assert desk.read.receivers() == ("/a",)


def test_mailboxes_are_listed_with_what_is_open(desk: Desk) -> None:
    for n in range(3):
        for _ in range(n + 1):
            desk.takes(b"", to=f"/r{n}")
    desk.takes(b"", to="/a")
    desk.handles()
    assert desk.read.mailboxes(limit=2) == (("/r0", 1), ("/r1", 2))
    assert desk.read.mailboxes(after="/r1") == (("/r2", 3),)


def test_a_mailbox_is_listed_in_pages(desk: Desk) -> None:
    numbers = [desk.takes(bytes([n])) for n in range(5)]
    assert [mail.id for mail in desk.read.mailbox("/a", limit=2)] == numbers[:2]
    assert [mail.id for mail in desk.read.mailbox("/a", after=numbers[1], limit=9)] == numbers[2:]
    assert desk.read.open_count("/a") == 5
    assert desk.read.stats().open_mail == 5
