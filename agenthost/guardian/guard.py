"""The loop: start the host, attend it, clean up after it, start it again or end.

It reads top-down as one run of ``run``. ``_turn`` alone waits; it takes in signals, packets and deaths,
and everything else looks at what it noted. Rule: a new host is started only when nothing of the old one is left.
"""

from __future__ import annotations

import os
import select
import signal
import time

from agenthost.errors import ContainmentError
from agenthost.guardian import cells, descendants, direct, namespace, order, sockets
from agenthost.guardian.child import Child
from agenthost.guardian.notify import Notify
from agenthost.guardian.patience import Patience
from agenthost.guardian.signals import Signals
from agenthost.guardian.terminal import Terminal

FAILED = 1
_STOP, _HURRY, _KILL = 1, 2, 3
"""How much the operator insists."""
_TICK_S = 1.0
_SLOW_S = 10.0
"""After so long, what cannot be ended or removed is named."""
_REMOVAL_S = 5.0
_DEAF_S = 2.0
"""A host that closed its link without a farewell is about to end by itself, within so long."""
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.25


class Guard:
    def __init__(self, argv: list[str], *, walls: str, silence_s: float, name: str, signals: Signals) -> None:
        self._argv, self._walls, self._silence_s = argv, walls, silence_s
        self._signals = signals
        self._terminal = Terminal(name)
        self._notify = Notify(dict(os.environ), os.getpid())
        self._patience = Patience()
        self._child: Child | None = None
        self._insistence = 0
        self._cells: list[str] = []
        self._runtime_folder = ""
        self._farewell: int | None = None
        self._started = False
        self._heard_s = self._awake_s = time.monotonic()
        self._refused: str | None = None
        # exec keeps children: those of the command that became us are none of our business
        self._spared = frozenset(descendants.below(os.getpid()))

    def run(self) -> int:
        """Until the host has said farewell, the operator ends it, or patience does. Returns the exit status."""
        status = self._run()
        if self._runtime_folder and self._farewell is None:
            sockets.remove(self._runtime_folder)
        return status

    def _run(self) -> int:
        while True:
            self._turn(0)
            if self._is_asked_to_stop():
                self._terminal.say("stopped before the host was started")
                return FAILED
            try:
                child = self._child = self._start()
            except (ContainmentError, OSError) as error:
                ending = f"cannot start the host: {error}"
                if not self._started:
                    self._terminal.say(ending)
                    return FAILED
            else:
                self._started = True
                cause = self._attend(child)
                self._clean_up(child)
                child.close()
                self._child = None
                if self._farewell is not None:
                    return self._farewell
                if why := child.unexecutable():
                    self._terminal.say(f"cannot start the host: {why}")
                    return FAILED
                ending = cause or child.how_it_ended()
            if self._is_asked_to_stop():
                self._terminal.say(f"{ending} while it was stopping")
                return FAILED
            order.before = f"{time.time():.3f} {ending}"
            if not self._wait_for_next_start(ending):
                return FAILED

    # start

    def _start(self) -> Child:
        """``ContainmentError`` where a namespace is required and refused, ``OSError`` where the system has no room."""
        self._farewell = None
        self._heard_s = self._awake_s = time.monotonic()
        if self._refused is None:
            try:
                child = namespace.start(self._argv)
            except ContainmentError as error:
                if self._walls == "require":
                    raise ContainmentError(
                        f"cannot make a PID namespace: {error}", hint="allow it, or use --namespace auto"
                    ) from error
                self._refused = str(error)
                self._terminal.say(
                    f"goes on without a PID namespace: {error}; "
                    "what the host started then survives if guardian and host are killed at once"
                )
            else:
                self._walls = "require"  # what was granted once is not given up by a later failure
                return child
        return direct.start(self._argv, self._refused)

    def without_namespace(self, why: str) -> None:
        self._refused = why

    # attend

    def _attend(self, child: Child) -> str | None:
        """Until the child has gone. Returns why the guardian ended it, if it did."""
        cause = None
        said_s = None
        while True:
            self._turn(min(_TICK_S, self._silence_s / 4))
            if child.gone:
                return cause
            now = time.monotonic()
            if said_s is None:
                cause = self._cause_to_kill(child, now)
                if cause or child.host_has_ended():
                    said_s = now
                    child.kill()
                    self._kill_cells()  # what is frozen by cgroup v1 does not die before, and keeps the init
            elif now - said_s > _SLOW_S:
                said_s = now
                self._terminal.say(f"waits for what does not end: process {child.pid} or what is below it")

    def _cause_to_kill(self, child: Child, now: float) -> str | None:
        if child.host_has_ended():
            return None
        if self._insistence >= _KILL:
            return "host killed at the third signal"
        if now - self._heard_s > self._silence_s:
            return f"host killed after {self._silence_s:g} s of silence"
        if not child.link.open and self._farewell is None and now - self._heard_s > _DEAF_S:
            return "host killed because it closed its link"
        return None

    def _turn(self, timeout_s: float) -> None:
        """Wait for at most ``timeout_s``, then note all that has happened."""
        child = self._child
        poll = select.poll()
        poll.register(self._signals.fd, select.POLLIN)
        if child and not child.gone:
            poll.register(child.pidfd, select.POLLIN)
            if child.link.open:
                poll.register(child.link, child.link.interest())
        poll.poll(timeout_s * 1000)
        for signum in self._signals.try_read():
            self._note_signal(signum)
        if child:
            if child.link.open:
                child.link.try_flush()
                for words in child.link.try_read():
                    self._note_packet(words)
            child.try_reap()
            if child.gone and child.link.open:  # what it said last is still in the socket
                for words in child.link.try_read():
                    self._note_packet(words)
        now = time.monotonic()
        if now - self._awake_s > timeout_s + max(1.0, self._silence_s / 4):
            self._heard_s = now  # we were stopped, or the machine was: that is no silence of the host
        self._awake_s = now
        self._notify.alive(now)  # systemd watches us alone; it is us who watch the host

    def _note_signal(self, signum: int) -> None:
        if signum == signal.SIGQUIT:
            self._insist(_KILL)
        elif signum in (signal.SIGINT, signal.SIGTERM):
            self._insist(self._insistence + 1)
        elif signum == signal.SIGHUP:
            if self._terminal.has_hung_up() and not self._signals.hangup_was_ignored:
                self._insist(max(self._insistence, _STOP))
            elif self._child:
                self._child.link.say("RELOAD")

    def _insist(self, level: int) -> None:
        if level == self._insistence:
            return
        self._insistence = level
        self._notify.stopping()
        if self._child and level in (_STOP, _HURRY):
            self._child.link.say("STOP" if level == _STOP else "HURRY")

    def _is_asked_to_stop(self) -> bool:
        return self._insistence >= _STOP

    def _note_packet(self, words: list[str]) -> None:
        """Unknown and malformed packets are no error: host and guardian may be of different versions."""
        self._heard_s = time.monotonic()
        match words:
            case ["BEAT"]:
                pass  # that it was heard is all there is to it
            case ["CELLS", *paths]:
                self._cells += [path for path in paths if path not in self._cells]
            case ["SOCKETS", folder] if folder.startswith("/"):
                self._runtime_folder = folder
            case ["READY"]:
                self._notify.ready()
            case ["BYE", status] if status.isascii() and status.isdigit() and int(status) < 256:
                self._farewell = int(status)
                self._notify.stopping()

    # clean up

    def _clean_up(self, child: Child) -> None:
        """Wait until nothing of the host is left; a stop signal at this time ends the waiting for what is stuck."""
        self._kill_cells()
        if not child.is_init:
            self._end_descendants(child)
        deadline_s = time.monotonic() + _REMOVAL_S
        pause_s = _SHORTEST_PAUSE_S
        while self._cells:
            stuck = {path: why for path in self._cells if (why := cells.try_remove(path))}
            self._cells = list(stuck)
            if stuck and time.monotonic() > deadline_s:
                for why in stuck.values():
                    self._terminal.say(why)
                if self._farewell is not None or self._is_asked_to_stop():
                    return
                deadline_s = time.monotonic() + _SLOW_S
            if stuck:
                self._kill_cells()
                self._turn(pause_s)
                pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def _kill_cells(self) -> None:
        for path in list(self._cells):
            if refusal := cells.kill(path):
                self._terminal.say(refusal)
                self._cells.remove(path)

    def _end_descendants(self, child: Child) -> None:
        deadline_s = time.monotonic() + _SLOW_S
        pause_s = _SHORTEST_PAUSE_S
        empty_walks = 0
        while True:
            descendants.kill_orphans(self._spared)
            left = descendants.kill_below(os.getpid(), self._spared)
            child.try_reap()
            empty_walks = 0 if left else empty_walks + 1
            if empty_walks > 2 if self._spared else not descendants.has_children():
                return
            if left and time.monotonic() > deadline_s:
                pids = " ".join(str(pid) for pid, _ in left[:5])
                self._terminal.say(f"waits for {len(left)} processes that do not end: {pids}")
                if self._is_asked_to_stop():
                    return
                deadline_s = time.monotonic() + _SLOW_S
            self._turn(pause_s if left else 0)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    # again

    def _wait_for_next_start(self, ending: str) -> bool:
        patience = self._patience
        delay_s = patience.delay_after_crash(time.monotonic())
        if delay_s is None:
            self._terminal.say(f"{ending}; gives up: {patience.intensity} restarts in {patience.period_s:g} s")
            self._notify.say(f"STATUS=gave up: {ending}")
            return False
        again = f"starting it again ({patience.restarts} of {patience.intensity} in {patience.period_s:g} s)"
        self._terminal.say(f"{ending}; {again}")
        self._notify.say(f"STATUS={ending}; {again}")
        deadline_s = time.monotonic() + delay_s
        while not self._is_asked_to_stop() and (left_s := deadline_s - time.monotonic()) > 0:
            self._turn(left_s)
        if self._is_asked_to_stop():
            self._terminal.say("stopped before the host was started again")
        return not self._is_asked_to_stop()


def prepare() -> Signals:
    """Before anything is started: descriptors in order, signals heard."""
    order.keep_standard_descriptors()
    order.close_on_exec()
    order.lift()
    return Signals()
