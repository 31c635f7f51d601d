"""Mail for later, checked where it is asked for: times, keys and names, alike for agents and clients."""

from __future__ import annotations

import math
import re
import time
from datetime import datetime

from agenthost.errors import UsageError

LONGEST_S = 100 * 366 * 86_400.0
KEY_CHARACTERS = 200
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def due(after_s: float | None, at: datetime | float | None) -> tuple[int, bool]:
    """(ms since 1970, whether that is a time of the clock). ``UsageError``."""
    if (after_s is None) == (at is None):
        raise UsageError("cannot send for later: say either after how many seconds, or at what time")
    if after_s is not None:
        if not 0 <= after_s <= LONGEST_S:  # not for NaN either
            raise UsageError(f"cannot send after {after_s!r} seconds", hint="0 and up to 100 years are meant")
        return math.ceil((time.time() + after_s) * 1000), False
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise UsageError(f"cannot send at {at}: it has no time zone", hint="datetime.now(UTC) has one")
        at = at.timestamp()
    assert at is not None
    if not 0 < at < time.time() + LONGEST_S:
        raise UsageError(f"cannot send at {at!r}", hint="seconds since 1970, or a datetime with a time zone")
    return math.ceil(at * 1000), True


def checked_key(key: str) -> str:
    if not key or len(key) > KEY_CHARACTERS:
        raise UsageError(f"cannot use a key of {len(key)} characters", hint=f"1 to {KEY_CHARACTERS} are meant")
    return key


def checked_name(name: str) -> str:
    """Of a periodic message."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"cannot name a periodic message {name!r}",
            hint="a name begins with a letter, and has letters, digits, '_', '.', '-', at most 64",
        )
    return name


def in_zone(expression: str, zone: str) -> str:
    """A cron expression and its time zone as one text (``cron``); "" is the machine's own."""
    return f"CRON_TZ={zone} {expression}" if zone else expression
