"""Who of a run is there, found from outside by the markers in /proc/PID/environ, and the end of all of them.

A zombie shows no environment, so whoever was seen once is remembered by pid and start time, and counts until it is
reaped. What a dead supervisor leaves is adopted by this process, which must be a subreaper, and reaps it here: a zombie
that stays is one that a living supervisor keeps. Rule: nothing is signalled that does not carry this run's marker.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from survivors.victim import BROOD, KIND, MAIN, RUN
from survivors.waiting import LOOK_S, wait_until

GONE_S = 1.0
"""What was not seen for so long is gone: one look can miss a nomad that is between two processes."""


@dataclass(frozen=True, slots=True)
class Member:
    """``start``: field 22 of /proc/PID/stat, which makes the pid unique. A supervisor has no ``brood`` and ``kind``."""

    pid: int
    start: str
    brood: str
    kind: str


@dataclass(slots=True)
class Crowd:
    """All processes of the run ``run``; ``spared``: a child of ours that somebody else waits for."""

    run: str
    spared: int = 0
    _remembered: set[Member] = field(default_factory=set)

    def look(self) -> set[Member]:
        """Those there now, zombies too."""
        self._reap()
        self._remembered |= {member for pid in _pids() if (member := self._read(pid))}
        self._remembered = {member for member in self._remembered if _stat(member.pid)[19:20] == [member.start]}
        return set(self._remembered)

    def kinds(self, brood: str) -> set[str]:
        return {member.kind for member in self.look() if member.brood == brood}

    def main_pid(self, brood: str) -> int:
        """Of the victim itself."""
        return next(member.pid for member in self.look() if (member.brood, member.kind) == (brood, MAIN))

    def survivors(self, brood: str, patience_s: float) -> list[str]:
        """The kinds that are left when all have gone, or after ``patience_s``."""
        deadline = time.monotonic() + patience_s
        seen_s: dict[str, float] = {}
        while True:
            now = time.monotonic()
            seen_s |= dict.fromkeys(self.kinds(brood), now)
            left = sorted(kind for kind, at in seen_s.items() if now - at < GONE_S)
            if now > deadline or (not left and now > deadline - patience_s + GONE_S):
                return left
            time.sleep(LOOK_S)

    def end(self) -> None:
        """KILL until nobody was there for ``GONE_S``."""
        calm_since = time.monotonic()

        def is_calm() -> bool:
            nonlocal calm_since
            for member in self.look():
                calm_since = time.monotonic()
                try:
                    os.kill(member.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return time.monotonic() - calm_since > GONE_S

        wait_until(is_calm, f"the processes marked {RUN}={self.run} have ended")

    def _read(self, pid: int) -> Member | None:
        try:
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # gone, or of another user, or a zombie
            return None
        found = dict(entry.decode(errors="replace").partition("=")[::2] for entry in entries)
        fields = _stat(pid)
        if found.get(RUN) != self.run or not fields:
            return None
        return Member(pid, fields[19], found.get(BROOD, ""), found.get(KIND, ""))

    def _reap(self) -> None:
        for pid in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
            if pid != self.spared and _stat(pid)[:1] == ["Z"]:
                os.waitpid(pid, os.WNOHANG)


def _pids() -> list[int]:
    """All but ourselves."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _stat(pid: int) -> list[str]:
    """state, ppid, ... of proc(5); empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
