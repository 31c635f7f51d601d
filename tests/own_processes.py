"""Which processes of this machine may be of this run of tests.

Of each its stat is read, and its parents are followed up to the init of the run (``reaper``): whatever a test has
started is below that, whoever its parent is by now. Nothing else of a foreign process is looked at. What lies in its
memory, as its environment does, cannot be read while it forks; one that starves amid hundreds that compute was seen to
fork for two minutes.
"""

from __future__ import annotations

import os

from tests import reaper


def own_pids() -> list[int]:
    """Zombies too. Without an init of the run: all there are."""
    parents = {pid: parent for name in os.listdir("/proc") if name.isdigit() and (parent := _parent(pid := int(name)))}
    top = reaper.init_pid
    if not top:
        return list(parents)
    below = {top: True, 1: False, 2: False}

    def is_below(pid: int) -> bool:
        if pid not in below:
            # one that has ended since then: whose children its own are now is not known
            below[pid] = pid not in parents or is_below(parents[pid])
        return below[pid]

    return [pid for pid in parents if is_below(pid)]


def _parent(pid: int) -> int:
    """0 if there is none, or no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split(None, 2)[1])
    except OSError:
        return 0
