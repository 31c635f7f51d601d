"""The figures as a Markdown table, and as data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from survivors.hosted import BOTH, GUARDIAN, HOST
from survivors.situations import STOP, WORKER, Count, Row

PAGE = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- written by scripts/orphans.py --write -->", "<!-- end of the written part -->"

_HEAD = (
    "| supervisor | settings | user | after a stop | after SIGKILL of the worker | after SIGKILL of the supervisor |\n"
    "| --- | --- | --- | --- | --- | --- |"
)
LEGEND = f"Last column of agenthost: SIGKILL of its {GUARDIAN} / its {HOST} / both at once. In brackets: not claimed."


def markdown(counts: Iterable[Count]) -> str:
    rows: dict[Row, dict[str, Count]] = {}
    for count in counts:
        rows.setdefault(count.row, {})[count.situation] = count
    lines = [_line(row, found) for row, found in rows.items()]
    legend = [f"\n{LEGEND}"] if any(BOTH in row.parts for row in rows) else []
    return "\n".join([_HEAD, *lines, *legend])


def data(counts: Iterable[Count]) -> list[dict[str, Any]]:
    return [
        {
            "supervisor": count.row.supervisor,
            "settings": count.row.settings,
            "user": count.row.user,
            "situation": count.situation,
            "survivors": count.survivors,
            "claimed": count.claimed,
        }
        for count in counts
    ]


def write(part: str, page: Path = PAGE) -> None:
    """Put ``part`` between the markers of ``page``. ``ValueError`` if they are not there."""
    fresh, changed = re.subn(
        f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{part}\n\n{END}", page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    if changed != 1:
        raise ValueError(f"cannot write {page}: its two markers are missing; put them back: {BEGIN} and {END}")
    page.write_text(fresh, encoding="utf-8")


def _line(row: Row, found: dict[str, Count]) -> str:
    last = " / ".join(_figure(found[part]) for part in row.parts)
    cells = [row.supervisor, row.settings, row.user, _figure(found[STOP]), _figure(found[WORKER]), last]
    return f"| {' | '.join(cells)} |"


def _figure(count: Count) -> str:
    """Survivors of a tier that does not claim this situation stand in brackets."""
    number = str(len(count.survivors))
    return f"({number})" if count.row.claims and not count.claimed else number
