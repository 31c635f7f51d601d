"""From the order to be born until its pidfd tells its end: what a newborn is given, and that it is where it belongs.

Leaves the making of the process to ``launch``, its cell to ``containment``, its end to ``processes``. The rule: for
every incarnation that was begun exactly one of ``watch`` and ``on_never_born`` is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from agenthost.containment import procfs
from agenthost.containment.births import BirthsFile
from agenthost.containment.cell import Containment
from agenthost.core import events as on
from agenthost.core.birth import ProgramBirth
from agenthost.core.reason import Kind, Reason
from agenthost.errors import AgenthostError, ContainmentError, StartFailed
from agenthost.host.doors import Doors
from agenthost.host.hearing import Hearing
from agenthost.host.incarnation import Incarnation
from agenthost.host.ordering import awaited_line, is_held, make_order
from agenthost.host.outputs import Outputs, WriteEnds
from agenthost.host.private_values import Private
from agenthost.host.signs import NO_MARKS
from agenthost.host.streams import Given
from agenthost.launch.launcher import Born
from agenthost.launch.zygotes import Zygotes
from agenthost.protocol.birth import Go
from agenthost.protocol.codec import encode


class Bearing:
    """``watch(incarnation)`` as soon as it has a pidfd, which tells its end; ``on_born(incarnation)`` when it is where
    it belongs, or the core was told that it is not; ``on_settled()`` when no birth is under way any more.
    ``private_of`` reads what only a newborn may know; ``ordered_at_ticks``, which may be shared: when each birth under
    way was ordered."""

    def __init__(
        self,
        *,
        containment: Containment,
        launcher: Zygotes,
        births: BirthsFile,
        doors: Doors,
        hearing: Hearing,
        outputs: Outputs,
        ordered_at_ticks: dict[int, int],
        private_of: Callable[[Incarnation], Awaitable[Private]],
        watch: Callable[[Incarnation], None],
        on_born: Callable[[Incarnation], None],
        on_never_born: Callable[[Incarnation, Reason], None],
        on_settled: Callable[[], None],
        tell: Callable[[on.Event], None],
        record: Callable[..., None],
    ) -> None:
        self._containment, self._launcher, self._births, self._doors = containment, launcher, births, doors
        self._hearing, self._outputs = hearing, outputs
        self._ordered_at_ticks, self._private_of = ordered_at_ticks, private_of
        self._watch, self._on_born = watch, on_born
        self._on_never_born, self._on_settled = on_never_born, on_settled
        self._tell, self._record = tell, record
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._awaited_lines: dict[int, Incarnation] = {}
        """By the output that is to print it."""

    def begin(self, incarnation: Incarnation) -> None:
        self._ordered_at_ticks[incarnation.n] = procfs.now_ticks()
        task = asyncio.get_running_loop().create_task(self._bear(incarnation))
        self._under_way[incarnation.n] = task
        task.add_done_callback(lambda done: self._borne(incarnation, done))

    def try_cancel(self, incarnation: Incarnation) -> bool:
        """An import may hang for ever. False: its birth is not under way any more."""
        task = self._under_way.get(incarnation.n)
        if task is None or task.done():  # done, and _borne not called yet: it is born
            return False
        task.cancel()
        return True

    def is_contained(self, incarnation: Incarnation) -> bool:
        """Of one that says it is here. In a cgroup it has joined its groups by itself; to look for that earlier would
        be to move it, which takes the kernel's global lock: 10 ms and more (measured, cgroup v1), for it and for every
        fork meanwhile."""
        if self._containment.tier == "cgroup" and incarnation.born is not None and not incarnation.reaped:
            try:
                incarnation.cell.attach(incarnation.born.pid, incarnation.born.pidfd)
            except (ContainmentError, OSError) as error:
                self._not_contained(incarnation, error)
                return False
        return True

    def line_printed(self, source: int) -> None:
        if (incarnation := self._awaited_lines.get(source)) is not None:
            self._hearing.line_printed(incarnation)

    def forget(self, incarnation: Incarnation) -> None:
        """Nothing is left of it."""
        if awaited_line(incarnation.birth):
            for source in [source for source, who in self._awaited_lines.items() if who is incarnation]:
                del self._awaited_lines[source]

    async def _bear(self, incarnation: Incarnation) -> None:
        wanted, pattern, marks = incarnation.birth, awaited_line(incarnation.birth), NO_MARKS
        private = await self._private_of(incarnation)
        given = self._given(incarnation)  # from here on they are ours to close, and nothing waits before that
        if wanted.liveness is not None and wanted.liveness.kind == "command":
            incarnation.private = private
        ends = self._ends(incarnation, given, pattern)
        try:
            marks = self._hearing.signs.open(incarnation, self._doors.data_folder(wanted.user))
            if pattern:
                self._awaited_lines |= dict.fromkeys(ends.sources, incarnation)
            order = make_order(incarnation, ends, self._containment, self._doors, private, marks)
            if wanted.user is not None and given is None:
                ends.give_to(wanted.user)
            if given is not None:
                assert order.program is not None
                order = replace(order, program=replace(order.program, env=given.env))
            born = await self._launcher.birth(order)
        finally:
            ends.close()
            marks.close()
        self._take(incarnation, born)

    def _given(self, incarnation: Incarnation) -> Given | None:
        """What the owner of a tool has given it."""
        if not isinstance(incarnation.birth, ProgramBirth) or not incarnation.birth.streams:
            return None
        given = self._hearing.streams.take(incarnation.birth.streams)
        if given is None:
            raise StartFailed(f"cannot start {incarnation.path}: its streams are gone", hint="start it anew")
        return given

    def _ends(self, incarnation: Incarnation, given: Given | None, pattern: str) -> WriteEnds:
        """Where it writes, and what it reads."""
        wanted = incarnation.birth
        if given is not None:
            return WriteEnds(given.stdout, given.stderr, (), given.stdin)
        is_program = isinstance(wanted, ProgramBirth)
        if isinstance(wanted, ProgramBirth) and wanted.pty:
            return self._outputs.open_terminal(incarnation.path, incarnation.name, pattern=pattern, keeping=wanted.log)
        return self._outputs.open(
            incarnation.path, incarnation.name, separate=is_program, pattern=pattern, keeping=wanted.log
        )

    def _borne(self, incarnation: Incarnation, task: asyncio.Task[None]) -> None:
        """However its birth went, it is told."""
        self._under_way.pop(incarnation.n, None)
        self._ordered_at_ticks.pop(incarnation.n, None)
        if incarnation.born is None:  # else its pidfd tells, also when something failed after that
            if task.cancelled():
                self._on_never_born(incarnation, Reason("killed", text="before it was born"))
            elif (error := task.exception()) is not None:
                self._on_never_born(incarnation, _why_not(error))
        if not self._under_way:
            self._on_settled()

    def _take(self, incarnation: Incarnation, born: Born) -> None:
        """It exists."""
        incarnation.born = born
        self._watch(incarnation)
        self._hearing.begin(incarnation)
        try:
            is_held_back = is_held(incarnation.birth, self._containment.tier)
            # else it is in its cgroup already, and is checked when it says Here
            if is_held_back or self._containment.tier != "cgroup":
                incarnation.cell.attach(born.pid, born.pidfd)
            self._note(incarnation, born)
            if is_held_back:
                born.birth_socket.send(encode(Go()))
        except (ContainmentError, OSError) as error:
            self._not_contained(incarnation, error)
        self._on_born(incarnation)

    def _not_contained(self, incarnation: Incarnation, error: Exception) -> None:
        self._tell(on.Fault(incarnation.path, incarnation.n, Reason("start_failed", text=str(error))))

    def _note(self, incarnation: Incarnation, born: Born) -> None:
        """In the births file. A full disk is no reason to refuse a birth where strays are found by other marks too."""
        try:
            self._births.append(born.pid, born.start_time, incarnation.path, incarnation.name, incarnation.cell.folder)
        except OSError as error:
            if self._containment.tier == "walk":
                raise
            self._record("births.unwritten", incarnation.path, error=str(error))


def _why_not(error: BaseException) -> Reason:
    if isinstance(error, StartFailed):
        kind: Kind = "bad_code" if error.permanent else "start_failed"
        return Reason(kind, text=str(error), trace=error.trace)
    if isinstance(error, (OSError, AgenthostError)):
        return Reason("start_failed", text=str(error))
    # a bug of ours, but its agent's trouble alone
    return Reason("start_failed", text=f"{type(error).__name__}: {error}")
