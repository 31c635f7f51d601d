"""Printing results: for people on a terminal, for people in a pipe, for programs (``-o``)."""

from __future__ import annotations

import enum
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any


class Format(enum.StrEnum):
    table = "table"
    wide = "wide"
    json = "json"
    jsonl = "jsonl"
    yaml = "yaml"
    name = "name"


def is_colourful() -> bool:
    """A terminal that wants colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def dump(value: Any, format: Format, *, items: Iterable[Any] | None = None, key: str = "path") -> None:
    """``value`` whole as JSON or YAML, its ``items`` one a line as JSON, or only their names."""
    listed = list(items) if items is not None else [value]
    match format:
        case Format.jsonl:
            for item in listed:
                print(json.dumps(item, default=_plain))
        case Format.name:
            for item in listed:
                print(item[key])
        case Format.yaml:
            import yaml

            print(yaml.safe_dump(json.loads(json.dumps(value, default=_plain)), sort_keys=False), end="")
        case _:
            print(json.dumps(value, indent=2, default=_plain))


def table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], styles: dict[int, dict[str, str]] | None = None
) -> None:
    """Columns; on a terminal with colours by ``styles[column][word]``."""
    listed = [[str(cell) for cell in row] for row in rows]
    if not is_colourful():
        widths = [max(map(len, column)) for column in zip(titles, *listed, strict=True)]
        for row in (list(titles), *listed):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        shown.add_column(title, no_wrap=title != "NOTE", overflow="fold")
    for row in listed:
        shown.add_row(
            *(Text(cell, style=(styles or {}).get(at, {}).get(cell, "")) for at, cell in enumerate(row))
        )  # fmt: skip
    Console().print(shown)


STATE_STYLES = {
    "ready": "green",
    "starting": "cyan",
    "waiting": "yellow",
    "asked": "yellow",
    "terminating": "yellow",
    "killing": "red",
    "stuck": "bold red",
    "gave_up": "bold red",
    "down": "dim",
    "done": "dim",
}


def age(since: float | None) -> str:
    """ "3 s", "12 min", "5 h", "9 d" since a moment in seconds since 1970."""
    if since is None:
        return ""
    seconds = max(0, time.time() - since)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int | None) -> str:
    if count is None:
        return ""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count} B"


def clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
