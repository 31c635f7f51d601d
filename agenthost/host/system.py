"""The host's own processes, router, logger and journal: supervised by the same core, in a tree of their own.

Their end is noticed by pidfd like anybody's; each new incarnation gets a new link. They hold nothing that a restart
would lose, so they are restarted at once, and if that does not help the host ends and its guardian starts it anew. Not
so the journal: agents that use nothing durable go on without it for ever, so it has a supervisor of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from agenthost.config.model import Durability
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason, from_wait
from agenthost.core.spec import Backoff, Shutdown, SupervisorSpec, WorkerSpec
from agenthost.core.tree import State
from agenthost.journal import start as journal
from agenthost.launch.spawn import spawn
from agenthost.observe import logger
from agenthost.transport import router

PREFIX = "/.system"
ROUTER, LOGGER, JOURNAL = f"{PREFIX}/router", f"{PREFIX}/logger", f"{PREFIX}/journal/writer"

_BACKOFF = Backoff(initial_s=0.05, max_s=1.0, calm_s=5.0)
_STOP = Shutdown(2.0)

SPEC = SupervisorSpec(
    ".system",
    (
        WorkerSpec("logger", shutdown=_STOP, backoff=_BACKOFF),
        WorkerSpec("router", shutdown=_STOP, backoff=_BACKOFF),
        SupervisorSpec(
            "journal",
            (WorkerSpec("writer", shutdown=_STOP, backoff=Backoff(initial_s=0.05, max_s=0.5, calm_s=5.0)),),
            intensity=1_000_000,
            period_s=1.0,
        ),
    ),
    intensity=20,
    period_s=60.0,
)


@dataclass(slots=True)
class _Running:
    path: str
    n: int
    pid: int
    pidfd: int
    since: float


class System:
    """``on_router(link)`` and ``on_logger(link)`` take the host's end of a fresh link, ``on_journal(link, doors)`` two;
    ``on_gone(path)`` loses it. ``journal`` is (database, boot, durability)."""

    def __init__(
        self,
        *,
        endpoints: list[tuple[str, int, tuple[int, ...]]],
        log_folder: str,
        journal: tuple[str, int, Durability],
        on_router: Callable[[socket.socket], None],
        on_logger: Callable[[socket.socket], None],
        on_journal: Callable[[socket.socket, socket.socket], None],
        on_gone: Callable[[str], None],
        tell: Callable[[on.Event], None],
    ) -> None:
        self.endpoints, self._log_folder = endpoints, log_folder
        self._on_router, self._on_logger, self._on_gone, self._tell = on_router, on_logger, on_gone, tell
        self._journal, self._on_journal = journal, on_journal
        self._running: dict[int, _Running] = {}

    def new_state(self, seed: int) -> State:
        return State(SPEC, seed=seed, prefix=PREFIX)

    def pids(self) -> set[int]:
        return {one.pid for one in self._running.values()}

    def processes(self) -> list[_Running]:
        return list(self._running.values())

    def router_heard(self) -> None:
        """The router has bound its sockets: it spoke."""
        for one in list(self._running.values()):  # its readiness may give birth to the next
            if one.path == ROUTER:
                self._tell(on.Ready(one.path, one.n))

    # ---- effects

    def birth(self, effect: do.Birth) -> None:
        kind = socket.SOCK_SEQPACKET if effect.path == LOGGER else socket.SOCK_STREAM
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        our_doors, their_doors = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            if effect.path == ROUTER:
                pid, pidfd = spawn(router.main, (theirs, self.endpoints), name="ah-router")
            elif effect.path == JOURNAL:
                pid, pidfd = spawn(journal.start, (theirs, their_doors, *self._journal), name="ah-journal")
            else:
                pid, pidfd = spawn(logger.main, (theirs, self._log_folder), name="ah-logger")
        except OSError as error:
            ours.close()
            our_doors.close()
            self._tell(on.Exited(effect.path, effect.n, Reason("start_failed", text=str(error))))
            self._tell(on.Emptied(effect.path, effect.n))
            return
        finally:
            theirs.close()
            their_doors.close()
        one = self._running[effect.n] = _Running(effect.path, effect.n, pid, pidfd, time.time())
        asyncio.get_running_loop().add_reader(pidfd, self._died, one)
        if effect.path == JOURNAL:
            self._on_journal(ours, our_doors)
            self._tell(on.Ready(effect.path, effect.n))
            return
        our_doors.close()
        if effect.path == ROUTER:
            self._on_router(ours)
        else:
            self._on_logger(ours)
            self._tell(on.Ready(effect.path, effect.n))

    def ask(self, effect: do.Ask) -> None:
        """The end of its link tells it to end, when it has done what is left to do."""
        if effect.n in self._running:
            self._on_gone(effect.path)

    def terminate(self, effect: do.Terminate) -> None:
        self._signal(effect.n, signal.SIGTERM)

    def kill(self, effect: do.Kill) -> None:
        self._signal(effect.n, signal.SIGKILL)

    def _signal(self, n: int, signum: int) -> None:
        one = self._running.get(n)
        if one is not None:
            try:
                signal.pidfd_send_signal(one.pidfd, signum)
            except ProcessLookupError:
                return  # its pidfd tells, or has told

    def _died(self, one: _Running) -> None:
        status = os.waitid(os.P_PIDFD, one.pidfd, os.WEXITED | os.WNOHANG)
        if status is None:
            return
        asyncio.get_running_loop().remove_reader(one.pidfd)
        os.close(one.pidfd)
        del self._running[one.n]
        self._on_gone(one.path)
        reason = from_wait(status.si_status, by_signal=status.si_code != os.CLD_EXITED)
        self._tell(on.Exited(one.path, one.n, reason))
        # Neither starts anything, so with the process everything of it is gone.
        asyncio.get_running_loop().call_soon(self._tell, on.Emptied(one.path, one.n))
