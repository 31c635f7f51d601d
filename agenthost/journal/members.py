"""What the host asks about the members of pools that it does not know: most of them sleep. No sockets in here."""

from __future__ import annotations

from typing import Any

from agenthost.journal.store import Reader

LOOKS = frozenset({"removed", "asleep"})


def look(reader: Reader, what: str, args: dict[str, Any]) -> Any:
    """``removed``: whether the session of ``path`` has a tombstone. ``asleep``: how many sessions each of ``pools`` has
    beside those of the members that run (pool to names)."""
    if what == "removed":
        return reader.tombstone(args["path"]) is not None
    return {path: _asleep(reader, path, names) for path, names in args["pools"].items()}


def _asleep(reader: Reader, pool: str, names: list[str]) -> int:
    below = pool.rstrip("/") + "/"
    return reader.session_count(below) - sum(reader.session(below + name) is not None for name in names)
