"""The launcher of the real host: one zygote for each release in use, and the bare zygote for programs.

A zygote is started when it is first needed, again at once when it dies in use, after a while when it keeps dying early.
A birth that was under way as its zygote died is tried once more on the next. What a zygote gave birth to is the host's
child and does not notice any of this. The host waits for what was born; here only zygotes are waited for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import msgspec

from agenthost.errors import StartFailed, UsageError
from agenthost.launch.digest import has_changed
from agenthost.launch.launcher import Born, Order, Release
from agenthost.launch.line import Line
from agenthost.launch.orders import Body
from agenthost.launch.pending import Pending
from agenthost.launch.strays import Strays

SHORT_LIFE_S = 1.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
TRIES = 2

_encode = msgspec.msgpack.encode


@dataclass(frozen=True, slots=True)
class ZygoteStatus:
    """For ``status``. ``digest`` is empty until the release is imported, and for the bare zygote (release None)."""

    release: Release | None
    pid: int
    since_s: float
    ready: bool
    digest: str
    born: int
    under_way: int


@dataclass(slots=True, eq=False)
class _Seat:
    """The place of one release's zygote. ``waiting`` holds births while there is none."""

    line: Line | None = None
    waiting: deque[Pending] = field(default_factory=deque)
    short_lives: int = 0
    timer: asyncio.TimerHandle | None = None


class Zygotes:
    """Implements ``Launcher``. To be used from the main thread's event loop.

    ``runtime``: "module:function" that a newborn agent calls with its certificate and its birth socket. ``lifted``: the
    host's nice value was lowered by so much.
    """

    def __init__(self, *, runtime: str = "agenthost.agent.runtime:run", lifted: int = 0) -> None:
        self._runtime, self._lifted = runtime, lifted
        self._seats: dict[Release | None, _Seat] = {}
        self._lines: set[Line] = set()
        self._strays = Strays()
        self._closing = False

    async def start(self) -> None:
        """Start the bare zygote, so that the first program need not wait for it."""
        self._fill(None, self._seats.setdefault(None, _Seat()))

    async def birth(self, order: Order) -> Born:
        """See ``Launcher``. A cancelled birth leaves no process."""
        pending = Pending(order, _encode(_body(order)), asyncio.get_running_loop().create_future())
        seat = self._seats.setdefault(order.release, _Seat())
        self._submit(order.release, seat, pending)
        try:
            return await pending.future
        except asyncio.CancelledError:
            if pending.future.done() and not pending.future.cancelled() and pending.future.exception() is None:
                born = pending.future.result()  # it came in the same turn of the loop as the cancellation
                born.birth_socket.close()
                self._strays.end(born.pid, born.pidfd)
            if seat.line is not None:
                seat.line.kill_if_unwanted()
            raise

    async def renew(self, release: Release) -> None:
        """Import ``release`` anew, for births from now on. ``StartFailed`` if it does not import; the old one stays."""
        seat = self._seats.setdefault(release, _Seat())
        line = self._open(release)
        await line.settled
        if line.refused is not None:
            raise StartFailed(line.refused.error, trace=line.refused.trace, permanent=True, hint=line.refused.hint)
        if not line.ready:
            raise StartFailed(f"cannot import {_name(release)}: its zygote ended ({line.how})")
        old, seat.line = seat.line, line
        for pending in (*(old.retire() if old else ()), *_drain(seat.waiting)):
            line.take(pending)

    async def refresh(self, release: Release) -> bool:
        """``renew`` it if the author has changed a file of it since it was imported. True if it was."""
        seat = self._seats.get(release)
        if seat is None or seat.line is None or seat.line.imported is None:
            return False  # it will be imported when it is needed
        if not has_changed(seat.line.imported.sources):
            return False
        await self.renew(release)
        return True

    def status(self) -> list[ZygoteStatus]:
        return [
            ZygoteStatus(
                release=line.release,
                pid=line.pid,
                since_s=line.since_s,
                ready=line.ready,
                digest=line.imported.digest if line.imported else "",
                born=line.born,
                under_way=line.under_way,
            )
            for line in sorted(self._lines, key=lambda line: line.since_s)
        ]

    @property
    def stray_pids(self) -> set[int]:
        """Children of cancelled births that are not reaped yet."""
        return self._strays.pids

    async def close(self) -> None:
        self._closing = True
        for seat in self._seats.values():
            if seat.timer is not None:
                seat.timer.cancel()
            for pending in _drain(seat.waiting):
                pending.fail(_closed())
        lines = list(self._lines)
        for line in lines:
            line.kill()
        for line in lines:
            await line.gone
        await self._strays.wait_none()

    # ---- seats

    def _submit(self, release: Release | None, seat: _Seat, pending: Pending) -> None:
        if self._closing:
            pending.fail(_closed())
        elif seat.line is not None and seat.line.refused is None:
            seat.line.take(pending)
        else:
            seat.waiting.append(pending)
            if seat.timer is None:
                self._fill(release, seat)

    def _fill(self, release: Release | None, seat: _Seat) -> None:
        """Give what waits to the zygote in the seat; put a new one there if there is none."""
        seat.timer = None
        if seat.line is None or seat.line.refused is not None:
            try:
                seat.line = self._open(release)
            except StartFailed as error:
                for pending in _drain(seat.waiting):
                    pending.fail(error)
                return
        for pending in _drain(seat.waiting):
            seat.line.take(pending)

    def _open(self, release: Release | None) -> Line:
        if self._closing:
            raise _closed()
        try:
            line = Line(release, self._runtime, self._strays, self._lost, self._lifted)
        except OSError as error:
            why = f"cannot start a zygote for {_name(release)}: {error.strerror or error}"
            raise StartFailed(why, hint="the host may be out of descriptors, processes or memory") from error
        self._lines.add(line)
        return line

    def _lost(self, line: Line, leftovers: list[Pending]) -> None:
        self._lines.discard(line)
        seat = self._seats[line.release]
        if seat.line is line:
            seat.line = None
            short = line.lived_s < SHORT_LIFE_S and not line.born and line.refused is None
            seat.short_lives = seat.short_lives + 1 if short else 0
        again = [pending for pending in leftovers if self._may_try_again(line, pending)]
        if seat.line is not None:
            for pending in again:
                seat.line.take(pending)
            return
        seat.waiting.extendleft(reversed(again))
        if self._closing or seat.timer is not None or not (seat.waiting or line.ready):
            return
        wait_s = min(FIRST_WAIT_S * 2 ** (seat.short_lives - 2), LONGEST_WAIT_S) if seat.short_lives > 1 else 0.0
        seat.timer = asyncio.get_running_loop().call_later(wait_s, self._fill, line.release, seat)

    def _may_try_again(self, line: Line, pending: Pending) -> bool:
        if self._closing:
            pending.fail(_closed())
        elif pending.tries >= TRIES:
            when = "before it was born" if line.ready else "while importing"
            why = f"cannot start {pending.order.path}: the zygote of {_name(line.release)} ended {when} ({line.how})"
            pending.fail(StartFailed(why))
        else:
            return True
        return False


def _body(order: Order) -> Body:
    if (order.program is None) == (order.certificate is None) or (order.release is None) != (order.certificate is None):
        raise UsageError(f"cannot start {order.path}: an order has a release with a certificate, or a program")
    program = order.program
    if program is not None and not program.argv:
        raise UsageError(f"cannot start {order.path}: its argv is empty")
    return Body(
        path=order.path,
        incarnation=order.incarnation,
        subreaper=order.cell.subreaper,
        join=order.cell.join,
        rlimits=order.rlimits.values,
        no_new_privileges=order.no_new_privileges,
        hold=order.hold,
        certificate=order.certificate,
        argv=program.argv if program else (),
        env=program.env if program else (),
        cwd=program.cwd if program else "/",
        private=order.private,
        files=order.files,
        terminal=order.terminal,
        ready_number=order.ready[1] if order.ready else 0,
        become=(
            (program.account.uid, program.account.gid, program.account.groups) if program and program.account else None
        ),
    )


def _drain(waiting: deque[Pending]) -> list[Pending]:
    taken = list(waiting)
    waiting.clear()
    return taken


def _name(release: Release | None) -> str:
    return ", ".join(release.modules) or "an empty release" if release else "programs"


def _closed() -> StartFailed:
    return StartFailed("cannot start anything: the host is ending")
