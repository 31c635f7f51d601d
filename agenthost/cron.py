"""Cron expressions, as agenthost takes them: when a periodic message is due.

Five fields (minute, hour, day of the month, month, day of the week), or six with seconds before them, or ``@hourly``,
``@daily``, ``@weekly``, ``@monthly``, ``@yearly``. The text may begin with ``CRON_TZ=Europe/Berlin``; without it times
are those of this machine's zone. What a field may hold, and what becomes of the hours that a change to summer time
leaves out or has twice, is the library's business (cronsim, as Debian's cron does it).

Everything here is about times of the clock, in ms since 1970; nothing here reads it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agenthost.errors import UsageError

ZONE_WORD = "CRON_TZ="
_LONGEST = 500
_LOCALTIME = "/etc/localtime"
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Cron:
    """``UsageError`` if ``text`` is none, names a zone that is not known here, or has no time in 50 years."""

    def __init__(self, text: str, now_ms: int) -> None:
        self.text = text
        zone, self._expression = _split(text)
        self._zone = _zone(zone, text)
        if not self.next_ms(now_ms):
            raise UsageError(f"cannot read {text!r} as a cron expression: it has no time that ever comes")

    def next_ms(self, after_ms: int) -> int:
        """The first time after ``after_ms``, 0 if there is none in 50 years."""
        return self._look(after_ms, reverse=False)

    def last_ms(self, before_ms: int) -> int:
        """The last time before ``before_ms``, 0 if there was none in 50 years."""
        return self._look(before_ms, reverse=True)

    def _look(self, from_ms: int, *, reverse: bool) -> int:
        try:
            start = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(self._zone)
            found = next(CronSim(self._expression, start, reverse))
        except CronSimError as error:
            raise UsageError(
                f"cannot read {self.text!r} as a cron expression: {str(error)[:1].lower()}{str(error)[1:]}",
                hint="it has five fields, as in '30 2 * * mon-fri': minute, hour, day, month, day of the week",
            ) from None
        except (StopIteration, OverflowError, ValueError):  # or beyond the years that there are
            return 0
        return round(found.timestamp() * 1000)


def _split(text: str) -> tuple[str, str]:
    """Zone and expression."""
    if len(text) > _LONGEST:
        raise UsageError(f"cannot read a cron expression of {len(text)} characters: the limit is {_LONGEST}")
    words = text.split()
    zone = words.pop(0)[len(ZONE_WORD) :] if words and words[0].startswith(ZONE_WORD) else ""
    if len(words) == 1 and words[0].startswith("@"):
        expression = _MACROS.get(words[0].lower())
        if expression is None:
            raise UsageError(f"cannot read {text!r} as a cron expression", hint=f"there are: {', '.join(_MACROS)}")
        return zone, expression
    return zone, " ".join(words)


def _zone(name: str, text: str) -> tzinfo:
    if not name:
        return _own_zone(os.environ.get("TZ", ""))
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise UsageError(f"cannot use the time zone of {text!r}: {error}") from None
    except KeyError:
        raise UsageError(
            f"cannot use the time zone of {text!r}: this machine knows no {name!r}",
            hint="write it like Europe/Berlin; if there are no zones at all, install tzdata",
        ) from None


@lru_cache(maxsize=4)
def _own_zone(name: str) -> tzinfo:
    """This machine's, with its rules of summer time; UTC where it has none, or one that cannot be read."""
    try:
        if name:
            return ZoneInfo(name.removeprefix(":"))
        with open(_LOCALTIME, "rb") as file:
            return ZoneInfo.from_file(file)
    except (KeyError, ValueError, OSError):
        return UTC
