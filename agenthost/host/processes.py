"""The owner of processes: Birth, Ask, Terminate, Kill. It tells the core Ready (of programs), Exited and Emptied.

The rule: for every Birth exactly one Exited and then one Emptied is told, also when nothing was ever born, and Emptied
only when the cell is empty and the main process is reaped. Deaths come by pidfd; nothing polls but a cell that KILL has
not emptied yet (``sweeping``). What a process says is heard in ``hearing``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from agenthost.containment import procfs
from agenthost.containment.births import BirthsFile
from agenthost.containment.cell import Containment
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, ProgramBirth
from agenthost.core.reason import Reason, from_wait
from agenthost.core.tree import Worker
from agenthost.core.worker import verdict
from agenthost.errors import AgenthostError, ContainmentError, StartFailed
from agenthost.host.hearing import Hearing
from agenthost.host.incarnation import Incarnation
from agenthost.host.ordering import awaited_line, make_order, release_of
from agenthost.host.outputs import Outputs
from agenthost.host.sweeping import Sweeping
from agenthost.launch.launcher import Born
from agenthost.launch.zygotes import Zygotes
from agenthost.protocol.birth import Go
from agenthost.protocol.codec import encode

TRACED_LOOK_S = 0.05


class Dialogs(Protocol):
    """What ``dialogs`` does for a process that begins, is asked to end, or has ended."""

    def expect(self, incarnation: Incarnation) -> None: ...

    def ask(self, incarnation: Incarnation) -> None: ...

    def here(self, incarnation: Incarnation) -> None: ...

    def ended(self, incarnation: Incarnation, reason: Reason) -> None: ...


class Processes:
    """``worker_of(path)`` gives the core's worker; ``known_children`` the pids of the host's own processes."""

    def __init__(
        self,
        *,
        boot: int,
        containment: Containment,
        launcher: Zygotes,
        births: BirthsFile,
        endpoint: str,
        data_folder: str,
        worker_of: Callable[[str], Worker],
        known_children: Callable[[], set[int]],
        tell: Callable[[on.Event], None],
        record: Callable[..., None],
    ) -> None:
        self._boot, self._containment, self._launcher, self._births = boot, containment, launcher, births
        self._endpoint, self._data_folder = endpoint, data_folder
        self._worker_of, self._tell, self._record = worker_of, tell, record
        self.outputs = Outputs(self._line_printed, lambda text: record("logger.trouble", "/", text=text))
        self.hearing = Hearing(tell, self._is_here)
        self.dialogs: Dialogs | None = None
        self.by_n: dict[int, Incarnation] = {}
        self._under_way: dict[int, asyncio.Task[None]] = {}
        """Births."""
        self._ordered_at_ticks: dict[int, int] = {}
        self._line_checks: dict[int, int] = {}
        self._sweeping = Sweeping(
            containment.tier,
            on_empty=self._let_go,
            known_children=lambda: known_children() | self._own_pids(),
            oldest_order_ticks=lambda: min(self._ordered_at_ticks.values(), default=None),
            record=record,
        )

    # ---- effects. The core may kill what never came to be: then there is nothing to do here.

    def birth(self, effect: do.Birth) -> None:
        name = f"{self._boot}.{effect.n}"
        wanted: AgentBirth | ProgramBirth = self._worker_of(effect.path).spec.birth
        try:
            cell = self._containment.cell(effect.path, name, wanted.limits)
        except (AgenthostError, OSError) as error:
            self._tell(on.Exited(effect.path, effect.n, Reason("start_failed", text=f"cannot make its cell: {error}")))
            self._tell(on.Emptied(effect.path, effect.n))
            return
        incarnation = Incarnation(effect.path, effect.n, name, wanted, cell, time.monotonic())
        self.by_n[effect.n] = incarnation
        self._ordered_at_ticks[effect.n] = procfs.now_ticks()
        if self.dialogs is not None and isinstance(wanted, AgentBirth):
            self.dialogs.expect(incarnation)  # before it is born: what it says may be read before we know its pid
        task = asyncio.get_running_loop().create_task(self._bear(incarnation))
        self._under_way[effect.n] = task
        task.add_done_callback(lambda done: self._borne(incarnation, done))

    def ask(self, effect: do.Ask) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is None:
            return
        if isinstance(incarnation.birth, ProgramBirth):
            incarnation.signal_main(incarnation.birth.stop_signal)
        elif self.dialogs is not None:
            incarnation.asked = (effect.reason, effect.grace_s)
            self.dialogs.ask(incarnation)

    def terminate(self, effect: do.Terminate) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is not None and incarnation.born is not None:
            incarnation.cell.signal(signal.SIGTERM)

    def kill(self, effect: do.Kill) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is None or incarnation.killing:
            return
        incarnation.killing = True
        under_way = self._under_way.get(effect.n)
        if under_way is not None and not under_way.done():  # done, and _borne not called yet: it is born
            under_way.cancel()  # an import may hang for ever; _borne tells how it went
        else:
            self._sweeping.sweep(incarnation)

    def freeze(self, effect: do.Freeze) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is not None:
            incarnation.frozen = True
            incarnation.cell.freeze()

    def thaw(self, effect: do.Thaw) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is not None:
            incarnation.frozen, incarnation.excused_at = False, time.monotonic()
            incarnation.cell.thaw()

    def adopt(self, effect: do.Adopt) -> None:
        incarnation, wanted = self.by_n.get(effect.n), self._worker_of(effect.path).spec.birth
        if incarnation is not None and isinstance(incarnation.birth, AgentBirth) and isinstance(wanted, AgentBirth):
            live = {name: getattr(wanted, name) for name in AgentBirth.LIVE}
            incarnation.birth = replace(incarnation.birth, **live)

    def kill_everything(self) -> None:
        """Nobody is left to decide: end all that runs, at once."""
        for incarnation in self.by_n.values():
            with contextlib.suppress(OSError, ContainmentError):  # the others must go all the same
                incarnation.cell.kill()

    def close(self) -> None:
        self.outputs.close()

    # ---- birth

    async def refresh(self, wanted: AgentBirth) -> bool:
        """Import its code anew if that has changed on disk. ``StartFailed``: it does not import; the old is kept."""
        return await self._launcher.refresh(release_of(wanted))

    async def _bear(self, incarnation: Incarnation) -> None:
        pattern = awaited_line(incarnation.birth)
        is_program = isinstance(incarnation.birth, ProgramBirth)
        ends = self.outputs.open(incarnation.path, incarnation.name, separate=is_program, pattern=pattern)
        try:
            if pattern:
                self._line_checks |= dict.fromkeys(ends.sources, incarnation.n)
            order = make_order(incarnation, ends, self._containment.tier, self._endpoint, self._data_folder)
            born = await self._launcher.birth(order)
        finally:
            ends.close()
        self._take(incarnation, born)

    def _borne(self, incarnation: Incarnation, task: asyncio.Task[None]) -> None:
        """However its birth went, it is told: who was never born has ended at once."""
        self._under_way.pop(incarnation.n, None)
        self._ordered_at_ticks.pop(incarnation.n, None)
        if task.cancelled():
            self._never_born(incarnation, Reason("killed", text="before it was born"))
        elif (error := task.exception()) is not None:
            self._never_born(incarnation, _why_not(error))
        if not self._under_way:
            self._sweeping.clean_remnants()

    def _take(self, incarnation: Incarnation, born: Born) -> None:
        """It exists. From here on its pidfd tells its end."""
        incarnation.born = born
        asyncio.get_running_loop().add_reader(born.pidfd, self._died, incarnation)
        self.hearing.begin(incarnation)
        try:
            if self._containment.tier != "cgroup":  # there it is in its cell already, and is checked when it says Here
                incarnation.cell.attach(born.pid, born.pidfd)
            self._note(incarnation, born)
            if self._containment.tier == "walk":
                born.birth_socket.send(encode(Go()))
        except (ContainmentError, OSError) as error:
            self._tell(on.Fault(incarnation.path, incarnation.n, Reason("start_failed", text=str(error))))
        if incarnation.killing:
            self._sweeping.sweep(incarnation)

    def _note(self, incarnation: Incarnation, born: Born) -> None:
        """In the births file. A full disk is no reason to refuse a birth where strays are found by other marks too."""
        try:
            self._births.append(born.pid, born.start_time, incarnation.path, incarnation.name, incarnation.cell.folder)
        except OSError as error:
            if self._containment.tier == "walk":
                raise
            self._record("births.unwritten", incarnation.path, error=str(error))

    def _never_born(self, incarnation: Incarnation, reason: Reason) -> None:
        if incarnation.born is not None:
            return  # it was, and something failed after that: its pidfd tells
        incarnation.exited = True
        self._exited(incarnation, reason)

    def _is_here(self, incarnation: Incarnation) -> None:
        """It has joined its groups by itself. To look for that earlier would be to move it, which takes the kernel's
        global lock: 10 ms and more (measured, cgroup v1), for it and for every fork meanwhile."""
        if self._containment.tier == "cgroup" and incarnation.born is not None and not incarnation.reaped:
            try:
                incarnation.cell.attach(incarnation.born.pid, incarnation.born.pidfd)
            except (ContainmentError, OSError) as error:
                self._tell(on.Fault(incarnation.path, incarnation.n, Reason("start_failed", text=str(error))))
                return
        if self.dialogs is not None:
            self.dialogs.here(incarnation)

    def _line_printed(self, source: int) -> None:
        incarnation = self.by_n.get(self._line_checks.get(source, 0))
        if incarnation is not None:
            self.hearing.line_printed(incarnation)

    # ---- death

    def _died(self, incarnation: Incarnation) -> None:
        born = incarnation.born
        assert born is not None
        status = os.waitid(os.P_PIDFD, born.pidfd, os.WEXITED | os.WNOHANG)
        if status is None:
            self._not_to_be_reaped_yet(incarnation)
            return
        incarnation.reaped = True
        asyncio.get_running_loop().remove_reader(born.pidfd)
        self.hearing.end(incarnation)  # its last words came before its end
        incarnation.exited = True
        self._exited(incarnation, self._how_it_ended(incarnation, status))

    def _not_to_be_reaped_yet(self, incarnation: Incarnation) -> None:
        """It has ended and is traced (ptrace(2)): its tracer must let go of it first. That may be one it has left."""
        assert incarnation.born is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(incarnation.born.pidfd)  # readable for good
        with contextlib.suppress(OSError, ContainmentError):  # it is tried again
            incarnation.cell.kill()
        loop.call_later(TRACED_LOOK_S, self._died, incarnation)

    def _exited(self, incarnation: Incarnation, reason: Reason) -> None:
        was_killing = incarnation.killing
        if self.dialogs is not None:
            self.dialogs.ended(incarnation, verdict(self._worker_of(incarnation.path), reason))
        self._tell(on.Exited(incarnation.path, incarnation.n, reason))
        if was_killing:  # nobody will order it again; from here on its cell is watched
            self._sweeping.sweep(incarnation)

    def _how_it_ended(self, incarnation: Incarnation, status: os.waitid_result) -> Reason:
        if incarnation.start_error is not None:
            return incarnation.start_error
        code, by_signal = status.si_status, status.si_code != os.CLD_EXITED
        if incarnation.reported is not None:
            code, by_signal = incarnation.reported.code, incarnation.reported.by_signal
        if by_signal and code == signal.SIGKILL and incarnation.cell.out_of_memory_kills():
            limit = incarnation.birth.limits.memory_bytes
            return Reason("out_of_memory", text=f"its limit is {limit / 2**20:g} MiB" if limit else "")
        return from_wait(code, by_signal=by_signal)

    def _let_go(self, incarnation: Incarnation) -> None:
        """Its cell is empty. What raises here is tried again: a cell is closed twice without harm."""
        incarnation.cell.close()
        incarnation.let_go = True
        del self.by_n[incarnation.n]
        if incarnation.next_look is not None:
            incarnation.next_look.cancel()
        if isinstance(incarnation.birth, AgentBirth):
            with contextlib.suppress(OSError):  # who was never looked up has none, who stopped removed it
                os.unlink(f"{self._data_folder}/d-{incarnation.name}")
        if incarnation.born is not None:
            with contextlib.suppress(OSError):  # a full disk: the line stays, and is checked before it is believed
                self._births.forget(incarnation.born.pid)
            incarnation.born.birth_socket.close()
            os.close(incarnation.born.pidfd)
        for source in [source for source, n in self._line_checks.items() if n == incarnation.n]:
            del self._line_checks[source]
        self._tell(on.Emptied(incarnation.path, incarnation.n))

    def _own_pids(self) -> set[int]:
        return {one.born.pid for one in self.by_n.values() if one.born is not None}


def _why_not(error: BaseException) -> Reason:
    if isinstance(error, StartFailed):
        kind = "bad_code" if error.permanent else "start_failed"
        return Reason(kind, text=str(error), trace=error.trace)  # type: ignore[arg-type]
    if isinstance(error, (OSError, AgenthostError)):
        return Reason("start_failed", text=str(error))
    return Reason(
        "start_failed", text=f"{type(error).__name__}: {error}"
    )  # a bug of ours, but its agent's trouble alone
