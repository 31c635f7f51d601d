"""Mail for later: cancelled by its key, moved when the clock is set, skipped where it is periodic; in both stores."""

from __future__ import annotations

import pytest

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Committed, Done, Rejected, Ripened
from tests.journal.desk import Desk

LATER_MS = 5000


def test_what_is_cancelled_by_its_key_never_comes_and_the_key_is_free_again(desk: Desk) -> None:
    number = desk.takes(b"x", key="k", due_ms=desk.now_ms + LATER_MS)
    desk.does(ops.Cancel("/s", "k"))
    assert desk.status(number) == "dropped" and desk.read.open_count("/a") == 0
    assert desk.read.history(number)[-1].reason == "cancelled by its sender"
    assert desk.refuses(ops.Cancel("/s", "k")) == "unknown"
    again = desk.asks(ops.Accept("/a", "/s", b"y", key="k"))
    assert isinstance(again, Accepted) and not again.twice and again.message != number
    desk.now_ms += 2 * LATER_MS
    assert desk.asks(ops.Ripen()) == Ripened(())
    assert desk.handles() == b"y"


def test_only_the_sender_cancels_and_only_what_nobody_has_begun(desk: Desk) -> None:
    desk.takes(b"x", key="k")
    assert desk.refuses(ops.Cancel("/t", "k")) == "unknown"
    mail = desk.leased()
    assert desk.refuses(ops.Cancel("/s", "k")) == "unknown"
    desk.does(ops.BackOff(mail.id, mail.attempt, desk.now_ms + 10, "failed"))
    assert desk.refuses(ops.Cancel("/s", "k")) == "unknown"
    desk.now_ms += 10
    desk.asks(ops.Ripen())
    assert desk.handles() == b"x"
    assert desk.refuses(ops.Cancel("/s", "k")) == "unknown"


def test_who_is_cancelled_first_in_its_lane_lets_the_next_one_go_on(desk: Desk) -> None:
    desk.takes(b"1", key="k")
    desk.takes(b"2")
    desk.does(ops.Cancel("/s", "k"))
    assert desk.handles() == b"2"


def test_a_turn_cancels_before_it_sends_and_only_if_it_is_committed(desk: Desk) -> None:
    due_ms = desk.now_ms + LATER_MS
    first = desk.takes(b"old", sender="/a", to="/b", key="k", due_ms=due_ms)
    full = ops.Accept("/full", "/a", b"", limit=1)
    desk.asks(full)
    send = ops.Accept("/b", "/a", b"new", key="k", due_ms=due_ms)
    refused = desk.asks(ops.CommitTurn("/a", (1, 1), sends=(send, full), cancels=("k",)))
    assert isinstance(refused, Rejected) and refused.code == "overloaded"
    assert desk.status(first) == "delayed"
    done = desk.asks(ops.CommitTurn("/a", (1, 1), sends=(send,), cancels=("k", "never heard of")))
    assert isinstance(done, Committed) and isinstance(done.sends[0], Accepted) and not done.sends[0].twice
    assert desk.status(first) == "dropped"
    assert [one.body for one in desk.read.mailbox("/b")] == [b"new"]


def test_a_stale_incarnation_cancels_nothing(desk: Desk) -> None:
    number = desk.takes(b"x", sender="/a", key="k", due_ms=desk.now_ms + LATER_MS)
    desk.does(ops.Own("/a", (1, 2)))
    assert desk.refuses(ops.CommitTurn("/a", (1, 1), cancels=("k",))) == "stale"
    assert desk.status(number) == "delayed"


@pytest.mark.parametrize("by_ms", [-1_000_000, 1_000_000])
def test_when_the_clock_is_set_what_was_delayed_waits_as_long_as_before(desk: Desk, by_ms: int) -> None:
    desk.now_ms = 10_000_000
    desk.takes(b"failed")
    mail = desk.leased()
    desk.does(ops.BackOff(mail.id, mail.attempt, desk.now_ms + LATER_MS, "failed"))
    desk.takes(b"elapsed", sender="/t", due_ms=desk.now_ms + LATER_MS)
    fixed = desk.takes(b"by the clock", sender="/u", due_ms=desk.now_ms + LATER_MS, by_clock=True)
    desk.now_ms += by_ms
    desk.does(ops.Shift(by_ms))
    desk.now_ms += LATER_MS - 1
    ripened = desk.asks(ops.Ripen())
    assert desk.status(fixed) == ("waiting" if by_ms > 0 else "delayed")
    assert ripened == Ripened(("/a",) if by_ms > 0 else ())
    desk.now_ms += 1
    assert desk.asks(ops.Ripen()) == Ripened(("/a",))
    assert {desk.handles(), desk.handles()} == ({b"by the clock", b"failed"} if by_ms > 0 else {b"failed", b"elapsed"})


def test_a_delay_is_never_shifted_to_before_all_times(desk: Desk) -> None:
    number = desk.takes(b"x", due_ms=desk.now_ms + 5)
    desk.does(ops.Shift(-(1 << 50)))
    assert desk.read.next_due_ms() == 1
    desk.asks(ops.Ripen())
    assert desk.status(number) == "waiting"


def test_a_periodic_message_can_be_skipped_once_for_each_time(desk: Desk) -> None:
    desk.does(ops.Schedule("n", "/a", "/c", "* * * * *", b"go", 2000))
    desk.does(ops.Skip("n", 2000, 3000))
    assert desk.refuses(ops.Skip("n", 2000, 3000)) == "stale"
    assert desk.refuses(ops.Fire("n", 2000, 3000)) == "stale"
    cron = desk.read.cron("n")
    assert cron is not None and cron.due_ms == 3000 and desk.read.open_count("/a") == 0
    assert desk.asks(ops.Skip("n", 3000, 0)) == Done() and desk.read.cron("n") is None


def test_what_is_delayed_is_listed_in_the_order_it_is_due(desk: Desk) -> None:
    third, first, second = (desk.takes(due_ms=desk.now_ms + after, sender=f"/{after}") for after in (30, 10, 20))
    waiting = desk.takes()
    page = desk.read.delayed(limit=2)
    assert [one.id for one in page] == [first, second]
    rest = desk.read.delayed((page[-1].due_ms, page[-1].id))
    assert [one.id for one in rest] == [third] and waiting not in [one.id for one in (*page, *rest)]
