"""Kinds of values for periodic messages: cron expressions, time zones, and any data as a body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from agenthost.config.document import Mapping, Node, kind_of
from agenthost.config.kinds import NAME_PATTERN, Reading, Text
from agenthost.config.problem import Refused, show
from agenthost.config.process_kinds import Plain
from agenthost.config.sections import Found, Key, Section
from agenthost.core.birth import Periodic

_CHECKED_AT_MS = 1_767_225_600_000
"""2026; what has no time in the 50 years after it never comes."""


def _check_expression(text: str) -> None:
    _check(text)
    if "=" in text:
        raise Refused(f"cannot use {show(text)}: a time zone does not stand in it", "write it as 'zone'")


def _check_zone(text: str) -> None:
    _check(f"CRON_TZ={text} * * * * *")


def _check(text: str) -> None:
    from agenthost.cron import Cron  # only who has periodic messages needs zoneinfo
    from agenthost.errors import UsageError

    try:
        Cron(text, _CHECKED_AT_MS)
    except UsageError as error:
        raise Refused(error.message, error.hint or "") from None


class Anything(Plain):
    """As ``Plain``, and need not be a map."""

    def __init__(self) -> None:
        super().__init__("any data")

    def read(self, node: Node, where: str, reading: Reading) -> Any:
        self._check(node, where, reading)
        return node.value()

    def schema(self) -> dict[str, Any]:
        return {"$ref": "#/$defs/data"}


CRON = Section(
    "cron",
    "A message that is sent again and again.",
    (
        Key(
            "when",
            Text(words="cron expression", check=_check_expression),
            'Five fields, as in `"30 2 * * mon-fri"`: minute, hour, day of the month, month, day of the week; six with '
            "seconds before them; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.",
            required=True,
        ),
        Key("zone", Text(words="time zone", check=_check_zone), "Such as Europe/Berlin.", "that of the machine"),
        Key("body", Anything(), "What the message says.", "null"),
    ),
)


@dataclass(frozen=True)
class Crons:
    """Names to periodic messages for the agent itself."""

    words: str = "map of names to [cron](#cron)"

    def read(self, node: Node, where: str, reading: Reading) -> tuple[Periodic, ...]:
        if not isinstance(node, Mapping):
            raise Refused(f"a map is wanted here, not {kind_of(node)}", 'write it like {nightly: {when: "0 2 * * *"}}')
        made = []
        for name, (key, value) in sorted(node.entries.items()):
            if not re.fullmatch(NAME_PATTERN, name):
                reading.say(key, where, f"{show(name)} is no name", "use letters, digits, '_', '.', '-', at most 64")
                continue
            given = reading.read(CRON, value, f"{where}.{name}")
            if isinstance(given, Found) and "when" in given.values:
                zone = given.get("zone")
                text = f"CRON_TZ={zone} {given.get('when')}" if zone else given.get("when")
                made.append(Periodic(name, text, given.get("body")))
        return tuple(made)

    def schema(self) -> dict[str, Any]:
        names = {"pattern": f"^{NAME_PATTERN}$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": CRON.schema()}
