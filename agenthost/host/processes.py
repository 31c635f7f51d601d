"""The owner of processes: Birth, Ask, Terminate, Kill. It tells the core Ready (of programs), Exited and Emptied.

The rule: for every Birth exactly one Exited and then one Emptied is told, also when nothing was ever born, and Emptied
only when the cell is empty and the main process is reaped. Deaths come by pidfd; nothing polls but a cell that KILL has
not emptied yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Protocol

from agenthost.containment import procfs, walk
from agenthost.containment.births import BirthsFile
from agenthost.containment.cell import Containment
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, Limits, ProgramBirth
from agenthost.core.reason import Reason, from_wait
from agenthost.core.tree import Worker
from agenthost.errors import AgenthostError, ContainmentError, ProtocolError, StartFailed
from agenthost.host.incarnation import Incarnation
from agenthost.host.outputs import Outputs
from agenthost.host.readiness import wait_ready
from agenthost.launch.birth_socket import receive
from agenthost.launch.launcher import Born, Order, Program, Release, Rlimits
from agenthost.launch.zygotes import Zygotes
from agenthost.protocol import birth as said
from agenthost.protocol.birth import Certificate
from agenthost.protocol.codec import encode, read_from_process

FIRST_LOOK_S, LONGEST_LOOK_S = 0.005, 0.5
PACKETS_PER_TURN, FLOOD_PAUSE_S = 64, 0.05


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
        self._worker_of, self._known_children = worker_of, known_children
        self._tell, self._record = tell, record
        self.outputs = Outputs(self._line_printed)
        self.dialogs: Dialogs | None = None
        self.garbled = 0
        """Packets on birth sockets that could not be read."""
        self.by_n: dict[int, Incarnation] = {}
        self._births_under_way: dict[int, asyncio.Task[None]] = {}
        self._ordered_at_ticks: dict[int, int] = {}
        self._checks: dict[int, asyncio.Task[None]] = {}
        self._line_checks: dict[int, int] = {}

    # ---- effects

    def birth(self, effect: do.Birth) -> None:
        name = f"{self._boot}.{effect.n}"
        spec = self._worker_of(effect.path).spec
        wanted: AgentBirth | ProgramBirth = spec.birth
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
        self._births_under_way[effect.n] = task

    def ask(self, effect: do.Ask) -> None:
        incarnation = self.by_n[effect.n]
        if isinstance(incarnation.birth, ProgramBirth):
            incarnation.signal_main(incarnation.birth.stop_signal)
        elif self.dialogs is not None:
            incarnation.asked = (effect.reason, effect.grace_s)
            self.dialogs.ask(incarnation)

    def terminate(self, effect: do.Terminate) -> None:
        incarnation = self.by_n[effect.n]
        if incarnation.born is not None:
            incarnation.cell.signal(signal.SIGTERM)

    def kill(self, effect: do.Kill) -> None:
        incarnation = self.by_n[effect.n]
        if incarnation.killing:
            return
        incarnation.killing = True
        if effect.n not in self._births_under_way:
            self._sweep(incarnation, FIRST_LOOK_S)

    def kill_everything(self) -> None:
        """Nobody is left to decide: end all that runs, at once."""
        for incarnation in self.by_n.values():
            incarnation.cell.kill()

    async def close(self) -> None:
        self.outputs.close()

    # ---- birth

    async def refresh(self, wanted: AgentBirth) -> bool:
        """Import its code anew if that has changed on disk. ``StartFailed``: it does not import; the old is kept."""
        return await self._launcher.refresh(_release(wanted))

    async def _bear(self, incarnation: Incarnation) -> None:
        try:
            order = self._order(incarnation)
            try:
                born = await self._launcher.birth(order[0])
            finally:
                order[1]()
            self._take(incarnation, born)
        except StartFailed as error:
            kind = "bad_code" if error.permanent else "start_failed"
            reason = Reason(kind, text=str(error), trace=error.trace)  # type: ignore[arg-type]
            self._never_born(incarnation, reason)
        except (OSError, AgenthostError) as error:
            self._never_born(incarnation, Reason("start_failed", text=str(error)))

    def _order(self, incarnation: Incarnation) -> tuple[Order, Callable[[], None]]:
        wanted = incarnation.birth
        is_program = isinstance(wanted, ProgramBirth)
        pattern = _awaited_line(wanted)
        ends = self.outputs.open(incarnation.path, incarnation.name, separate=is_program, pattern=pattern)
        if pattern:
            self._line_checks |= dict.fromkeys(ends.sources, incarnation.n)
        order = Order(
            path=incarnation.path,
            incarnation=incarnation.name,
            cell=incarnation.cell.order(),
            stdout=ends.stdout,
            stderr=ends.stderr,
            rlimits=_rlimits(wanted.limits, by_process=self._containment.tier != "cgroup"),
            # Where only the births file finds strays, it is written before foreign code runs.
            hold=self._containment.tier == "walk",
            release=_release(wanted) if isinstance(wanted, AgentBirth) else None,
            certificate=self._certificate(incarnation, wanted) if isinstance(wanted, AgentBirth) else None,
            program=_program(wanted) if isinstance(wanted, ProgramBirth) else None,
        )
        return order, ends.close

    def _certificate(self, incarnation: Incarnation, wanted: AgentBirth) -> Certificate:
        return Certificate(
            path=incarnation.path,
            inc=incarnation.name,
            token=incarnation.token,
            endpoint=self._endpoint,
            data_folder=self._data_folder,
            agent=wanted.agent,
            args=wanted.args,
        )

    def _take(self, incarnation: Incarnation, born: Born) -> None:
        """It exists. From here on its pidfd tells its end."""
        incarnation.born = born
        loop = asyncio.get_running_loop()
        loop.add_reader(born.pidfd, self._died, incarnation)
        loop.add_reader(born.birth_socket.fileno(), self._heard, incarnation)
        self._birth_over(incarnation)
        try:
            if self._containment.tier != "cgroup":  # there it is in its cell already, and is checked when it says Here
                incarnation.cell.attach(born.pid, born.pidfd)
            self._births.append(born.pid, born.start_time, incarnation.path, incarnation.name, incarnation.cell.folder)
            if self._containment.tier == "walk":
                born.birth_socket.send(encode(said.Go()))
        except (ContainmentError, OSError) as error:
            self._tell(on.Fault(incarnation.path, incarnation.n, Reason("start_failed", text=str(error))))
            return
        if incarnation.killing:
            self._sweep(incarnation, FIRST_LOOK_S)

    def _never_born(self, incarnation: Incarnation, reason: Reason) -> None:
        self._birth_over(incarnation)
        incarnation.exited = True
        if self.dialogs is not None:
            self.dialogs.ended(incarnation, reason)
        if incarnation.killing:
            self._sweep(incarnation, FIRST_LOOK_S)
        self._tell(on.Exited(incarnation.path, incarnation.n, reason))

    def _birth_over(self, incarnation: Incarnation) -> None:
        self._births_under_way.pop(incarnation.n, None)
        self._ordered_at_ticks.pop(incarnation.n, None)

    # ---- what a process says on its birth socket

    def _heard(self, incarnation: Incarnation) -> None:
        assert incarnation.born is not None
        sock = incarnation.born.birth_socket
        for _ in range(PACKETS_PER_TURN):
            try:
                packet, pid = receive(sock)
            except BlockingIOError:
                return
            except OSError:
                packet, pid = b"", None
            if not packet:
                self._stop_hearing(incarnation)
                self._spoke_last(incarnation)
                return
            try:
                self._obey(incarnation, read_from_process(packet), pid)
            except ProtocolError:
                self.garbled += 1
        # Nobody honest says so much at once: it waits, and everybody else is served.
        self._stop_hearing(incarnation)
        asyncio.get_running_loop().call_later(FLOOD_PAUSE_S, self._hear_again, incarnation)

    def _hear_again(self, incarnation: Incarnation) -> None:
        if incarnation.born is not None and not incarnation.exited:
            asyncio.get_running_loop().add_reader(incarnation.born.birth_socket.fileno(), self._heard, incarnation)

    def _obey(self, incarnation: Incarnation, message: said.FromProcess, pid: int | None) -> None:
        match message:
            case said.Here():
                self._is_here(incarnation, pid)
            case said.BirthFailed(step=step, error=error, trace=trace):
                incarnation.start_error = Reason("start_failed", text=f"{error} ({step})", trace=trace)
            case said.Execed():
                self._exec_succeeded(incarnation)
            case said.Ended():
                incarnation.reported = message
            case said.Beat(busy_s=busy_s):
                self._beat(incarnation, busy_s)
            case said.Idle():
                incarnation.beat_at = incarnation.busy_since = None
            case said.Alive():
                incarnation.doubted = False
                if incarnation.beat_at is not None:
                    incarnation.beat_at = time.monotonic()

    def _is_here(self, incarnation: Incarnation, pid: int | None) -> None:
        """It has joined its groups by itself. To look for that earlier would be to move it, which takes the kernel's
        global lock: 10 ms and more (measured, cgroup v1), for it and for every fork meanwhile."""
        if incarnation.agent_pid is not None:
            return  # said once, before the author's code; later it is somebody who inherited the socket
        incarnation.agent_pid = pid
        if self._containment.tier == "cgroup" and incarnation.born is not None and not incarnation.reaped:
            try:
                incarnation.cell.attach(incarnation.born.pid, incarnation.born.pidfd)
            except (ContainmentError, OSError) as error:
                self._tell(on.Fault(incarnation.path, incarnation.n, Reason("start_failed", text=str(error))))
                return
        if self.dialogs is not None:
            self.dialogs.here(incarnation)

    def _spoke_last(self, incarnation: Incarnation) -> None:
        """The socket has closed: of a program that is exec's doing; of a Python agent, its end's or its author's."""
        if isinstance(incarnation.birth, ProgramBirth) and incarnation.start_error is None:
            self._exec_succeeded(incarnation)

    def _stop_hearing(self, incarnation: Incarnation) -> None:
        assert incarnation.born is not None
        asyncio.get_running_loop().remove_reader(incarnation.born.birth_socket.fileno())

    def _exec_succeeded(self, incarnation: Incarnation) -> None:
        wanted = incarnation.birth
        if not isinstance(wanted, ProgramBirth) or incarnation.exited or incarnation.n in self._checks:
            return
        if wanted.ready is None:
            self._tell(on.Ready(incarnation.path, incarnation.n))
        elif wanted.ready.kind != "line":
            task = asyncio.get_running_loop().create_task(wait_ready(wanted.ready))
            self._checks[incarnation.n] = task
            task.add_done_callback(lambda done: self._checked(incarnation, done))

    def _checked(self, incarnation: Incarnation, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not incarnation.exited:
            task.result()
            self._tell(on.Ready(incarnation.path, incarnation.n))

    def _line_printed(self, source: int) -> None:
        incarnation = self.by_n.get(self._line_checks.get(source, 0))
        if incarnation is not None and not incarnation.exited:
            self._tell(on.Ready(incarnation.path, incarnation.n))

    def _beat(self, incarnation: Incarnation, busy_s: float) -> None:
        now = time.monotonic()
        if incarnation.beat_at is None:
            incarnation.busy_since = now - busy_s
        incarnation.beat_at = now
        if not incarnation.listening:
            self._listen_for_silence(incarnation)

    def _listen_for_silence(self, incarnation: Incarnation) -> None:
        incarnation.listening = False
        if incarnation.exited or incarnation.beat_at is None or not isinstance(incarnation.birth, AgentBirth):
            return
        silence_s, now = incarnation.birth.silence_s, time.monotonic()
        due_in_s = incarnation.beat_at + silence_s - now
        if due_in_s > 0:
            incarnation.listening = True
            asyncio.get_running_loop().call_later(due_in_s, self._listen_for_silence, incarnation)
            return
        text = f"no beat for {silence_s:g} s while a turn was in hand"
        self._tell(on.Fault(incarnation.path, incarnation.n, Reason("silent", text=text)))

    # ---- death

    def _died(self, incarnation: Incarnation) -> None:
        born = incarnation.born
        assert born is not None
        status = os.waitid(os.P_PIDFD, born.pidfd, os.WEXITED | os.WNOHANG)
        if status is None:
            return
        incarnation.reaped = True
        self._heard(incarnation)  # its last words came before its end
        incarnation.exited = True
        asyncio.get_running_loop().remove_reader(born.pidfd)
        self._stop_hearing(incarnation)
        check = self._checks.pop(incarnation.n, None)
        if check is not None:
            check.cancel()
        reason = self._verdict(incarnation, status)
        if self.dialogs is not None:
            self.dialogs.ended(incarnation, reason)
        was_killing = incarnation.killing
        self._tell(on.Exited(incarnation.path, incarnation.n, reason))
        if was_killing:  # nobody will order it again; from here on its cell is watched
            self._sweep(incarnation, FIRST_LOOK_S)

    def _verdict(self, incarnation: Incarnation, status: os.waitid_result) -> Reason:
        if incarnation.start_error is not None:
            return incarnation.start_error
        code, by_signal = status.si_status, status.si_code != os.CLD_EXITED
        if incarnation.reported is not None:
            code, by_signal = incarnation.reported.code, incarnation.reported.by_signal
        if by_signal and code == signal.SIGKILL and incarnation.cell.out_of_memory_kills():
            limit = incarnation.birth.limits.memory_bytes
            return Reason("out_of_memory", text=f"its limit is {limit / 2**20:g} MiB" if limit else "")
        return from_wait(code, by_signal=by_signal)

    def _sweep(self, incarnation: Incarnation, pause_s: float) -> None:
        """KILL until the cell is empty, then let go of everything the incarnation needed."""
        if incarnation.n not in self.by_n:
            return
        if not incarnation.cell.is_empty():
            incarnation.cell.kill()
        if incarnation.exited and incarnation.cell.is_empty() and not self._remnants():
            self._let_go(incarnation)
            return
        if incarnation.exited and not incarnation.is_watched:
            incarnation.is_watched = True
            incarnation.cell.watch_empty(lambda: self._emptied(incarnation))
        # A cell by itself tells when it is empty; looking again is for what escaped the first KILL.
        if incarnation.next_look is not None:
            incarnation.next_look.cancel()
        incarnation.next_look = asyncio.get_running_loop().call_later(
            pause_s, self._sweep, incarnation, min(pause_s * 2, LONGEST_LOOK_S)
        )

    def _emptied(self, incarnation: Incarnation) -> None:
        incarnation.is_watched = False
        self._sweep(incarnation, FIRST_LOOK_S)

    def _remnants(self) -> int:
        """Where agents are walked, what they left behind is the host's child by now: end it too."""
        if self._containment.tier != "walk":
            return 0
        known = self._known_children() | {one.born.pid for one in self.by_n.values() if one.born is not None}
        return walk.kill_remnants(os.getpid(), known, min(self._ordered_at_ticks.values(), default=None))

    def _let_go(self, incarnation: Incarnation) -> None:
        del self.by_n[incarnation.n]
        incarnation.cell.close()
        if isinstance(incarnation.birth, AgentBirth):
            with contextlib.suppress(FileNotFoundError):  # who was never looked up has none, who stopped removed it
                os.unlink(f"{self._data_folder}/d-{incarnation.name}")
        if incarnation.born is not None:
            self._births.forget(incarnation.born.pid)
            incarnation.born.birth_socket.close()
            os.close(incarnation.born.pidfd)
        for source in [source for source, n in self._line_checks.items() if n == incarnation.n]:
            del self._line_checks[source]
        self._tell(on.Emptied(incarnation.path, incarnation.n))


def _awaited_line(wanted: AgentBirth | ProgramBirth) -> str:
    """The pattern of a ``line`` readiness check, or nothing."""
    ready = wanted.ready if isinstance(wanted, ProgramBirth) else None
    return ready.target if ready is not None and ready.kind == "line" else ""


def _release(wanted: AgentBirth) -> Release:
    module = wanted.agent.rpartition(":")[0]
    return Release((module,), wanted.search_path, wanted.env, wanted.cwd)


def _program(wanted: ProgramBirth) -> Program:
    env = {**os.environ, **dict(wanted.env)}
    return Program(wanted.argv, tuple(sorted(env.items())), wanted.cwd)


def _rlimits(limits: Limits, *, by_process: bool) -> Rlimits:
    """The floor that needs no cgroups. ``by_process``: memory and processes too, for want of anything better."""
    wishes = [(resource.RLIMIT_NOFILE, limits.open_files), (resource.RLIMIT_FSIZE, limits.file_size_bytes)]
    if by_process:
        wishes += [(resource.RLIMIT_DATA, limits.memory_bytes), (resource.RLIMIT_NPROC, limits.processes)]
    values = []
    for number, wanted in wishes:
        if wanted is not None:
            _, hard = resource.getrlimit(number)
            bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            values.append((number, bound, bound))
    return Rlimits(tuple(values))
