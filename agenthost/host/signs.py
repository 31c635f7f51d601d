"""What a program says of itself by other ways than its birth socket: a line end on a descriptor (s6's notifywhenup),
and sd_notify(3)'s READY, STATUS, STOPPING and WATCHDOG. Opened before it is born, closed with its end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, ProgramBirth
from agenthost.core.reason import Reason
from agenthost.host.incarnation import Incarnation
from agenthost.host.notify import STATUS_CHARACTERS, NotifySocket

LAST_WORD_S = 1.0
"""Whoever ends closes its descriptors first: so long its end may take to be told of."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the newborn needs: variables, and (descriptor, number) of the readiness pipe's end. ``close`` when it is
    born."""

    env: tuple[tuple[str, str], ...] = ()
    ready: tuple[int, int] | None = None

    def close(self) -> None:
        if self.ready is not None:
            os.close(self.ready[0])


NO_MARKS = Marks()


class Signs:
    def __init__(self, tell: Callable[[on.Event], None]) -> None:
        self._tell = tell
        self._pipes: dict[int, int] = {}
        """Read ends by incarnation."""
        self._sockets: dict[int, NotifySocket] = {}

    def open(self, incarnation: Incarnation, folder: str) -> Marks:
        """``folder`` is where its user may speak to the host. ``StartFailed``."""
        wanted = incarnation.birth
        env: list[tuple[str, str]] = []
        ready = wanted.ready if isinstance(wanted, ProgramBirth) else None
        beats = wanted.liveness is not None and wanted.liveness.kind == "notify"
        if beats or (ready is not None and ready.kind == "notify"):
            path = f"{folder}/n-{incarnation.name}"
            self._sockets[incarnation.n] = NotifySocket(
                incarnation, path, lambda name, value: self._notified(incarnation, name, value)
            )
            env.append(("NOTIFY_SOCKET", path))
        if beats and wanted.liveness is not None:
            env.append(("WATCHDOG_USEC", str(round(wanted.liveness.interval_s * 1e6))))
        if ready is None or ready.kind != "fd":
            return Marks(tuple(env))
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self._pipes[incarnation.n] = ours
        asyncio.get_running_loop().add_reader(ours, self._written, incarnation)
        return Marks(tuple(env), (theirs, int(ready.target)))

    def close(self, incarnation: Incarnation) -> None:
        """Safe to call twice. What it said before its end still counts."""
        if incarnation.n in self._pipes:
            self._written(incarnation)
        self._close_pipe(incarnation)
        socket = self._sockets.pop(incarnation.n, None)
        if socket is not None:
            socket.close()

    def _written(self, incarnation: Incarnation) -> None:
        try:
            data = os.read(self._pipes[incarnation.n], 4096)
        except BlockingIOError:
            return
        if b"\n" in data:
            self._close_pipe(incarnation)
            self._tell(on.Ready(incarnation.path, incarnation.n))
        elif not data:
            self._close_pipe(incarnation)
            asyncio.get_running_loop().call_later(LAST_WORD_S, self._said_nothing, incarnation)

    def _said_nothing(self, incarnation: Incarnation) -> None:
        wanted = incarnation.birth
        if not incarnation.exited and isinstance(wanted, ProgramBirth) and wanted.ready is not None:
            text = f"it closed descriptor {wanted.ready.target} without a line end, and can never say that it is ready"
            self._tell(on.Fault(incarnation.path, incarnation.n, Reason("start_failed", text=text)))

    def _close_pipe(self, incarnation: Incarnation) -> None:
        pipe = self._pipes.pop(incarnation.n, None)
        if pipe is not None:
            asyncio.get_running_loop().remove_reader(pipe)
            os.close(pipe)

    def _notified(self, incarnation: Incarnation, name: str, value: str) -> None:
        match name, value:
            case "READY", "1":
                if not isinstance(incarnation.birth, AgentBirth):
                    self._tell(on.Ready(incarnation.path, incarnation.n))
            case "STATUS", _:
                incarnation.says = value[:STATUS_CHARACTERS]
            case "STOPPING", "1":
                incarnation.is_leaving = True
            case "WATCHDOG", "1":
                incarnation.sign_at = time.monotonic()
            case "WATCHDOG", "trigger":
                reason = Reason("not_live", text="it said so itself, by WATCHDOG=trigger")
                self._tell(on.Fault(incarnation.path, incarnation.n, reason))
