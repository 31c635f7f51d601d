"""Cells by walking /proc, for where nothing better is to be had. Every agent is a subreaper, so what it starts stays
below it while it lives; what it leaves behind is handed to the host, which must be a subreaper too.

Complete against all but a fork bomb of hundreds. What we never saw before its agent died cannot be told from other
orphans: the host ends it as a remnant (:func:`kill_remnants`), before it calls the incarnation ended.
"""

from __future__ import annotations

import os
from typing import Collection

from agenthost.containment import descent, procfs
from agenthost.containment.booked import WITHOUT_CGROUPS, BookedCell, BookedContainment
from agenthost.containment.cell import CellOrder
from agenthost.containment.procfs import Stat
from agenthost.core.birth import Limits


class WalkCell(BookedCell):
    tier = "walk"
    _seen: descent.Known | None = None
    _dying: descent.Known | None = None
    """Who was sent KILL."""

    def order(self) -> CellOrder:
        return CellOrder(subreaper=True)

    def own(self) -> list[Stat]:
        """Main, all below it, and what was seen below it earlier and all below that."""
        if self._main is None:
            return []
        found = descent.living_below({self._main.pid: self._main.start_time, **(self._seen or {})})
        self._seen = {pid: one.start_time for pid, one in found.items()}
        return list(found.values())

    def own_pulse(self) -> Stat | None:
        if self._main and (main := procfs.living(self._main.pid, self._main.start_time)):
            return main
        return next(iter(self.own()), None)

    def kill_own(self) -> None:
        if self._dying is None:
            self._dying = {}
        descent.kill({one.pid: one.start_time for one in self.own()}, earlier=self._dying)


class WalkContainment(BookedContainment[WalkCell]):
    tier = "walk"

    def cell(self, path: str, incarnation: str, limits: Limits) -> WalkCell:
        cell = WalkCell(self._nest, self._readiness, path, incarnation, self._nest.parent_for(path))
        cell.cpu_ground = self._cpu_ground
        return cell

    def explain(self) -> list[str]:
        return [
            "an agent is ended by walking /proc: complete for all but a fork bomb of hundreds of processes",
            *WITHOUT_CGROUPS,
        ]


def remnants(host_pid: int, known_pids: Collection[int], born_before_ticks: int | None = None) -> list[int]:
    """Living children of the host that it did not start, and all below them: what ended agents left behind.

    ``known_pids`` are all children the host knows. A birth that is under way is a child it does not know yet: then give
    ``born_before_ticks``, the time (``procfs.now_ticks()``) at which the oldest open birth was ordered; what started
    then or later is left for the next look.
    """
    return list(_remnants(host_pid, known_pids, born_before_ticks))


def kill_remnants(host_pid: int, known_pids: Collection[int], born_before_ticks: int | None = None) -> int:
    """End them; returns how many were found. Call again until 0. If we are the host, zombies among them are reaped and
    counted: what a process forked before it ended becomes our child after we have looked.
    """
    found = _remnants(host_pid, known_pids, born_before_ticks)
    if found:
        descent.kill({pid: one.start_time for pid, one in found.items()}, spare=set(known_pids))
    reaped = _reap_strangers(known_pids, born_before_ticks) if host_pid == os.getpid() else 0
    return len(found) + reaped


def _strangers(host_pid: int, known_pids: Collection[int], born_before_ticks: int | None) -> list[Stat]:
    known = set(known_pids)
    found = (procfs.stat(pid) for pid in procfs.children(host_pid) if pid not in known)
    return [one for one in found if one and (born_before_ticks is None or one.start_time < born_before_ticks)]


def _remnants(host_pid: int, known_pids: Collection[int], born_before_ticks: int | None) -> dict[int, Stat]:
    tops = {one.pid: one.start_time for one in _strangers(host_pid, known_pids, born_before_ticks) if one.alive}
    return descent.living_below(tops)


def _reap_strangers(known_pids: Collection[int], born_before_ticks: int | None) -> int:
    """How many there were."""
    zombies = [one for one in _strangers(os.getpid(), known_pids, born_before_ticks) if not one.alive]
    for one in zombies:
        try:
            os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # somebody else of this process has reaped it
            continue
    return len(zombies)
