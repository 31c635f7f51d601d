"""Mail for later at the clerk's: sent once for each time, whoever ends when, and however the clock is set."""

from __future__ import annotations

from typing import Any

import pytest

from agenthost.journal import words
from agenthost.journal.clock import WallClock
from agenthost.journal.timetable import BACK_MS
from agenthost.protocol import mail as say
from tests.journal.test_clerk import Office, packed

HOUR_MS = 3_600_000
HOURLY = "CRON_TZ=UTC 0 * * * *"


def office() -> Office:
    one = Office()
    one.now_ms = 100 * HOUR_MS + 1000
    one.clerk.opened(one.now_ms)
    return one


def again(before: Office) -> Office:
    """The journal was killed and is back, at the same time."""
    after = Office(before.store)
    after.now_ms = before.now_ms
    after.clerk.opened(after.now_ms)
    after.commit()
    return after


def bodies(office: Office, path: str = "/a") -> list[bytes]:
    return [one.body for one in office.clerk.reader().mailbox(path)]


def scheduled(office: Office, name: str = "n", cron: str = HOURLY, to: str = "/a", body: bytes = b"go") -> Any:
    number = next(office._ids)
    office.host(words.Schedule(number, "client:0", words.Periodic(name, to, cron, body)))
    return next(one for one in office.told if isinstance(one, words.Answer) and one.id == number)


def unfired(office: Office) -> list[str]:
    return [one.why for one in office.told if isinstance(one, words.Unfired)]


def test_a_periodic_message_is_sent_once_for_each_time() -> None:
    one = office()
    assert scheduled(one).result == {"next": 101 * 3600}
    assert one.clerk.next_tick_ms() == 101 * HOUR_MS
    one.pass_time(HOUR_MS - 1001)
    assert bodies(one) == []
    one.pass_time(1)
    one.pass_time(1)
    assert bodies(one) == [b"go"]
    assert [told.path for told in one.told if isinstance(told, words.Waits)] == ["/a"]
    one.pass_time(HOUR_MS)
    assert bodies(one) == [b"go", b"go"]


def test_it_goes_on_over_the_end_of_the_journal_and_makes_up_for_one_of_the_times_that_passed() -> None:
    one = office()
    scheduled(one)
    one.pass_time(HOUR_MS)
    one = again(one)
    one.pass_time(0)
    assert bodies(one) == [b"go"]
    one.now_ms += 10 * HOUR_MS
    one = again(one)
    one.pass_time(0)
    one.pass_time(1)
    assert bodies(one) == [b"go", b"go"]
    assert one.clerk.next_tick_ms() == 112 * HOUR_MS


def test_the_same_again_changes_nothing_and_another_replaces_it() -> None:
    one = office()
    scheduled(one)
    one.now_ms += 2 * HOUR_MS  # it is due, and nobody has looked yet
    assert scheduled(one).result == {"next": 101 * 3600}
    one.pass_time(0)
    assert bodies(one) == [b"go"]
    assert scheduled(one, body=b"other").result == {"next": 103 * 3600}
    one.pass_time(HOUR_MS)
    assert bodies(one) == [b"go", b"other"]


def test_when_the_clock_is_set_back_a_little_what_was_sent_is_not_sent_again() -> None:
    one = office()
    scheduled(one)
    one.pass_time(HOUR_MS)
    one.clerk.clock_set(-2 * HOUR_MS, one.now_ms - 2 * HOUR_MS)
    one.pass_time(-2 * HOUR_MS)
    one.pass_time(2 * HOUR_MS)
    assert bodies(one) == [b"go"]
    one.pass_time(HOUR_MS)
    assert bodies(one) == [b"go", b"go"]


@pytest.mark.parametrize("is_running", [True, False])
def test_a_clock_that_was_wrong_by_far_and_is_set_back_counts_from_the_new_time(is_running: bool) -> None:
    one = office()
    one.now_ms += 10_000 * HOUR_MS
    scheduled(one)
    one.pass_time(HOUR_MS)
    one.now_ms -= 10_000 * HOUR_MS
    if is_running:
        one.clerk.clock_set(-10_000 * HOUR_MS, one.now_ms)
        one.commit()
    else:
        one = again(one)
    assert one.clerk.next_tick_ms() == 102 * HOUR_MS
    one.pass_time(HOUR_MS)
    assert bodies(one) == [b"go", b"go"]
    assert BACK_MS == 3 * HOUR_MS


def test_when_the_clock_is_set_forward_one_of_the_times_in_between_is_made_up_for() -> None:
    one = office()
    scheduled(one)
    one.clerk.clock_set(50 * HOUR_MS, one.now_ms + 50 * HOUR_MS)
    one.pass_time(50 * HOUR_MS)
    one.pass_time(1000)
    assert bodies(one) == [b"go"]


def test_delayed_mail_waits_as_long_whatever_becomes_of_the_clock() -> None:
    one = office()
    party = one.own("/s", 1)
    due_ms = one.now_ms + 60_000
    assert one.ask(party, say.Send(1, "/a", b"\x01", "k", due_ms)) == say.Done(1)
    assert one.ask(party, say.Send(2, "/a", b"\x02", "l", due_ms, True)) == say.Done(2)
    assert not [told for told in one.told if isinstance(told, words.Waits)], "nobody is woken before it is due"
    one.clerk.clock_set(HOUR_MS, one.now_ms + HOUR_MS)
    one.pass_time(HOUR_MS)
    ready = [told.path for told in one.told if isinstance(told, words.Waits)]
    assert ready == ["/a"], "what is due by the clock is due"
    assert [mail.body for mail in one.clerk.reader().mailbox("/a") if mail.status == "delayed"] == [b"\x01"]
    one.pass_time(60_000)
    assert not [mail for mail in one.clerk.reader().mailbox("/a") if mail.status == "delayed"]


def test_a_receiver_that_is_not_there_misses_it_and_the_host_is_told() -> None:
    one = office()
    scheduled(one, to="/nobody")
    one.pass_time(HOUR_MS)
    assert unfired(one) == ["there is no such agent"] and bodies(one, "/nobody") == []
    assert one.clerk.next_tick_ms() == 102 * HOUR_MS
    one.pass_time(HOUR_MS)
    assert len(unfired(one)) == 2


def test_a_full_mailbox_misses_it_and_the_host_is_told() -> None:
    one = office()
    one.host(words.Known(next(one._ids), "/a", words.Terms(limit=1)))
    scheduled(one)
    one.pass_time(HOUR_MS)
    one.pass_time(HOUR_MS)
    assert bodies(one) == [b"go"] and "its mailbox has 1 of 1" in unfired(one)[0]


def test_an_agents_own_are_apart_from_those_of_others_and_end_with_its_name() -> None:
    one = office()
    a, b = one.own("/a", 1), one.own("/b", 2)
    for party in (a, b):
        assert one.ask(party, say.Schedule(1, "n", HOURLY, "/c", party.path.encode())) == say.Done(1)
    assert one.ask(b, say.Unschedule(2, "n")) == say.Done(2)
    refused = one.ask(b, say.Unschedule(3, "n"))
    assert isinstance(refused, say.Refused) and refused.code == "unknown_name"
    one.pass_time(HOUR_MS)
    assert bodies(one, "/c") == [b"/a"]
    one.host(words.Clear(next(one._ids), "/a", "it has ended for good"))
    one.pass_time(HOUR_MS)
    assert bodies(one, "/c") == [b"/a"] and one.clerk.reader().crons() == ()


def test_what_is_sent_to_a_name_that_is_used_again_does_not_go_to_the_next_one() -> None:
    one = office()
    scheduled(one)
    one.host(words.Clear(next(one._ids), "/a", "it has ended for good"))
    one.pass_time(HOUR_MS)
    one.pass_time(HOUR_MS)
    assert bodies(one) == [] and unfired(one) == []


def test_a_stale_incarnation_schedules_nothing() -> None:
    one = office()
    old = one.own("/a", 1)
    one.own("/a", 2)
    answer = one.ask(old, say.Schedule(1, "n", HOURLY, "/c", b"x"))
    assert isinstance(answer, say.Refused) and answer.code == say.STALE
    assert one.clerk.reader().crons() == ()


def test_what_cannot_be_read_is_refused_to_whoever_asks() -> None:
    one = office()
    assert scheduled(one, cron="every day").code == "usage"
    party = one.own("/a", 1)
    answer = one.ask(party, say.Schedule(1, "n", "every day", "/c", b"x"))
    assert isinstance(answer, say.Refused) and answer.code == "usage"


def test_those_of_the_config_come_and_go_with_it() -> None:
    one = office()
    first = words.Periodic("config:/a#x", "/a", HOURLY, b"x")
    second = words.Periodic("config:/a#y", "/a", HOURLY, b"y")
    scheduled(one)
    one.host(words.Schedules(next(one._ids), (first, second)))
    one = again(one)
    one.now_ms += HOUR_MS
    one.host(words.Schedules(next(one._ids), (second,)))
    one.pass_time(0)
    assert sorted(bodies(one)) == [b"go", b"y"]
    one.host(words.Schedules(next(one._ids), ()))
    assert [cron.name for cron in one.clerk.reader().crons()] == ["n"]


def test_those_of_the_config_are_compared_when_the_database_can_be_read() -> None:
    one = Office()
    one.now_ms = 100 * HOUR_MS
    one.host(words.Schedules(1, (words.Periodic("config:/a#x", "/a", HOURLY, b"x"),)))
    assert one.clerk.next_tick_ms() == 0
    one.clerk.opened(one.now_ms)
    one.commit()
    assert one.clerk.next_tick_ms() == 101 * HOUR_MS


def test_a_turn_takes_back_what_it_has_sent_for_later() -> None:
    one = office()
    party = one.own("/s", 1)
    later = say.Sending("/a", packed(1), "=k", one.now_ms + 1000)
    assert isinstance(one.ask(party, say.Commit(1, sends=(later,))), say.Leased)
    assert one.clerk.next_tick_ms() == one.now_ms + 1000
    assert isinstance(one.ask(party, say.Commit(2, cancels=("=k",))), say.Leased)
    one.pass_time(2000)
    assert bodies(one) == []
    assert one.ask(party, say.Cancel(3, "=k")) == say.Done(3)


def test_a_step_of_the_clock_is_told_from_its_going() -> None:
    wall_ms, uptime_ms = 1_000_000, 5000
    clock = WallClock(lambda: wall_ms, lambda: uptime_ms)
    for _ in range(10):
        wall_ms += 60_300
        uptime_ms += 60_000
        assert clock.was_set_by_ms() == 0, "steered by NTP"
    wall_ms -= HOUR_MS
    assert clock.was_set_by_ms() == -HOUR_MS
    assert clock.was_set_by_ms() == 0
    wall_ms += HOUR_MS + 7
    uptime_ms += 7
    assert clock.was_set_by_ms() == HOUR_MS
