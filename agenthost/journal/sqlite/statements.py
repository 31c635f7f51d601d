"""Statements by name. A ``.sql`` file is ``-- name: NAME`` lines, each followed by its comment and one statement."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load() -> dict[str, str]:
    """All of ``sql/``. ``ValueError`` if a name stands there twice."""
    found: dict[str, str] = {}
    for file in sorted((_FOLDER / "sql").glob("*.sql")):
        parts = _NAME.split(file.read_text(encoding="utf-8"))[1:]
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"cannot load {file.name}: the statement {name!r} stands twice; rename one")
            found[name] = text.strip().rstrip(";")
    return found


def migrations() -> list[tuple[int, str]]:
    """(number, script), in order, from 1 without gaps."""
    files = sorted((_FOLDER / "migrations").glob("*.sql"))
    numbered = [(int(file.name.split("_")[0]), file.read_text(encoding="utf-8")) for file in files]
    if [number for number, _ in numbered] != list(range(1, len(numbered) + 1)):
        raise ValueError(f"cannot number the migrations {[file.name for file in files]}: they must count from 1")
    return numbered
