"""The owner of Examine: who is about to be killed, or interrupted, is looked at before; an ``Autopsy`` comes of it.

Its processes are read at once, before any of them is killed; its stack takes longer (``stack_dump``), and the Kill, or
the interruption, waits for that: ``LONGEST_S`` at most, whatever happens. Of a crowd that is to be ended at the same
time only some are asked for their stacks. The rule it keeps: whoever waits for a look goes on exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec

from agenthost.core import effects as do
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.errors import ContainmentError
from agenthost.host.autopsy import LONGEST_REASON, Autopsy, Process
from agenthost.host.incarnation import Incarnation
from agenthost.host.process_tree import processes_of
from agenthost.host.stack_dump import Signal, StackDump, Told
from agenthost.host.stack_text import where

LONGEST_S = 2.0
AT_A_TIME = 8
"""Stacks that are asked for; of others the processes alone are told."""
SEEN_S, SEEN_AGAIN_S = 0.05, 0.25
"""So much of the host's loop goes, in so long, to reading the processes of cells: half a millisecond for one, ten for a
hundred. Of a larger crowd not even those are told."""
CROWDED = "none: too many were to be looked at"
NOT_READ = "not read: too many were to be looked at"


class Look:
    """One that is under way. ``waiting`` go on when it is over; ``seen`` is what is known by then."""

    __slots__ = ("seen", "task", "waiting")

    def __init__(self, seen: Autopsy) -> None:
        self.seen = seen
        self.task: asyncio.Task[None] | None = None
        self.waiting: list[Callable[[], None]] = []

    def end(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Examining:
    """``hasten`` lets one run at once that gives way; ``outer`` tells a pid as people see it."""

    def __init__(
        self,
        *,
        boot: int,
        present: Callable[[int], Incarnation | None],
        hasten: Callable[[Incarnation], None],
        outer: Callable[[int], int | None],
        record: Callable[..., None],
    ) -> None:
        self._boot, self._present, self._hasten, self._outer = boot, present, hasten, outer
        self._record = record
        self.stacks = StackDump()
        self.on_autopsy: Callable[[Autopsy], None] = lambda autopsy: None
        """Told of each, before the Kill goes on."""
        self._looks: dict[int, Look] = {}
        self._seen_s, self._seen_since = 0.0, 0.0

    def examine(self, effect: do.Examine) -> None:
        """The effect. Its Kill follows, and asks ``holds``."""
        incarnation = self._present(effect.n)
        if incarnation is not None and not incarnation.exited and incarnation.born is not None:
            self._begin(incarnation, effect.reason, is_end=True)

    def before_interrupt(self, incarnation: Incarnation, reason: Reason, go_on: Callable[[], None]) -> None:
        """``go_on`` is called when it was looked at."""
        if incarnation.n not in self._looks:
            self._begin(incarnation, reason, is_end=False)
        self._looks[incarnation.n].waiting.append(go_on)

    def holds(self, n: int, go_on: Callable[[], None]) -> bool:
        """It is looked at before its end: ``go_on`` is called when that is over."""
        look = self._looks.get(n)
        if look is None:
            return False
        if not look.seen.is_end:  # somebody else wants it gone, at once
            look.end()
            return False
        look.waiting.append(go_on)
        return True

    def exited(self, incarnation: Incarnation) -> None:
        """Its main process is gone, perhaps by our signal. Told before its end is; whoever waits goes on after that."""
        look = self._looks.get(incarnation.n)
        if look is None:
            return
        if not look.seen.stack_means:
            look.seen = _with_stack(look.seen, _scrubbed(incarnation, self.stacks.last_words(incarnation.n)))
        waiting, look.waiting = look.waiting, []
        for go_on in waiting:
            asyncio.get_running_loop().call_soon(go_on)
        self._over(incarnation, look)
        look.end()

    async def look_at(self, incarnation: Incarnation, *, with_stack: bool) -> Autopsy:
        """For an operator: nothing follows from it."""
        reason = Reason("normal", text="somebody wanted to know")
        seen = self._see(incarnation, reason, is_end=False)
        return _with_stack(seen, await self._told(incarnation, "go_on")) if with_stack else seen

    def close(self) -> None:
        looks, self._looks = self._looks, {}
        for look in looks.values():
            look.end()

    # ---- one look

    def _begin(self, incarnation: Incarnation, reason: Reason, *, is_end: bool) -> None:
        look = Look(self._see_if_there_is_time(incarnation, reason, is_end=is_end))
        before = self._looks.get(incarnation.n)
        if before is not None:  # at the interruption that comes to nothing now
            look.waiting, before.waiting = before.waiting, []
            before.end()
        self._looks[incarnation.n] = look
        look.task = asyncio.get_running_loop().create_task(self._look(incarnation, look))
        look.task.add_done_callback(lambda task: self._over(incarnation, look))  # also if it was ended before it began

    async def _look(self, incarnation: Incarnation, look: Look) -> None:
        signal: Signal = "end" if look.seen.is_end else ""
        told = Told("", CROWDED) if len(self._looks) > AT_A_TIME else await self._told(incarnation, signal)
        look.seen = _with_stack(look.seen, told)

    async def _told(self, incarnation: Incarnation, signal: Signal) -> Told:
        self._hasten(incarnation)
        try:
            async with asyncio.timeout(LONGEST_S):
                return _scrubbed(incarnation, await self.stacks.stack_of(incarnation, signal))
        except TimeoutError:
            return Told("", f"none: that took longer than {LONGEST_S:g} s")
        except OSError as error:  # out of descriptors, say: the Kill must go on all the same
            return Told("", f"none: {error.strerror}")

    def _over(self, incarnation: Incarnation, look: Look) -> None:
        if self._looks.get(incarnation.n) is not look:
            return  # a later one has taken its place, and those who waited
        del self._looks[incarnation.n]
        autopsy = look.seen
        if not autopsy.stack_means:
            autopsy = _with_stack(autopsy, Told("", "none: it ended meanwhile"))
        with contextlib.ExitStack() as every:  # each of them goes on, whatever another one raises
            for go_on in reversed(look.waiting):
                every.callback(go_on)
            self._record("agent.examined", incarnation.path, incarnation=incarnation.n, text=_in_words(autopsy))
            self.on_autopsy(autopsy)

    def _see_if_there_is_time(self, incarnation: Incarnation, reason: Reason, *, is_end: bool) -> Autopsy:
        begin = time.monotonic()
        if begin >= self._seen_since + SEEN_AGAIN_S:
            self._seen_s, self._seen_since = 0.0, begin
        seen = self._see(incarnation, reason, is_end=is_end, why_not=NOT_READ if self._seen_s >= SEEN_S else "")
        self._seen_s += time.monotonic() - begin
        return seen

    def _see(self, incarnation: Incarnation, reason: Reason, *, is_end: bool, why_not: str = "") -> Autopsy:
        """``why_not``: its processes are not read, and that is why."""
        birth, turn = incarnation.birth, incarnation.turn
        main = incarnation.agent_pid or (incarnation.born.pid if incarnation.born is not None else None)
        pids: list[int] = []
        processes: list[Process] = []
        try:
            pids = [] if why_not else incarnation.cell.members()
            processes = processes_of(
                pids,
                known=incarnation.private.all_values,
                main=main,
                forked=incarnation.agent_pid,
                forked_as=birth.agent if isinstance(birth, AgentBirth) else "",
                outer=self._outer,
            )
        except (OSError, ContainmentError) as error:  # it is being taken apart, or we are out of descriptors
            why_not = f"not read: {error}"
        main_outside = None if main is None else self._outer(main)
        others = [f"{one['name']} (pid {one['pid']})" for one in processes if one["pid"] != main_outside]
        if (more := len(pids) - len(processes)) > 0 and processes:
            others.append(f"and {more} more")
        frozen_at = turn.frozen_at
        why = incarnation.private.declared.hidden_in(reason.text or reason.words())
        return Autopsy(
            path=incarnation.path,
            boot=self._boot,
            n=incarnation.n,
            at_ms=round(time.time() * 1000),
            kind=reason.kind,
            reason=why[:LONGEST_REASON],
            is_end=is_end,
            turn=turn.number,
            message=turn.message,
            attempt=turn.attempt,
            turn_s=max(0.0, (frozen_at or time.monotonic()) - turn.began_at) if turn.number else 0.0,
            processes=processes,
            processes_in_all=len(pids),
            processes_means=why_not,
            killed=others if is_end else [],
        )


def _in_words(autopsy: Autopsy) -> str:
    place, count = where(autopsy.stack), autopsy.processes_in_all
    at = f" in {place}" if place else ""
    processes = "1 process" if count == 1 else f"{count} processes"
    if autopsy.processes_means:
        processes = f"its processes were {autopsy.processes_means}"
    return f"{autopsy.reason}{at}; stack: {autopsy.stack_means}; {processes}"


def _with_stack(seen: Autopsy, told: Told) -> Autopsy:
    return msgspec.structs.replace(seen, stack=told.stack, stack_means=told.means)


def _scrubbed(incarnation: Incarnation, told: Told) -> Told:
    known = incarnation.private.declared
    return Told(known.hidden_in(told.stack), known.hidden_in(told.means))
