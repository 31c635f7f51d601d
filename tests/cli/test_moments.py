"""Times of the clock on the command line: ``agenthost send --at``."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from agenthost.cli.asking import moment
from agenthost.errors import UsageError


def test_a_time_of_day_is_the_next_one() -> None:
    now = time.time()
    for ahead_s in (7200, -7200):
        wanted = datetime.fromtimestamp(now + ahead_s).astimezone()
        found = moment(wanted.strftime("%H:%M"))
        assert now < found <= now + 25 * 3600
        assert datetime.fromtimestamp(found).astimezone().strftime("%H:%M") == wanted.strftime("%H:%M")


def test_a_whole_time_is_itself_in_its_zone_or_the_local_one() -> None:
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    assert moment(later.isoformat()) == later.timestamp()
    assert moment(later.astimezone().replace(tzinfo=None).isoformat()) == later.timestamp()


@pytest.mark.parametrize(
    ("text", "why"),
    [("soon", "cannot read"), ("25:00", "cannot read"), ("2020-01-01T00:00", "that has passed"), ("", "cannot read")],
)
def test_what_is_no_time_to_come_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        moment(text)
