"""Who of a host is there, by two marks that do not depend on each other: its environment, and its cgroup.

A zombie shows no environment and counts all the same: by its cgroup, or if its pid and start time were seen before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

MARK = "SURVIVOR_OF"

Id = tuple[int, int]
"""pid and start time in clock ticks: a pid alone names nobody."""


@dataclass(frozen=True, slots=True)
class Seen:
    pid: int
    name: str
    state: str
    boot: int | None
    """Of the host that gave birth to it; None for the host's own processes."""
    by_environment: bool
    cgroup: str

    def __str__(self) -> str:
        marks = [*(["environment"] if self.by_environment else []), *([self.cgroup] if self.cgroup else [])]
        by = ", ".join(marks) or "pid and start time"
        return f"{self.name} {self.pid} ({self.state}, boot {self.boot}, by {by})"


def look(mark: str, cgroup: str, known: frozenset[Id] = frozenset()) -> dict[Id, Seen]:
    """All that carry ``MARK=mark``, stand in ``cgroup`` or below, or are ``known``."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        head, _, tail = _read(name, "stat").decode(errors="replace").rpartition(")")
        if not tail:
            continue
        fields = tail.split()
        one = int(name), int(fields[19])
        environment = dict(pair.partition("=")[::2] for pair in _environment(name).split("\0"))
        group = _read(name, "cgroup").decode(errors="replace").strip().removeprefix("0::").removesuffix(" (deleted)")
        inside = bool(cgroup) and f"{group}/".startswith(f"{cgroup}/")
        marked = environment.get(MARK) == mark
        if not (marked or inside or one in known):
            continue
        boot = environment.get("AGENTHOST_INCARNATION", "").partition(".")[0]
        found[one] = Seen(
            int(name),
            head.partition("(")[2],
            fields[0],
            int(boot) if boot.isdigit() else None,
            marked,
            group if inside else "",
        )
    return found


def _environment(pid: str) -> str:
    """One whose first thread has ended shows it by the others alone."""
    found = _read(pid, "environ")
    if not found:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return ""
        found = next(filter(None, (_read(pid, f"task/{thread}/environ") for thread in threads)), b"")
    return found.decode(errors="replace")


def _read(pid: str, name: str) -> bytes:
    """Empty for who has gone, and for a zombie's environment."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
