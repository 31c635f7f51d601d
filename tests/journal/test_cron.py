"""Cron expressions: which time comes next, in which zone, over changes to and from summer time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agenthost.cron import Cron
from agenthost.errors import UsageError
from agenthost.later import in_zone


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def words(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()[:19]


@pytest.mark.parametrize(
    ("text", "now", "then"),
    [
        ("* * * * *", "2026-01-01T10:00:00", "2026-01-01T10:01:00"),
        ("*/15 * * * *", "2026-01-01T10:14:59", "2026-01-01T10:15:00"),
        ("*/5 * * * * *", "2026-01-01T10:00:01", "2026-01-01T10:00:05"),
        ("30 2 * * mon-fri", "2026-01-02T02:30:00", "2026-01-05T02:30:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 L * *", "2026-02-01T00:00:00", "2026-02-28T00:00:00"),
        ("@hourly", "2026-01-01T10:00:00", "2026-01-01T11:00:00"),
        ("@Weekly", "2026-01-01T10:00:00", "2026-01-04T00:00:00"),
        ("@yearly", "2026-01-01T10:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_the_next_time_is_after_the_present(text: str, now: str, then: str) -> None:
    text = in_zone(text, "UTC")
    assert words(Cron(text, ms(now)).next_ms(ms(now))) == then
    assert words(Cron(text, ms(now)).last_ms(ms(then) + 1)) == then


@pytest.mark.parametrize(
    ("expression", "now", "then"),
    [
        ("30 2 * * *", "2026-01-01T00:00:00", "2026-01-01T01:30:00"),  # 02:30 in winter
        ("30 2 * * *", "2026-07-01T00:00:00", "2026-07-01T00:30:00"),  # 02:30 in summer
        ("30 2 * * *", "2027-03-28T00:00:00", "2027-03-28T01:00:00"),  # there is no 02:30: at 03:00, once
        ("30 2 * * *", "2027-03-28T01:00:00", "2027-03-29T00:30:00"),
        ("30 2 * * *", "2026-10-25T00:00:00", "2026-10-25T00:30:00"),  # there are two: the first alone
        ("30 2 * * *", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        ("*/30 * * * *", "2026-10-25T00:30:00", "2026-10-25T01:00:00"),  # what is no time of day goes on evenly
    ],
)
def test_a_time_of_day_comes_once_a_day_also_when_the_clocks_change(expression: str, now: str, then: str) -> None:
    cron = Cron(in_zone(expression, "Europe/Berlin"), ms(now))
    assert words(cron.next_ms(ms(now))) == then


def test_without_a_zone_it_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert words(Cron("0 12 * * *", 0).next_ms(ms("2026-01-01T00:00:00"))) == "2026-01-01T03:00:00"
    monkeypatch.setenv("TZ", "no zone at all")
    assert words(Cron("0 12 * * *", 0).next_ms(ms("2026-01-01T00:00:00"))) == "2026-01-01T12:00:00"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "* * * *",
            "60 * * * *",
            "0 0 31 2 *",
            "* * * * * * *",
            "@never",
            "x y z a b",
            "0 0 1 1 8",
            "*/0 * * * *",
        ),
        *(
            "CRON_TZ=Nowhere/X * * * * *",
            "CRON_TZ=../etc/passwd * * * * *",
            "CRON_TZ= * * * *",
            "1," * 300 + " * * * *",
        ),
    ],
)
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot"):
        Cron(text, ms("2026-01-01T00:00:00"))


def test_beyond_all_years_there_is_no_next_time() -> None:
    assert Cron("* * * * *", 0).next_ms(1 << 60) == 0
