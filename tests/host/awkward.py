"""An agent and a program that have awkward descendants from their start on, and who these are."""

from __future__ import annotations

from typing import Any

from tests.host.agents import KINDS
from tests.host.running import Running, agent

SCRIPT = "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &) ; echo born; wait"
BELOW = {"/awkward": len(KINDS) + 5, "/program": 4}
"""So many are there in the end: all kinds but the one that is stopped are shells, each of which starts a sleep."""


def awkward_two(**keys: Any) -> list[dict[str, Any]]:
    quick = {"shutdown": "500ms", "backoff": "none", **keys}
    program = {"name": "program", "command": ["/bin/sh", "-c", SCRIPT], "ready": {"line": "born"}}
    return [agent("awkward", "AwkwardParent", **quick), {**program, **quick}]


def brood(host: Running, path: str) -> set[int]:
    """All descendants, when all are there: whoever comes later would be taken for one that was left. By what they were
    born into: an environment names their incarnation only for programs."""

    def all_of_them() -> set[int] | None:
        row = host.row(path, members=True)
        found = {one["pid"] for one in row.get("members", []) if one["pid"]} - {row["pid"]}
        return found if len(found) == BELOW[path] else None

    return set(host.wait(all_of_them, f"the {BELOW[path]} descendants of {path} are there"))


def family(host: Running, path: str) -> set[int]:
    """With the main process."""
    return brood(host, path) | {host.pid(path)}
