"""Who of an incarnation is there, seen from outside and by every mark there is, zombies included.

A process belongs to it if its environment names the incarnation, or its cgroup does, or it is in the PID namespace of
the incarnation alone; and whoever was seen once belongs to it until nothing has its pid and start time any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.host.running import MARK, PATIENCE_S, Running
from tests.own_processes import own_pids
from tests.waiting import wait_until

Id = tuple[int, int]
"""pid and start time in clock ticks: a pid alone names nobody."""


@dataclass(frozen=True, slots=True)
class Seen:
    pid: int
    parent: int
    state: str
    command: str
    threads: int
    by: str
    """The marks: environment, cgroup, namespace, or only that it was seen before."""

    @property
    def is_zombie(self) -> bool:
        return self.state in "ZX" and self.threads <= 1

    def __str__(self) -> str:
        return f"{self.command} {self.pid} ({self.state}, by {self.by or 'pid and start time'})"


class Witness:
    """Of the incarnation that is at ``path`` now. Until ``close`` it keeps the number of its PID namespace from being
    given to another one, as the kernel does it at once."""

    def __init__(self, host: Running, path: str) -> None:
        row = host.row(path)
        self.main: int = row["pid"]
        self.incarnation: str = row["incarnation"]
        self._marks = {f"{MARK}={host.mark}".encode(), f"AGENTHOST_INCARNATION={self.incarnation}".encode()}
        self._cgroup = f"/agenthost-{host.name}.", f"@{self.incarnation}"
        [of_host] = host.own_pids("host")
        self._held = os.open(f"/proc/{self.main}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        mine = os.readlink(f"/proc/self/fd/{self._held}")
        self._namespace = mine if mine != _namespace(of_host) else ""
        everybody = _everybody(lambda pid: "")
        self.known: set[Id] = {one for one, _ in everybody if one[0] == self.main}
        """At first its main process, which the host names: one that was forked shows no environment of its own."""

    def close(self) -> None:
        os.close(self._held)

    def look(self) -> dict[Id, Seen]:
        """All of it that is there now; from now on known. A zombie shows no environment: it belongs to its parent."""
        everybody = dict(_everybody(self._belongs))
        found = {one: seen for one, seen in everybody.items() if seen.by or one in self.known}
        pids = {pid for pid, _ in found}
        found |= {one: seen for one, seen in everybody.items() if seen.is_zombie and seen.parent in pids}
        self.known |= found.keys()
        return found

    def living(self) -> list[Seen]:
        return [one for one in self.look().values() if not one.is_zombie]

    def left(self) -> list[str]:
        """Who lives now. ``AssertionError`` for a zombie that nobody reaps: one whose parent has just been ended is
        there until whoever got it has had a turn on the CPU."""
        if living := [str(one) for one in self.look().values() if not one.is_zombie]:
            return living
        wait_until(lambda: not self.look(), PATIENCE_S, "its zombies are reaped")
        return []

    def _belongs(self, pid: int) -> str:
        by = []
        lines = _read(pid, "cgroup").decode(errors="replace").splitlines()
        if any(self._in_cgroup(line.removesuffix(" (deleted)")) for line in lines):
            by.append("cgroup")
        if self._namespace and _namespace(pid) == self._namespace:
            by.append("namespace")
        # Who forks without pause can hardly be read, and is known by the others.
        if not by and self._marks <= set(_environment(pid).split(b"\0")):
            by.append("environment")
        return ", ".join(by)

    def _in_cgroup(self, line: str) -> bool:
        host, name = self._cgroup
        return host in line and f"{name}/" in f"{line}/"


def _everybody(belongs: Callable[[int], str]) -> Iterator[tuple[Id, Seen]]:
    for pid in own_pids():
        head, _, tail = _read(pid, "stat").decode(errors="replace").rpartition(")")
        if not tail:
            continue
        fields = tail.split()
        by = belongs(pid)
        yield (pid, int(fields[19])), Seen(pid, int(fields[1]), fields[0], head.partition("(")[2], int(fields[17]), by)


def _read(pid: int, name: str) -> bytes:
    """Empty for who has gone, and for a zombie's environment."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _environment(pid: int) -> bytes:
    """One whose first thread has ended shows it by the others alone."""
    if found := _read(pid, "environ"):
        return found
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return b""
    return next(filter(None, (_read(pid, f"task/{thread}/environ") for thread in threads)), b"")


def _namespace(pid: int) -> str:
    """Empty for who has gone, zombies too."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
