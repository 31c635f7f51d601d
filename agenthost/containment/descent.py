"""Ending processes and all below them where the kernel offers no wall: look, stop, look again, kill.

Complete against everything but a fork bomb that outruns the look (hundreds of forkers). Each call works for a bounded
time and can be repeated; who calls decides when enough is enough. Stopping comes first so that nobody forks or exits
while we look; leaves are killed before their parents so that nobody is handed on to another parent.
"""

from __future__ import annotations

import signal
import time
from typing import Collection, Mapping

from agenthost.containment import procfs, signals
from agenthost.containment.procfs import Stat

Known = dict[int, int]
"""pid to start time."""

BUDGET_S = 0.05
"""How long one call may hold up the event loop, if it is much to do; the next call goes on."""


def living_below(seeds: Mapping[int, int]) -> dict[int, Stat]:
    """The seeds that still live and all that lives below them, parents before children. Dead seeds are not entered."""
    alive = {pid: one for pid, since in seeds.items() if (one := procfs.living(pid, since))}
    for pid, one in procfs.descendants(alive).items():
        if one.alive:
            alive[pid] = one
    return alive


def stop(seeds: Mapping[int, int], spare: Collection[int] = (), budget_s: float = BUDGET_S) -> Known:
    """STOP the seeds and all below them until a look finds nothing new and all at rest. Returns whom we stopped."""
    deadline = time.monotonic() + budget_s
    known: Known = dict(seeds)
    stopped: Known = {}
    while True:
        found = {pid: one for pid, one in living_below(known).items() if pid not in spare}
        known |= {pid: one.start_time for pid, one in found.items()}
        moving = [one for one in found.values() if not one.stopped]
        new = [one for one in moving if one.pid not in stopped]
        for one in new:
            if _sent(one.pid, one.start_time, signal.SIGSTOP):
                stopped[one.pid] = one.start_time
        # D is stopped when it wakes, before it runs its own code again
        at_rest = all(one.state == "D" for one in moving)
        if (not new and at_rest) or time.monotonic() > deadline:
            return stopped


def resume(stopped: Mapping[int, int]) -> None:
    for pid, since in stopped.items():
        _sent(pid, since, signal.SIGCONT)


def kill(
    seeds: Mapping[int, int], spare: Collection[int] = (), budget_s: float = BUDGET_S, earlier: Known | None = None
) -> Known:
    """STOP, then KILL, the seeds and all below them, until a look finds nobody who was not sent KILL.

    Returns whom it was sent to (pid to start time): they may need a moment to be gone. ``earlier``: what earlier calls
    have returned; these are added. Who was sent KILL runs no code of its own any more: to wait until it has stopped
    first would only take the processor that it needs to end.
    """
    deadline = time.monotonic() + budget_s
    known: Known = dict(seeds)
    sent: Known = {}
    dying = {} if earlier is None else earlier
    while True:
        known |= stop({pid: since for pid, since in known.items() if dying.get(pid) != since}, spare, budget_s / 4)
        found = [one for one in living_below(known).values() if one.pid not in spare and one.pid not in sent]
        for one in reversed(found):
            known[one.pid] = one.start_time
            if _sent(one.pid, one.start_time, signal.SIGKILL):
                sent[one.pid] = dying[one.pid] = one.start_time
        if not found or time.monotonic() > deadline:
            return sent


def _sent(pid: int, since: int, signum: int) -> bool:
    try:
        return signals.send(pid, since, signum)
    except PermissionError:  # a set-user-ID program: it is still looked for, and stays in the way of "empty"
        return False
