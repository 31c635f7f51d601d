"""What the journal of a host that does not run has of one path: the facts of ``explain``, as far as they are the past.

The rule it keeps: of what only a host knows (is it there, does it run) nothing is said but that no host runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agenthost.journal.store import Reader

CRASHES = 10
LOOKED_AT = 1000
"""Paths among which one is looked for that was perhaps meant."""


def facts_of(reader: Reader, path: str) -> dict[str, Any]:
    import difflib

    from agenthost.journal import crashes, outlook

    wanted = {"path": "" if path == "/" else path, "before": 0, "since": 0.0, "limit": CRASHES, "below": path == "/"}
    found: dict[str, Any] = {
        "path": path,
        "now": time.time(),
        "is_there": path == "/",
        "is_own": path.startswith("/.system/"),
        "near": "",
        "can_be_woken": False,
        "node": None,
        "above": None,
        "attempts": 0,
        "records": [],
        "crashes": crashes.look(reader, "crashes", wanted),
        "mail": outlook.look(reader, "outlook", {"path": path}),
        "budgets": [],
        "journal": "",
        "halting": False,
        "host": None,
        "offline": {"boots": list(reader.boots())[-1:]},
    }
    known = {one.path for one in reader.sessions(limit=LOOKED_AT)} | set(reader.receivers(limit=LOOKED_AT))
    known |= {one.path for one in reader.crashes("", 0, 0, 100)}
    if path not in known and path != "/":
        found["near"] = next(iter(difflib.get_close_matches(path, sorted(known), n=1)), "")
    return found
