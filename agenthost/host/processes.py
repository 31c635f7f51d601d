"""The owner of processes: Birth, Ask, Terminate, Kill. It tells the core Ready (of programs), Exited and Emptied.

The rule: for every Birth exactly one Exited and then one Emptied is told, also when nothing was ever born, and Emptied
only when the cell is empty and the main process is reaped. How one is born is in ``bearing``, how its end is seen in
``deaths``, what it says meanwhile in ``hearing``, and how its cell is emptied in ``sweeping``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from agenthost.containment import unheld
from agenthost.containment.births import BirthsFile
from agenthost.containment.cell import Containment
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, ProgramBirth
from agenthost.core.reason import Reason
from agenthost.core.sleeping import tells_after_s
from agenthost.core.tree import Worker
from agenthost.core.worker import verdict
from agenthost.errors import AgenthostError, ContainmentError, StartFailed
from agenthost.host.bearing import Bearing
from agenthost.host.deaths import Deaths, how_it_ended
from agenthost.host.doors import Doors
from agenthost.host.examining import Examining
from agenthost.host.hearing import Hearing
from agenthost.host.incarnation import Incarnation
from agenthost.host.liveness import Liveness
from agenthost.host.ordering import release_of
from agenthost.host.outputs import Outputs
from agenthost.host.private_values import NOTHING, Private
from agenthost.host.sweeping import Sweeping
from agenthost.launch.zygotes import Zygotes


class Dialogs(Protocol):
    """What ``dialogs`` does for a process that begins, is asked to end, or has ended."""

    def expect(self, incarnation: Incarnation) -> None: ...

    def ask(self, incarnation: Incarnation) -> None: ...

    def here(self, incarnation: Incarnation) -> None: ...

    def ended(self, incarnation: Incarnation, reason: Reason) -> None: ...

    def sleep(self, incarnation: Incarnation) -> None: ...

    def pace(self, incarnation: Incarnation) -> None: ...


class Processes:
    """``worker_of(path)`` gives the core's worker; ``known_children`` the pids of the host's own processes;
    ``ordered_at_ticks`` is a sibling's."""

    def __init__(
        self,
        *,
        boot: int,
        containment: Containment,
        launcher: Zygotes,
        births: BirthsFile,
        doors: Doors,
        worker_of: Callable[[str], Worker],
        known_children: Callable[[], set[int]],
        tell: Callable[[on.Event], None],
        record: Callable[..., None],
        ordered_at_ticks: dict[int, int] | None = None,
    ) -> None:
        self._boot, self._containment, self._launcher, self._births = boot, containment, launcher, births
        self._doors = doors
        self._worker_of, self._tell, self._record = worker_of, tell, record
        self._known_children = known_children
        self.outputs = Outputs(
            lambda source: self._bearing.line_printed(source), lambda text: record("logger.trouble", "/", text=text)
        )
        self.hearing = Hearing(tell, self._is_here)
        self._deaths = Deaths(self._reaped)
        self._ordered_at_ticks: dict[int, int] = {} if ordered_at_ticks is None else ordered_at_ticks
        self._bearing = Bearing(
            containment=containment,
            launcher=launcher,
            births=births,
            doors=doors,
            hearing=self.hearing,
            outputs=self.outputs,
            ordered_at_ticks=self._ordered_at_ticks,
            private_of=lambda incarnation: self.private_of(incarnation),
            watch=self._deaths.watch,
            on_born=self._born,
            on_never_born=self._never_born,
            on_settled=lambda: self._sweeping.clean_remnants(),
            tell=tell,
            record=record,
        )
        self.dialogs: Dialogs | None = None
        self.liveness: Liveness | None = None
        self.examining: Examining | None = None
        self.private_of: Callable[[Incarnation], Awaitable[Private]] = _nothing_private
        """Reads what only a process that is about to be born may know."""
        self.on_let_go: Callable[[Incarnation], None] = lambda incarnation: None
        """Called when nothing is left of it, before that is told."""
        self.on_empty: Callable[[Incarnation], None] = lambda incarnation: None
        """Called before that, while its empty cell can still be asked what was used in it."""
        self.on_here: Callable[[Incarnation], None] = lambda incarnation: None
        """Called when its process runs, and is where it belongs."""
        self._beside: Processes | None = None
        self.by_n: dict[int, Incarnation] = {}
        self._sweeping = Sweeping(
            containment.tier,
            on_empty=self._let_go,
            known_children=lambda: known_children() | self._own_pids(),
            oldest_order_ticks=lambda: min(self._ordered_at_ticks.values(), default=None),
            record=record,
        )

    def sibling(
        self,
        worker_of: Callable[[str], Worker],
        tell: Callable[[on.Event], None],
        private_of: Callable[[Incarnation], Awaitable[Private]],
    ) -> Processes:
        """Gives birth in cells within these, to what the core does not know of. Each knows the other's children."""
        self._beside = Processes(
            boot=self._boot,
            containment=self._containment,
            launcher=self._launcher,
            births=self._births,
            doors=self._doors,
            worker_of=worker_of,
            known_children=lambda: self._known_children() | self._pids(),
            tell=tell,
            record=self._record,
            ordered_at_ticks=self._ordered_at_ticks,
        )
        self._beside.private_of = private_of
        return self._beside

    # ---- effects. The core may kill what never came to be: then there is nothing to do here.

    def birth(self, effect: do.Birth) -> None:
        name = f"{self._boot}.{effect.n}"
        wanted: AgentBirth | ProgramBirth = self._worker_of(effect.path).spec.birth
        try:
            if why := unheld.refusal(effect.path, wanted.limits, self._containment.means):
                raise StartFailed(why, hint=unheld.HINT)
            self._doors.admit(wanted.user)
            cell = self._containment.cell(effect.path, name, wanted.limits)
        except (AgenthostError, OSError) as error:
            self._tell(on.Exited(effect.path, effect.n, Reason("start_failed", text=str(error))))
            self._tell(on.Emptied(effect.path, effect.n))
            return
        incarnation = Incarnation(effect.path, effect.n, name, wanted, cell, time.monotonic())
        incarnation.drowsy_s = tells_after_s(self._worker_of(effect.path)) if isinstance(wanted, AgentBirth) else 0.0
        self.by_n[effect.n] = incarnation
        if self.dialogs is not None and isinstance(wanted, AgentBirth):
            self.dialogs.expect(incarnation)  # before it is born: what it says may be read before we know its pid
        self._bearing.begin(incarnation)

    def _pace(self, incarnation: Incarnation) -> None:
        drowsy_s = tells_after_s(self._worker_of(incarnation.path))
        if drowsy_s != incarnation.drowsy_s:
            incarnation.drowsy_s = drowsy_s
            if self.dialogs is not None:
                self.dialogs.pace(incarnation)

    def sleep(self, effect: do.Sleep) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is not None and self.dialogs is not None:
            self.dialogs.sleep(incarnation)

    def ask(self, effect: do.Ask) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is None:
            return
        if self.liveness is not None:
            self.liveness.end(incarnation)
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
        if self.examining is not None and self.examining.holds(effect.n, lambda: self.kill(effect)):
            return
        incarnation.killing = True
        if self.liveness is not None:
            self.liveness.end(incarnation)
        if not self._bearing.try_cancel(incarnation):  # else it is told how that went
            self._sweeping.sweep(incarnation)

    def freeze(self, effect: do.Freeze) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is not None:
            incarnation.frozen = True
            incarnation.turn.freeze(time.monotonic())
            incarnation.cell.freeze()

    def thaw(self, effect: do.Thaw) -> None:
        incarnation = self.by_n.get(effect.n)
        if incarnation is not None:
            incarnation.frozen, incarnation.excused_at = False, time.monotonic()
            incarnation.turn.thaw(incarnation.excused_at)
            incarnation.cell.thaw()

    def adopt(self, effect: do.Adopt) -> None:
        incarnation, wanted = self.by_n.get(effect.n), self._worker_of(effect.path).spec.birth
        if incarnation is not None and isinstance(incarnation.birth, AgentBirth) and isinstance(wanted, AgentBirth):
            live = {name: getattr(wanted, name) for name in AgentBirth.LIVE}
            incarnation.birth = replace(incarnation.birth, **live)
            self._pace(incarnation)

    async def refresh(self, wanted: AgentBirth) -> bool:
        """Import its code anew if that has changed on disk. ``StartFailed``: it does not import; the old is kept."""
        return await self._launcher.refresh(release_of(wanted))

    def kill_everything(self) -> None:
        """Nobody is left to decide: end all that runs, at once."""
        for incarnation in self.by_n.values():
            with contextlib.suppress(OSError, ContainmentError):  # the others must go all the same
                incarnation.cell.kill()

    def close(self) -> None:
        if self.liveness is not None:
            self.liveness.close()
        self.hearing.streams.close()
        self.outputs.close()

    # ---- what became of them

    def _is_here(self, incarnation: Incarnation) -> None:
        if self._bearing.is_contained(incarnation) and self.dialogs is not None:
            self.dialogs.here(incarnation)
            self.on_here(incarnation)

    def _born(self, incarnation: Incarnation) -> None:
        if incarnation.killing:  # the kill came while it was being contained
            self._sweeping.sweep(incarnation)

    def _never_born(self, incarnation: Incarnation, reason: Reason) -> None:
        incarnation.exited = True
        self._exited(incarnation, reason)

    def _reaped(self, incarnation: Incarnation, status: os.waitid_result | None) -> None:
        if self.liveness is not None:
            self.liveness.end(incarnation)
        self.hearing.end(incarnation)  # its last words came before its end
        incarnation.exited = True
        if self.examining is not None:
            self.examining.exited(incarnation)
        self._exited(incarnation, how_it_ended(incarnation, status))

    def _exited(self, incarnation: Incarnation, reason: Reason) -> None:
        was_killing = incarnation.killing
        if isinstance(incarnation.birth, AgentBirth):
            self.hearing.streams.ended(incarnation.n)
        if self.dialogs is not None:
            said = incarnation.ended_as = verdict(self._worker_of(incarnation.path), reason)
            if incarnation.is_tool:
                incarnation.untold = said  # whoever waits for a tool wants to go on without it
            else:
                self.dialogs.ended(incarnation, said)
        self._tell(on.Exited(incarnation.path, incarnation.n, reason))
        if was_killing:  # nobody will order it again; from here on its cell is watched
            self._sweeping.sweep(incarnation)

    def _let_go(self, incarnation: Incarnation) -> None:
        """Its cell is empty. What raises here is tried again: a cell is closed twice without harm."""
        self.on_empty(incarnation)
        incarnation.cell.close()
        incarnation.let_go = True
        self.hearing.signs.close(incarnation)  # of one that was never born
        if incarnation.untold is not None and self.dialogs is not None:
            self.dialogs.ended(incarnation, incarnation.untold)
            incarnation.untold = None
        del self.by_n[incarnation.n]
        if incarnation.next_look is not None:
            incarnation.next_look.cancel()
        if isinstance(incarnation.birth, AgentBirth):
            self._doors.close(incarnation)
        if incarnation.born is not None:
            with contextlib.suppress(OSError):  # a full disk: the line stays, and is checked before it is believed
                self._births.forget(incarnation.born.pid)
            incarnation.born.birth_socket.close()
            os.close(incarnation.born.pidfd)
        self._bearing.forget(incarnation)
        self.on_let_go(incarnation)
        self._tell(on.Emptied(incarnation.path, incarnation.n))

    def _own_pids(self) -> set[int]:
        return self._pids() | (self._beside._pids() if self._beside is not None else set())

    def _pids(self) -> set[int]:
        return {one.born.pid for one in self.by_n.values() if one.born is not None}


async def _nothing_private(incarnation: Incarnation) -> Private:
    return NOTHING
