"""Printing results: for people on a terminal, for people in a pipe, for programs (``-o``).

On a terminal a table keeps to its width: columns that can be missed are left out, the last one is cut. In a pipe
everything is written in full. Rule: what agents say reaches a terminal only through ``observe.printable``.
"""

from __future__ import annotations

import enum
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agenthost.observe.printable import printable, span


class Format(enum.StrEnum):
    table = "table"
    wide = "wide"
    json = "json"
    jsonl = "jsonl"
    yaml = "yaml"
    name = "name"


class Plain(enum.StrEnum):
    """Of what is no list: text, or data."""

    text = "text"
    json = "json"
    yaml = "yaml"


class Lines(enum.StrEnum):
    """Of what comes line by line. ``json`` is one object a line, so that it can be followed."""

    text = "text"
    json = "json"


def is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def is_colourful() -> bool:
    """A terminal that wants colours (no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def dump(value: Any, format: str, *, items: Iterable[Any] | None = None, key: str = "path") -> None:
    """``value`` whole as JSON or YAML, its ``items`` one a line as JSON, or only their names."""
    listed = list(items) if items is not None else [value]
    match format:
        case "jsonl":
            for item in listed:
                print(json.dumps(item, default=_plain))
        case "name":
            for item in listed:
                print(printable(item[key]))
        case "yaml":
            import yaml

            print(yaml.safe_dump(json.loads(json.dumps(value, default=_plain)), sort_keys=False), end="")
        case _:
            print(json.dumps(value, indent=2, default=_plain))


@dataclass(frozen=True, slots=True)
class Column:
    """``miss``: how easily it is left out where the terminal is narrow, 0 never. ``styles``: SGR by first word."""

    title: str
    miss: int = 0
    styles: dict[str, str] = field(default_factory=dict)


NOTE_WIDTH = 20
"""Columns are left out until the last one has this much room."""


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, full: bool = False, empty: str = "") -> None:
    """Aligned columns; the last one is text of any length. ``full`` leaves nothing out on a terminal either. ``empty``
    is the sentence that is printed where there are no rows."""
    listed = [[printable("" if cell is None else cell) for cell in row] for row in rows]
    if not listed and empty:
        print(printable(empty))
        return
    kept = [at for at in range(len(columns)) if any(row[at] for row in listed) or at == 0]
    widths = [max(display_width(cell) for cell in (column.title, *(row[at] for row in listed)))
              for at, column in enumerate(columns)]  # fmt: skip
    room = shutil.get_terminal_size().columns if is_terminal() and not full else None
    last = len(columns) - 1
    if room is not None:
        wanted = min(widths[last], NOTE_WIDTH) if last in kept else 0
        long, widths[0] = widths[0], min(widths[0], max(24, room // 3))
        for at in sorted((at for at in kept if columns[at].miss), key=lambda at: -columns[at].miss):
            if sum(widths[one] + 2 for one in kept if one != last) + wanted <= room:
                break
            kept.remove(at)
        others = sum(widths[one] + 2 for one in kept if one not in (0, last))
        widths[0] = max(12, min(long, room - others - 2 - wanted))
        widths[last] = max(4, min(widths[last], room - others - 2 - widths[0]))
    out = [_line([_tinted(columns[at].title, widths[at], "1") for at in kept])]
    for row in listed:
        cells = []
        for at in kept:
            text = shortened(row[at], widths[at], at_start=at == 0) if room is not None else row[at]
            cells.append(_tinted(text, widths[at], columns[at].styles.get(row[at].split(" ")[0], "")))
        out.append(_line(cells))
    print("\n".join(out))


def _line(cells: Iterable[tuple[str, str]]) -> str:
    """Tinted cells with their padding; none after the last."""
    listed = list(cells)
    while listed and not listed[-1][0]:
        listed.pop()
    return "  ".join([*(text + padding for text, padding in listed[:-1]), *(text for text, _ in listed[-1:])])


def _tinted(text: str, width: int, code: str) -> tuple[str, str]:
    return tinted(text, code), " " * (width - display_width(text))


def tinted(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if text and code and is_colourful() else text


def shortened(text: str, width: int, *, at_start: bool = False) -> str:
    """``text`` cut to ``width`` columns, with a sign of it; paths are cut at their start."""
    if display_width(text) <= width:
        return text
    sign = "…" if (sys.stdout.encoding or "").lower().startswith("utf") else "~"
    kept = text
    while kept and display_width(kept) > width - 1:
        kept = kept[1:] if at_start else kept[:-1]
    return sign + kept if at_start else kept + sign


def display_width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


STATE_STYLES = {
    "ready": "32",
    "starting": "36",
    "waiting": "33",
    "asked": "33",
    "terminating": "33",
    "killing": "31",
    "stuck": "1;31",
    "gave_up": "1;31",
    "down": "2",
    "asleep": "2",
    "done": "2",
}


def age(since: float | None) -> str:
    """ "3 s", "12 min", "5 h", "9 d" since a moment in seconds since 1970."""
    if since is None:
        return ""
    seconds = max(0.0, time.time() - since)
    return span(seconds) if seconds >= 10 else f"{seconds:.0f} s"


def size(count: int | None) -> str:
    """ "6.3 MiB", "303 KiB"."""
    if count is None:
        return ""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= one:
            return f"{count / one:.1f} {unit}" if count < 100 * one else f"{count / one:.0f} {unit}"
    return f"{count} B"


def clock(at: float) -> str:
    """The time of day to the millisecond, with the date if it is another day's."""
    then, now = time.localtime(at), time.localtime()
    form = "%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S"
    return time.strftime(form, then) + f".{int(at % 1 * 1000):03d}"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
