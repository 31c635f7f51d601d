"""The host: its parts put together, its start, its end. Everything it decides is decided in ``core``.

Two trees run side by side on the same core: the host's own (``own_tree``) and the users', which is wired here.

The rule it keeps: both start together; the users' ends first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from typing import Any

from agenthost import kernel
from agenthost.config.model import HostConfig
from agenthost.config.users import users_of
from agenthost.containment import births, ground, sweep, tiers, unheld
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.core.tree import State, Worker
from agenthost.errors import AgenthostError, ConfigError, ProtocolError, StateError
from agenthost.host import portrait
from agenthost.host.asked_for import AskedFor
from agenthost.host.chronicle import Chronicle
from agenthost.host.decider import Decider, Owners, end_once
from agenthost.host.dialogs import Dialogs
from agenthost.host.doors import Doors
from agenthost.host.errands import Errands
from agenthost.host.examining import Examining
from agenthost.host.giving_way import GivingWay
from agenthost.host.guard import Guard
from agenthost.host.home import Home
from agenthost.host.inspecting import Inspecting
from agenthost.host.interrupting import Interrupting
from agenthost.host.journaling import Journaling
from agenthost.host.keeping import Keeping
from agenthost.host.life_before import life_before
from agenthost.host.liveness import Liveness
from agenthost.host.memory_watch import MemoryWatch
from agenthost.host.metering import Metering
from agenthost.host.operators import Operators
from agenthost.host.own_tree import OwnTree
from agenthost.host.private_values import hide_variables
from agenthost.host.processes import Processes
from agenthost.host.recording import Recording
from agenthost.host.reloading import Reloading
from agenthost.host.session_sockets import SessionSockets
from agenthost.host.sleepers import Sleepers
from agenthost.host.status import Status
from agenthost.host.terminal import Terminal
from agenthost.host.timers import Timers
from agenthost.host.unheard import Unheard
from agenthost.host.wishes import Wishes
from agenthost.launch.zygotes import Zygotes
from agenthost.transport.credentials import may_operate
from agenthost.transport.places import Places
from agenthost.version import VERSION

LEAVE_S = 5.0
GAVE_UP = 1
"""Exit status when the root gave up or did not come up."""


class Host:
    """Make it inside the running loop. ``run`` returns the exit status."""

    def __init__(
        self, config: HostConfig, places: Places, guard: Guard, *, file_name: str, quiet: bool = False
    ) -> None:
        """``file_name`` is the host's name in its file, where ``--name`` gave it another."""
        self._config, self._places = config, places
        self._began = time.time()
        self._terminal = Terminal(quiet=quiet, logs=places.logs)
        self._chronicle = Chronicle(self._terminal.show)
        self._guard = guard
        self._ended: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self._halting = ""
        self._is_ready = False
        self._gave_up = False
        """The root has; under ``otp_strict`` its reason does not tell (I3)."""

        hide_variables(config.tree)
        self._home = Home(places, ground.last_boot(_ground_name(places)))
        self.boot = self._home.boot
        self._before = life_before(self._home, guard)
        # What exec'ed children carry, so that a later life finds strays; unique to the state folder.
        os.environ["AGENTHOST_HOST"] = str(places.state_folder)
        self._sweep()
        self._containment = tiers.choose(config.containment, _ground_name(places), self.boot)
        if self._containment.tier == "walk":
            kernel.become_subreaper()
        try:
            unheld.check(config.tree, self._containment.means)
        except ConfigError:
            self._containment.close()
            raise
        self._launcher = Zygotes(lifted=guard.lifted)
        try:
            self._births = births.BirthsFile(str(places.births))
        except OSError as error:
            raise StateError(f"cannot write {places.births}: {error.strerror}", hint="is the disk full?") from None
        self._seed = int.from_bytes(os.urandom(8), "big")
        self._state = State(config.tree, seed=self._seed)
        self._reloading = Reloading(config, file_name, self._containment.means)
        self._make_owners()

    # ---- composition

    def _make_owners(self) -> None:
        clock = asyncio.get_running_loop().time
        users = set(users_of(self._config.tree))
        self._doors = Doors(self._places, (*self._config.operators, *users), lambda uid: self._own.new_user(uid))
        self._status = Status(self._state, self._present, clock, self._guard.outer_proc, self._containment.means)
        self._journaling = Journaling(
            boot=self.boot,
            state=self._state,
            present=self._present,
            record=self._record,
            sockets=SessionSockets(self._places, (self._places.uid, *self._config.operators)),
        )
        self._recording = Recording(
            boot=self.boot, logs=str(self._places.logs), present=self._present, say=self._journaling.crashed
        )
        self._journaling.on_remedied = self._recording.remedied
        self._operators = Operators(
            host=self,
            journaling=self._journaling,
            state=self._state,
            status=self._status,
            present=self._present,
            chronicle=self._chronicle,
            reloading=self._reloading,
            refresh=lambda birth: self._processes.refresh(birth),
            send=self._say_to,
            tell=lambda event: self._decider.tell(event),
        )
        self._processes = Processes(
            boot=self.boot,
            containment=self._containment,
            launcher=self._launcher,
            births=self._births,
            doors=self._doors,
            worker_of=self._worker,
            known_children=self._own_children,
            tell=lambda event: self._decider.tell(event),
            record=self._record,
        )
        self._wishes = Wishes(
            state=self._state,
            folder=str(self._config.folder),
            present=self._present,
            send=self._say_to,
            tell=lambda event: self._decider.tell(event),
            streams=self._processes.hearing.streams,
        )
        self._sleepers = Sleepers(
            state=self._state,
            tell=lambda event: self._decider.tell(event),
            is_removed=self._journaling.asking.is_removed,
            still_waits=self._journaling.doors.still_waits,
        )
        self._journaling.receivers.template = self._sleepers.template
        self._journaling.doors.on_waits = self._sleepers.mail_waits
        self._wishes.sleepers = self._sleepers
        self._dialogs = Dialogs(
            state=self._state,
            present=self._present,
            may_operate=self._may_operate,
            on_request=self._operators.asked,
            wishes=self._wishes,
            doors=self._doors,
            sleepers=self._sleepers,
            tell=lambda event: self._decider.tell(event),
        )
        self._processes.dialogs = self._dialogs
        self._keeping = Keeping(
            state=self._state,
            journaling=self._journaling,
            asked_for=AskedFor(str(self._config.folder)),
            tell=lambda event: self._decider.tell(event),
            record=self._record,
        )
        self._wishes.children.on_persisting = self._keeping.asked
        self._wishes.children.on_refused = self._keeping.forget
        errands = Errands(self._processes)
        self._processes.liveness = Liveness(lambda event: self._decider.tell(event), errands.run, self._record)
        self._processes.private_of = errands.private_of
        self._memory_watch = MemoryWatch(self._processes.by_n.values, lambda event: self._decider.tell(event))
        self._giving_way = GivingWay(self._processes.by_n.values)
        self._unheard = Unheard(self._processes.by_n.values, self._dialogs.doubt)
        self._processes.hearing.on_turn_ended = self._giving_way.turn_ended
        self._examining = Examining(
            boot=self.boot,
            present=self._processes.by_n.get,
            hasten=self._giving_way.turn_ended,
            outer=self._status.seen_outside,
            record=self._record,
        )
        self._examining.on_autopsy = self._recording.examined
        self._processes.examining = self._examining
        inspecting = Inspecting(self._state, self._present, self._status.pid, self._examining.look_at)
        self._operators.others.append(inspecting)
        self._processes.hearing.on_stack = self._examining.stacks.answered
        self._processes.hearing.on_call_failed = self._recording.call_failed
        self._interrupting = Interrupting(
            self._processes.by_n,
            self._present,
            self._status.pid,
            self._giving_way.turn_ended,
            lambda event: self._decider.tell(event),
            self._examining.before_interrupt,
        )
        self._metering = Metering(
            boot=self.boot,
            state=self._state,
            by_n=self._processes.by_n,
            journaling=self._journaling,
            tell=lambda event: self._decider.tell(event),
            record=self._record,
        )
        self._processes.hearing.on_beat = both(self._interrupting.beat, self._metering.beat)
        self._processes.hearing.on_turn_ended = both(self._giving_way.turn_ended, self._metering.turn_ended)
        self._processes.on_empty = self._metering.ending
        self._processes.hearing.on_interrupted = self._interrupting.answered
        self._processes.hearing.on_awake = self._dialogs.has_answered
        self._timers = Timers(lambda event: self._decider.tell(event))
        self._processes.hearing.on_want_door = self._journaling.doors.want_door
        self._processes.on_here = both(self._journaling.doors.is_here, self._metering.here)
        self._processes.on_let_go = lambda incarnation: self._journaling.doors.ended(incarnation, incarnation.ended_as)
        self._decider = Decider(self._state, self._user_owners(), clock)
        self._decider.note = self._journaling.noted
        self._journaling.tell = self._decider.tell
        self._allowed = frozenset((self._places.uid, 0, *self._config.operators))
        self._own = OwnTree(
            config=self._config,
            places=self._places,
            boot=self.boot,
            seed=self._seed ^ 1,
            journaling=self._journaling,
            dialogs=self._dialogs,
            operators=self._operators,
            outputs=self._processes.outputs,
            chronicle=self._chronicle,
            recording=self._recording,
            is_ending=lambda: bool(self._halting) or self._ended.done(),
            record=self._record,
        )

    def _user_owners(self) -> Owners:
        return {
            do.Birth: both(self._metering.birth, self._processes.birth),
            do.Ask: self._processes.ask,
            do.Terminate: self._processes.terminate,
            do.Kill: self._processes.kill,
            do.Examine: self._examining.examine,
            do.Interrupt: self._interrupting.interrupt,
            do.Sleep: self._processes.sleep,
            do.Freeze: self._processes.freeze,
            do.Thaw: self._thaw,
            do.Adopt: self._adopt,
            do.SetTimer: self._timers.set,
            do.CancelTimer: self._timers.cancel,
            do.Keep: self._keeping.keep,
            do.Record: lambda effect: self._record(effect.name, effect.path, **effect.fields),
            do.Answer: self._answered,
            do.Ended: lambda effect: end_once(self._ended, effect.reason),
        }

    # ---- life

    async def run(self) -> int:
        """From start to the end of everything. The exit status: 0 a planned end, 1 the tree gave up."""
        self._guard.start(self._guardian_says, self._orphaned)
        self._guard.say("SOCKETS", str(self._places.runtime_folder))
        roots = self._containment.roots()
        if roots:
            self._guard.say("CELLS", *roots)
        wall = "in a PID namespace" if self._guard.namespace else "without a PID namespace"
        tier = self._containment.tier
        self._record("host.containment", "/", text=f"containment {tier}, {wall}", tier=tier)
        await self._launcher.start()
        self._giving_way.start()
        self._unheard.start()
        self._metering.start()
        self._memory_watch.start(self._containment)
        for text in unheld.warnings(self._config.tree, self._containment.means):
            self._record("host.limit_unheld", "/", text=text)
        self._own.boot()
        self._home.begin()
        if self._before is not None:
            self._before.tell(self._record, self._journaling.crashed)
        self._journaling.began(self._config.tree, self._seed, asyncio.get_running_loop().time())
        self._decider.tell(on.Boot())
        system_failed = asyncio.ensure_future(self._system_failed())
        reason = await self._ended
        system_failed.cancel()
        status = 0 if self._halting or (reason.kind == "shutdown" and not self._gave_up) else GAVE_UP
        if status:
            self._record("host.failed", "/", reason=reason.words(), trace=reason.trace)
        self._record("host.ended", "/", status=status)
        await self._leave()
        self._guard.say("BYE", str(status))
        return status

    async def _system_failed(self) -> None:
        """The host cannot go on without its own processes: a crash, for the guardian to mend."""
        reason = await asyncio.shield(self._own.ended)  # to cancel this task must not cancel what it waits for
        self._record("host.failed", "/.system", reason=reason.words())
        self._processes.kill_everything()
        self._terminal.close()
        os._exit(GAVE_UP)

    async def _leave(self) -> None:
        """Everything has ended; let go of the rest. Whatever fails here must not turn a planned end into a crash."""
        self._own.halt()
        if not self._own.ended.done():
            await asyncio.wait([self._own.ended], timeout=LEAVE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._launcher.close()
        for close in (
            self._giving_way.close,
            self._unheard.close,
            self._metering.close,
            self._memory_watch.close,
            self._examining.close,
            self._processes.close,
            self._timers.close,
            self._own.close,
            self._sleepers.close,
            self._dialogs.close,
            self._wishes.close,
            self._keeping.close,
            self._recording.close,
            self._operators.close,
            self._journaling.close,
            self._births.close,
            self._containment.close,
            self._places.remove_sockets,
            self._home.close,
        ):
            try:
                close()
            except (OSError, AgenthostError) as error:
                self._record("host.untidy", "/", error=str(error))
        self._terminal.close()

    def halt(self, how: str, by: str) -> None:
        """End everything; again and harder if said again."""
        if how != self._halting:
            self._record("host.hurrying" if self._halting else "host.halting", "/", why=f"by {by}", how=how)
        self._halting = how
        self._decider.tell(on.Halt(how, by))  # type: ignore[arg-type]

    def _guardian_says(self, word: str) -> None:
        if word == "STOP":
            self.halt("ask", "a signal to agenthost")
        elif word == "HURRY":
            self.halt("hurry", "a second signal to agenthost")
        elif word == "RELOAD":
            self._hangup = asyncio.get_running_loop().create_task(self._reload_by_signal())

    async def _reload_by_signal(self) -> None:
        """SIGHUP: as ``agenthost reload``, with nobody to answer but the records."""
        try:
            fresh = await self._reloading.read()
        except ConfigError as error:
            self._record("reload.refused", "/", reason=str(error))
            return
        self._decider.tell(on.Reload(0, fresh.tree, "SIGHUP"))

    def _orphaned(self) -> None:
        """Without a namespace nothing else ends us and ours when the guardian is gone."""
        self._halting = "kill"
        self._processes.kill_everything()
        self._decider.tell(on.Halt("kill", "the end of the guardian"))

    def _sweep(self) -> None:
        marker, name = os.environ["AGENTHOST_HOST"], _ground_name(self._places)
        mode: Any = "kill" if self._config.strays == "end" else "report"
        found = sweep.sweep(name, self.boot, marker, births.read(str(self._places.births)), mode)
        for stray in found:
            self._record("host.stray", stray.path or "/", text=stray.text, ended=stray.ended)
        self._strays = [stray for stray in found if not stray.ended]

    # ---- what belongs to more than one owner

    def _own_children(self) -> set[int]:
        zygotes = {zygote.pid for zygote in self._launcher.status()}
        return self._own.system.pids() | zygotes | self._launcher.stray_pids | self._examining.stacks.pids()

    def _answered(self, effect: do.Answer) -> None:
        """Operations are numbered up for operators, down for agents, and further down for who is woken."""
        if not self._sleepers.answered(effect):
            (self._operators if effect.op >= 0 else self._wishes).answered(effect)

    def _thaw(self, effect: do.Thaw) -> None:
        self._processes.thaw(effect)
        self._interrupting.thawed(effect.n)

    def _adopt(self, effect: do.Adopt) -> None:
        incarnation = self._processes.by_n.get(effect.n)
        before = incarnation.birth if incarnation is not None else None
        self._processes.adopt(effect)
        if incarnation is not None:
            self._wishes.groups.joined(incarnation)
        if isinstance(before, AgentBirth):
            self._interrupting.adopted(effect.n, before)

    # ---- what parts ask of the whole

    def _present(self, path: str) -> Any:
        node = self._state.nodes.get(path)
        return self._processes.by_n.get(node.n) if isinstance(node, Worker) else None

    def _worker(self, path: str) -> Worker:
        node = self._state.nodes[path]
        assert isinstance(node, Worker), f"{path} is a supervisor"
        return node

    def _may_operate(self, pid: int, uid: int) -> bool:
        guardian_pid = None if self._guard.namespace else (self._guard.pid or os.getpid())
        return may_operate(pid, uid, self._allowed, guardian_pid)

    def _say_to(self, peer: bytes, frame: bytes) -> None:
        router = self._dialogs.router
        if router is None:
            return
        try:
            router.send(peer, [frame])
        except ProtocolError as error:
            self._record("operator.answer_too_long", "/", error=str(error))

    def _record(self, name: str, path: str, **fields: Any) -> None:
        if name == "agent.ready":
            fields |= self._ready_facts(path)
            if (incarnation := self._present(path)) is not None and self._processes.liveness is not None:
                self._processes.liveness.begin(incarnation)
                self._journaling.doors.is_up(incarnation)
        if name == "agent.not_woken":
            self._wishes.monitors.not_woken(path, fields["why"])
        n = fields.get("incarnation", 0)
        if "incarnation" in fields:
            fields["incarnation"] = f"{self.boot}.{n}"
        self._chronicle.add(name, path, fields)
        if name == "agent.exited":
            self._recording.exited(path, n, fields)
        self._gave_up = self._gave_up or (name == "supervisor.gave_up" and path == "/")
        if name == "supervisor.ready" and path == "/" and not self._is_ready:
            self._is_ready = True
            took_ms = round((time.time() - self._began) * 1000)
            self._guard.say("READY")
            workers = sum(isinstance(node, Worker) for node in self._state.nodes.values())
            self._chronicle.add(
                "host.ready", "/", {"text": f"{self._config.name} is up: {workers} agents, {took_ms} ms"}
            )

    def _ready_facts(self, path: str) -> dict[str, Any]:
        incarnation = self._present(path)
        if incarnation is None:
            return {}
        after_ms = round((time.monotonic() - incarnation.began_at) * 1000, 1)
        return {"pid": self._status.pid(incarnation), "after_ms": after_ms}

    # ---- what operators see of the host

    def describe(self) -> dict[str, Any]:
        return {
            "name": self._config.name,
            "version": VERSION,
            "config": str(self._config.file),
            "pid": self._status.seen_outside(os.getpid()),
            "boot": self.boot,
            "before": None if self._before is None else self._before.described(),
            "since": self._began,
            "containment": self._containment.tier,
            "namespace": self._guard.namespace,
            "logs": str(self._places.logs),
            "state": "halting" if self._halting else "ready" if self._is_ready else "starting",
            "events": self._chronicle.last_offset,
            "strays": portrait.strays(self._strays),
            "journal": self._journaling.trouble or "well",
            "database": str(self._places.journal),
        }

    def own_processes(self) -> list[dict[str, Any]]:
        return portrait.own_processes(self._status, self._own.system, self._launcher, self.describe())

    def doctor(self) -> list[dict[str, Any]]:
        walls = portrait.walls(self._guard, self._containment)
        return [*walls, portrait.journal(self._journaling), *portrait.of_strays(self._strays)]

    def counters(self) -> dict[str, int]:
        router = {f"router.{name}": value for name, value in self._own.router_counters.items()}
        dialogs = {f"host.{name}": value for name, value in self._dialogs.counters.items()}
        dialogs["host.garbled"] += self._processes.hearing.garbled
        return {**router, **dialogs, "host.records": self._chronicle.last_offset}


def _ground_name(places: Places) -> str:
    """What the host's cgroups are named after: two hosts of one name and two state folders must not share them."""
    digest = hashlib.blake2b(os.fsencode(places.state_folder), digest_size=4).hexdigest()
    return f"{places.name}.{digest}"


def both(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    """Of what has two owners, in this order."""

    def deed(*told: Any) -> None:
        first(*told)
        second(*told)

    return deed
