"""A message that fails again and again in a busy mailbox of a running host."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.journal.sqlite.reading import SqliteReader
from agenthost.journal.values import Mail
from tests.host import mailbox
from tests.host.running import Running, tree

Start = Callable[..., Running]
POSTERS, EACH, ATTEMPTS = 4, 12, 9


@pytest.mark.slow  # tests/journal/test_poison.py shows the order
def test_whoever_waits_waits_for_one_attempt_of_a_poison_message_at_most(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "turns"
    ladder = [{"retry": {"times": ATTEMPTS - 1, "initial": "50ms", "max": "50ms"}}, "dead_letter"]
    busy = {"name": "busy", "agent": f"{mailbox.__file__}:Busy", "args": {"file": str(file)}, "recovery": ladder}
    posters = [{"name": f"p{n}", "agent": f"{mailbox.__file__}:Poster"} for n in range(POSTERS)]
    host = start(tree(busy, *posters))
    host.client.send("/busy", {"poison": True, "takes_s": 0.2})
    for n in range(POSTERS):
        host.client.send(f"/p{n}", {"to": "/busy", "count": EACH, "takes_s": 0.03})
    host.wait_event("mail.dead_letter", "/busy")
    host.wait(lambda: host.row("/busy")["mailbox"] == 0, "all is handled")
    turns = [json.loads(line) for line in file.read_text().splitlines()]
    with SqliteReader(host.places.journal) as store:
        came = {one.id: one.accepted_ms / 1000 for one in store.export() if isinstance(one, Mail)}
    attempts = [one for one in turns if one["poison"]]
    others = [one for one in turns if not one["poison"]]
    assert (len(attempts), len(others)) == (ATTEMPTS, POSTERS * EACH)
    assert sum(met(attempts, came[one["id"]], one["began"]) for one in others) > EACH, "the mailbox was never busy"
    assert all(met(attempts, came[one["id"]], one["began"]) <= 1 for one in others)


def met(attempts: list[dict[str, Any]], came: float, began: float) -> int:
    """How many of them ran while somebody waited."""
    return sum(one["began"] < began and one["ended"] > came for one in attempts)
