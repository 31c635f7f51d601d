"""Cells that compute without pause give way: their threads run where nobody else wants to, until they stop computing.

Leaves to ``containment.pace`` what computing is, and to ``containment.precedence`` how the kernel is told. The rules:
an idle machine costs one short look a second; a look at a busy one is bounded, whatever runs; nobody is starved for
longer than two periods, nor again within ``HOLD_S``; whose silence counts does not give way until he was heard; and who
has started others gives way, or not, without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from agenthost.containment import pace, precedence
from agenthost.errors import ContainmentError
from agenthost.host.incarnation import Incarnation
from agenthost.host.pulse import PERIOD_S, at_next_pulse

IDLE_LOOKS, STARVED_LOOKS = 3, 2
"""In a row, until it is believed that one does not compute any more, or is not let to."""
HOLD_S, LONGEST_HOLD_S = 5.0, 60.0
"""Who was starved keeps the ordinary policy for so long; twice as long when it is starved again in the same turn."""
CELLS_PER_LOOK = 100
"""Of those nothing is known about; as many again of those whose turn takes long. 15 us each."""
SUSPECTS = 100
"""0.1 ms each, with three threads. A crowd larger than that does not give way as a whole."""
THREADS_PER_CELL, PROCESSES_PER_LOOK = 64, 200
CROWD = 16
"""Processes of one cell. More of them are set aside as a group: by the policy alone, many weigh much."""
REST = 20
"""A crowd that gives way is looked at again after so many times as long as the last look at it took: to walk a thousand
processes takes 0.1 s, in which others wait for the CPU that we have."""
SOON_S = 0.05
"""Until the next part of a crowd that is being lowered."""
LATER = (OSError, ContainmentError)
"""Out of descriptors, or a cell is being taken apart: the others are looked at all the same, this one in a second."""
CPUS = len(os.sched_getaffinity(0))


@dataclass(slots=True, eq=False)
class Suspect:
    """One that may compute, or does. ``lowered``: it gives way."""

    of: Incarnation
    at: float
    times: dict[int, pace.Times]
    lowered: bool = False
    is_through: bool = False
    """All that were there have been lowered: before that, those that are starve beside their own siblings."""
    spared: set[int] = field(default_factory=set)
    """Threads that gave way by their author's will."""
    passed: int = 0
    """So many processes were changed; the next look goes on from there."""
    idle_looks: int = 0
    starved_looks: int = 0
    used_s: float | None = None
    """CPU time of the cell, by its own count, when that was looked at last."""
    changed: set[int] = field(default_factory=set)
    """Processes of it that were made to give way."""
    clean: int = 0
    """So many processes in a row were found restored."""
    rests_until: float = 0.0


class GivingWay:
    """``present()`` are all incarnations. Make it inside the running loop."""

    def __init__(self, present: Callable[[], Collection[Incarnation]]) -> None:
        self._present = present
        self.refusal = precedence.refusal()
        """Why nobody gives way here; "" if all do."""
        self._suspects: dict[int, Suspect] = {}
        self._restoring: dict[int, Suspect] = {}
        self._next = 0
        self._next_long = 0
        self._left = 0
        """Processes that this look may still change."""
        self._is_crowded = False
        """Somebody else wanted to run when that was looked at last."""
        self._timer: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if not self.refusal:
            self._timer = at_next_pulse(self._turn)

    def close(self) -> None:
        for timer in (self._timer, self._rest):
            if timer is not None:
                timer.cancel()

    def turn_ended(self, of: Incarnation) -> None:
        """What comes next is served at once."""
        of.hold_s = 0.0
        suspect = self._suspects.get(of.n)
        if suspect is not None and suspect.lowered:
            self._left = PROCESSES_PER_LOOK
            with contextlib.suppress(*LATER):
                self._restore(suspect)

    # ---- one look

    def _turn(self) -> None:
        self._timer = at_next_pulse(self._turn)
        ready = pace.ready_to_run()
        was_crowded, self._is_crowded = self._is_crowded, ready > 1  # twice in a row: who computes is there each time
        if (self._is_crowded and was_crowded) or self._suspects or self._restoring:
            self.look(ready, time.monotonic())

    def look(self, ready: int, now: float) -> None:
        """``ready``: threads of the machine that run or could, we among them."""
        self._left = PROCESSES_PER_LOOK
        present = self._present()
        fair = min(1.0, CPUS / max(1, ready - 1))
        lowered = sum(suspect.lowered for suspect in self._suspects.values())
        fair_below = min(1.0, CPUS / max(1, lowered))
        for suspect in list(self._restoring.values()):
            with contextlib.suppress(*LATER):
                self._restore_on(suspect)
        for suspect in list(self._suspects.values()):
            with contextlib.suppress(*LATER):
                if suspect.lowered:
                    self._judge_in_time(suspect, fair_below, now)
                else:
                    self._suspect_on(suspect, fair, now)
        if ready > 1:
            for of in self._candidates(list(present)):
                with contextlib.suppress(*LATER):
                    self._glance(of, fair, now)
        self._lower_rest_soon()

    def _lower_rest_soon(self) -> None:
        """A crowd is lowered in parts, none of which holds up the loop for long."""
        if self._timer is None or self._rest is not None:
            return
        if any(one.lowered and not one.is_through for one in self._suspects.values()):
            self._rest = asyncio.get_running_loop().call_later(SOON_S, self._lower_rest)

    def _lower_rest(self) -> None:
        self._rest = None
        self._left = PROCESSES_PER_LOOK
        for suspect in list(self._suspects.values()):
            if suspect.lowered and not suspect.is_through:
                with contextlib.suppress(*LATER):
                    self._lower(suspect, suspect.of.cell.own_members())
        self._lower_rest_soon()

    def _candidates(self, present: list[Incarnation]) -> Iterator[Incarnation]:
        """The next of those whose turn takes long, and of all."""
        long = [of for of in present if of.beat_at is not None]
        self._next_long = self._next_long if self._next_long < len(long) else 0
        self._next = self._next if self._next < len(present) else 0
        yield from long[self._next_long : self._next_long + CELLS_PER_LOOK]
        yield from (of for of in present[self._next : self._next + CELLS_PER_LOOK] if of.beat_at is None)
        self._next_long += CELLS_PER_LOOK
        self._next += CELLS_PER_LOOK

    def _glance(self, of: Incarnation, fair: float, now: float) -> None:
        """By the cell's own count: has it used so much since the last time that it may compute?"""
        if of.born is None or of.n in self._suspects or of.n in self._restoring or not may_begin(of, now):
            return
        if len(self._suspects) >= SUSPECTS:
            return
        used = of.cell.own_cpu_s()
        if used is None:
            return
        before, of.cpu_seen_s = of.cpu_seen_s, used
        if used - before >= pace.MUCH_CPUS * fair * PERIOD_S:
            times = pace.read_times(of.cell.own_members()[:THREADS_PER_CELL], THREADS_PER_CELL)
            self._suspects[of.n] = Suspect(of, now, times, used_s=used)

    def _suspect_on(self, suspect: Suspect, fair: float, now: float) -> None:
        period, members = self._measure(suspect, now)
        if not may_begin(suspect.of, now) or period.wanted_cpus < pace.MUCH_CPUS:
            del self._suspects[suspect.of.n]
        elif pace.begins_to_compute(period, fair):
            suspect.lowered = suspect.of.computing = True
            suspect.of.excused_at = now
            if not suspect.of.cell.has_nested():  # its group is that of those it started, too
                suspect.of.cell.let_others_first(True)
            suspect.spared = self._lower(suspect, members)

    def _judge_in_time(self, suspect: Suspect, fair: float, now: float) -> None:
        if suspect.is_through and now < suspect.rests_until:
            return
        began = time.monotonic()
        self._judge(suspect, fair, now)
        suspect.rests_until = now + REST * (time.monotonic() - began)

    def _judge(self, suspect: Suspect, fair: float, now: float) -> None:
        period, members = self._measure(suspect, now)
        of, some = suspect.of, members[:THREADS_PER_CELL]
        found = pace.finding(period, fair, lambda: pace.any_ready(some, suspect.times))
        if found == "starves" and not suspect.is_through:
            found = "computes"
        suspect.idle_looks = 0 if found == "computes" else suspect.idle_looks + 1
        suspect.starved_looks = suspect.starved_looks + 1 if found == "starves" else 0
        if found == "starves":
            of.excused_at = now
        if suspect.starved_looks >= STARVED_LOOKS:
            of.hold_s = min(2 * of.hold_s, LONGEST_HOLD_S) if of.hold_s else HOLD_S
            of.hold_until = now + of.hold_s
        if of.hold_until > now or suspect.idle_looks >= IDLE_LOOKS or is_ending(of) or of.doubt is not None:
            self._restore(suspect)
            return
        if of.cell.has_nested():  # it has started somebody since
            of.cell.let_others_first(False)
        self._lower(suspect, members)

    def _measure(self, suspect: Suspect, now: float) -> tuple[pace.Period, list[int]]:
        members = [] if suspect.of.let_go else suspect.of.cell.own_members()
        suspect.changed.intersection_update(members)
        # always the same ones: those of a fork bomb are alike
        after = pace.read_times(members[:THREADS_PER_CELL], THREADS_PER_CELL)
        period = pace.between(suspect.times, after, now - suspect.at)
        used_s, before_s = None if suspect.of.let_go else suspect.of.cell.own_cpu_s(), suspect.used_s
        if len(members) > THREADS_PER_CELL and used_s is not None and before_s is not None:
            # of a crowd each runs once in seconds: those that are measured may have had no turn at all
            period = period._replace(ran_s=used_s - before_s)
        suspect.used_s = used_s
        suspect.at, suspect.times = now, after
        return period, members

    # ---- changing

    def _lower(self, suspect: Suspect, members: list[int]) -> set[int]:
        """Children are born with it, so each is changed once, but for those that were born meanwhile. Returns threads
        that gave way before; not for our own doing."""
        # Those that are not lowered yet first: beside them the others get nothing, and a crowd grows by them alone.
        new = [pid for pid in members if pid not in suspect.changed][: self._left]
        self._left -= len(new)
        some = new or self._some(suspect, members)
        others = [one for one in (*self._suspects.values(), *self._restoring.values()) if one is not suspect]
        before: set[int] = set()
        is_crowd = len(members) > CROWD
        for pid in some:
            if is_crowd:
                suspect.of.cell.set_aside(pid)
            found = precedence.lower(pid)
            if found and not any(pid in one.changed for one in others):
                before |= found
        suspect.changed.update(some)
        suspect.is_through = suspect.is_through or suspect.changed.issuperset(members)
        return before

    def _restore(self, suspect: Suspect) -> None:
        self._suspects.pop(suspect.of.n, None)
        suspect.lowered = suspect.is_through = suspect.of.computing = False
        suspect.passed = suspect.clean = 0
        self._restoring[suspect.of.n] = suspect
        self._restore_on(suspect)

    def _restore_on(self, suspect: Suspect) -> None:
        """Until all in a row were found restored: they may have forked meanwhile."""
        members = [] if suspect.of.let_go else suspect.of.cell.own_members()
        if not suspect.of.let_go:
            suspect.of.cell.let_others_first(False)
        if moved := suspect.of.cell.take_back(self._left):
            suspect.clean, self._left = 0, self._left - moved
        for pid in self._some(suspect, members):
            suspect.clean = 0 if precedence.restore(pid, suspect.spared) else suspect.clean + 1
        if suspect.clean >= len(members):
            del self._restoring[suspect.of.n]

    def _some(self, suspect: Suspect, members: list[int]) -> list[int]:
        """The next ones, as many as this look may still change."""
        start = suspect.passed % max(1, len(members))
        some = (members[start:] + members[:start])[: self._left]
        suspect.passed = start + len(some)
        self._left -= len(some)
        return some


def may_begin(of: Incarnation, now: float) -> bool:
    """Not while it ends, is held, is in doubt; nor before it was heard again after it was starved: silence that goes on
    must count."""
    if is_ending(of) or now < of.hold_until or of.doubt is not None:
        return False
    if of.birth.limits.cpu_weight is not None:  # that says what it gets beside others: cpu.idle would undo it
        return False
    return of.beat_at is None or of.beat_at > of.excused_at


def is_ending(of: Incarnation) -> bool:
    return of.exited or of.killing or of.asked is not None
