"""Reaching the host, and naming things in it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agenthost.errors import AgenthostError, UnknownName

if TYPE_CHECKING:
    from agenthost.client.client import Client


@dataclass(slots=True)
class Where:
    """Which host: the global options."""

    socket: str | None = None
    host: str | None = None


WHERE = Where()


def client() -> Client:
    """``NoHost`` with a hint if there is none, or more than one."""
    from agenthost.client.client import Client
    from agenthost.transport.places import find_endpoint

    return Client(find_endpoint(WHERE.socket, WHERE.host))


def paths_of(asked: Client, patterns: list[str]) -> list[str]:
    """The nodes that ``patterns`` name: a path is itself, a glob all it matches. ``UnknownName`` with the nearest."""
    known = [row["path"] for row in asked.request("status")["tree"]]
    found: list[str] = []
    for pattern in patterns:
        found.extend(path for path in matching(pattern, known) if path not in found)
    return found


def matching(pattern: str, known: list[str]) -> list[str]:
    from fnmatch import fnmatchcase

    wanted = "/" + pattern.strip("/")
    if wanted in known:
        return [wanted]
    globbed = [path for path in known if fnmatchcase(path, wanted)] if set(wanted) & set("*?[") else []
    if not globbed:
        near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "see: agenthost status -o name"
        raise UnknownName(f"there is no {pattern}", hint=hint)
    return globbed


def complete_path(incomplete: str) -> list[str]:
    """For the shell: paths that begin so. Says nothing if there is no host."""
    try:
        with client() as asked:
            asked.patience_s = 1.0
            tree: list[dict[str, Any]] = asked.request("status", timeout=1.0)["tree"]
    except AgenthostError:
        return []
    return [row["path"] for row in tree if row["path"].startswith(incomplete)]
