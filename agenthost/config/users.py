"""Whether processes can run as another user here: what ``user:`` may name.

Asks the kernel what it would allow (capabilities(7), user_namespaces(7)), and the account data base; changes nothing.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator

from agenthost.core.spec import ChildSpec, WorkerSpec

CAP_SETGID, CAP_SETUID = 1 << 6, 1 << 7


def refusal(uid: int) -> tuple[str, str] | None:
    """What is wrong with this user, and what to do; None if nothing is."""
    if uid == os.geteuid():
        return None
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"there is no account with uid {uid}, so its groups are unknown", "create the user, or name another"
    if (CAP_SETGID | CAP_SETUID) & ~_capabilities():
        return (
            f"cannot run anything as {name}: this host runs as uid {os.geteuid()}, and only root may change users",
            "run the host as root, or remove the line",
        )
    if not _is_mapped(uid):
        return (
            f"cannot run anything as {name}: uid {uid} is not mapped in this user namespace",
            "run the host outside of it; `namespace: never` where the host itself had to make one",
        )
    return None


def users_of(spec: ChildSpec) -> Iterator[int]:
    """All that a tree names, in no order, again and again; a pool's template too."""
    if isinstance(spec, WorkerSpec):
        if (uid := getattr(spec.birth, "user", None)) is not None:
            yield uid
        return
    for child in (*spec.children, *([spec.template] if spec.template else [])):
        yield from users_of(child)


def _capabilities() -> int:
    with open("/proc/self/status", "rb") as file:
        return next((int(line.split()[1], 16) for line in file if line.startswith(b"CapEff:")), 0)


def _is_mapped(uid: int) -> bool:
    with open("/proc/self/uid_map", "rb") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    return any(first <= uid < first + count for first, _, count in ranges)
