"""The host's end of one zygote: starts the process, sends it orders, hears its answers, sees it die.

Decides nothing about other zygotes; ``zygotes`` does. The rule it keeps: every order it took ends in exactly one of a
``Born``, a ``StartFailed``, or the list of leftovers it hands over when its zygote has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable

import msgspec

from agenthost.core.reason import signal_name
from agenthost.errors import StartFailed
from agenthost.launch import lean, unwanted, zygote
from agenthost.launch.launcher import Born, Release
from agenthost.launch.orders import Forked, FromZygote, Imported, ImportFailed
from agenthost.launch.pending import Pending
from agenthost.launch.slate import Slate
from agenthost.launch.spawn import Inherited, spawn
from agenthost.launch.strays import Strays

IN_FLIGHT = 64
"""Orders sent and not answered: bounds the descriptors in flight (unix(7): ETOOMANYREFS) and the socket's buffer."""
_MOST_ANSWERS = IN_FLIGHT + 2
"""That wait at a time: to each order, to the import, and the end. Who says more is heard in turn with the others."""

_decode = msgspec.msgpack.Decoder(FromZygote).decode
_TRACE_BYTES, _ANSWER_BYTES = 512 * 1024, 4096


class _Astray(Exception):
    """It says what no zygote of ours would."""


class Line:
    """``on_gone(line, leftovers)`` is called once, when the zygote was reaped. ``OSError`` if it cannot be started.

    ``settled`` is done when it can fork, when the import failed, or when it has gone; ``gone`` when it was reaped.
    """

    def __init__(
        self,
        release: Release | None,
        runtime: str,
        strays: Strays,
        on_gone: Callable[[Line, list[Pending]], None],
        lifted: int = 0,
    ) -> None:
        self.release, self.born = release, 0
        self.imported: Imported | None = None
        self.refused: ImportFailed | None = None
        self.how, self.lived_s = "", 0.0
        """How it ended, in words, and after what time."""
        self._loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._strays, self._on_gone = strays, on_gone
        self._waiting: deque[Pending] = deque()
        self._sent: dict[int, Pending] = {}
        self._ids = 0
        self._writing = False
        self._start(runtime, lifted)

    def _start(self, runtime: str, lifted: int) -> None:
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            with theirs:
                memory = os.memfd_create("agenthost-births", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                undo.callback(os.close, memory)
                os.ftruncate(memory, mmap.PAGESIZE)
                # nobody can take it from under our mapping (memfd_create(2): SIGBUS)
                fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
                page = mmap.mmap(memory, mmap.PAGESIZE)
                host = os.pidfd_open(os.getpid())
                undo.callback(os.close, host)
                self._slate = None if self.release is None else Slate()
                slate = None if self._slate is None else Inherited(self._slate.descriptor)
                args = (theirs, Inherited(memory), Inherited(host), slate, self.release, runtime, lifted)
                self.pid, self.pidfd = spawn(lean.main, args, name="agenthost-zygote")
            os.close(memory)
            os.close(host)
            undo.pop_all()
        self.since_s, self._started_s = time.time(), time.monotonic()
        self._page, self._link = page, ours
        self._link.setblocking(False)
        self._loop.add_reader(self._link, self._hear)
        self._loop.add_reader(self.pidfd, self._reap)

    # ---- orders

    @property
    def ready(self) -> bool:
        return self.imported is not None

    @property
    def under_way(self) -> int:
        """Births taken and not answered."""
        return len(self._waiting) + len(self._sent)

    def take(self, pending: Pending) -> None:
        self._waiting.append(pending)
        if self.ready:
            self._send_waiting()

    def kill(self) -> None:
        if self.gone.done():
            return
        with contextlib.suppress(ProcessLookupError):  # reaped a moment ago
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def kill_if_unwanted(self) -> None:
        """An import that nobody waits for any more may be one that never ends."""
        if not self.ready and all(pending.future.done() for pending in self._waiting):
            self.kill()

    def retire(self) -> list[Pending]:
        """No more orders: it answers those it was sent, and ends. Returns those it was not sent."""
        unsent = list(self._waiting)
        self._waiting.clear()
        with contextlib.suppress(OSError):  # it has just died
            self._link.shutdown(socket.SHUT_WR)
        return unsent

    def _send_waiting(self) -> None:
        while self._waiting and len(self._sent) < IN_FLIGHT:
            pending = self._waiting[0]
            if pending.future.done():  # nobody waits for it any more
                self._waiting.popleft()
                continue
            try:
                pending.send(self._link, self._ids + 1)
            except BlockingIOError:
                self._write_later(True)
                return
            except ConnectionError:  # it has just died; _reap hands over what waits
                break
            except OSError as error:
                why = f"cannot start {pending.order.path}: {error.strerror or error}"
                pending.fail(StartFailed(why, hint="the host may be out of descriptors"))
            else:
                self._ids += 1
                self._sent[self._ids] = pending
            self._waiting.popleft()
        self._write_later(False)

    def _write_later(self, later: bool) -> None:
        if later != self._writing:
            self._writing = later
            if later:
                self._loop.add_writer(self._link, self._send_waiting)
            else:
                self._loop.remove_writer(self._link)

    # ---- answers

    def _hear(self) -> None:
        """What waits on the link. Its end means that no process holds the other side."""
        for _ in range(_MOST_ANSWERS):
            most = _ANSWER_BYTES if self.ready else _TRACE_BYTES
            try:
                packet, ancillary, _, _ = self._link.recvmsg(most, unwanted.SPACE, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            except ConnectionResetError:
                continue  # it ended with orders unread; its answers come after this error (unix(7))
            if not packet:
                self._loop.remove_reader(self._link)
                self.kill()
                return
            pidfds = [number for _, _, content in ancillary for (number,) in struct.iter_unpack("i", content)]
            try:
                self._take_answer(_decode(packet), pidfds)
            except (msgspec.DecodeError, _Astray):  # its author's code may be another user's, and say anything
                self.kill()
                return
            finally:
                unwanted.let_go(pidfds)
        if self.ready:
            self._send_waiting()

    def _take_answer(self, answer: FromZygote, pidfds: list[int]) -> None:
        """Takes the pidfd out of the list if it wants it."""
        if isinstance(answer, Imported):
            self.imported = answer
            self._settle()
        elif isinstance(answer, ImportFailed):
            self.refused = answer
            error = StartFailed(answer.error, trace=answer.trace, permanent=True, hint=answer.hint)
            self._settle()
            while self._waiting:
                self._waiting.popleft().fail(error)
        elif answer.id not in self._sent:
            raise _Astray
        elif isinstance(answer, Forked):
            if not self._is_its_own(answer.pid):
                raise _Astray
            is_believed = bool(pidfds) and not self._is_foreign  # else it could be anybody's
            self._deliver(self._sent.pop(answer.id), answer.pid, pidfds.pop(0) if is_believed else None)
        else:
            self._sent.pop(answer.id).cannot_fork(answer)

    @property
    def _is_foreign(self) -> bool:
        return self.release is not None and self.release.account is not None

    def _is_its_own(self, pid: int) -> bool:
        """What we are told to be born we move, signal and end, with our rights: of another user's zygote it must be
        that user's, and our child."""
        if self.release is None or self.release.account is None:
            return True
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                fields = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        except OSError:
            return False
        uids = {int(number) for number in fields[b"Uid"].split()}
        return uids == {self.release.account.uid} and int(fields[b"PPid"]) == os.getpid()

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def _deliver(self, pending: Pending, pid: int, pidfd: int | None) -> None:
        self.born += 1
        try:
            if pidfd is None:  # we were out of descriptors as it came
                pidfd = os.pidfd_open(pid)
            start_time = _start_time(pid)
        except OSError as error:
            self._strays.end(pid, pidfd)
            pending.fail(StartFailed(f"cannot start {pending.order.path}: {error}"))
            return
        assert pending.birth is not None
        if pending.future.done():
            self._strays.end(pid, pidfd)
            pending.forget()
            return
        code = self.imported.digest if self.imported else ""
        pending.future.set_result(Born(pid, pidfd, start_time, pending.birth, code, self._slate))
        pending.birth = None

    # ---- death

    def _reap(self) -> None:
        self._loop.remove_reader(self.pidfd)
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        assert ended is not None
        by_signal = ended.si_code != os.CLD_EXITED
        self.how = f"killed by {signal_name(ended.si_status)}" if by_signal else f"exit status {ended.si_status}"
        self._hear()
        self._loop.remove_reader(self._link)
        self._write_later(False)
        # It may have died between its fork and its answer: what the kernel wrote into the page tells.
        newest, pid = zygote.read_page(self._page)
        if pid and newest in self._sent and self._is_its_own(pid):
            self._deliver(self._sent.pop(newest), pid, None)
        if self.refused is None:
            for pending in self._sent.values() if self.ready else self._waiting:
                pending.tries += 1
        for pending in self._sent.values():
            pending.forget()
        leftovers = [pending for pending in (*self._sent.values(), *self._waiting) if not pending.future.done()]
        self._sent.clear()
        self._waiting.clear()
        self._link.close()
        self._page.close()
        os.close(self.pidfd)
        self.lived_s = time.monotonic() - self._started_s
        self.gone.set_result(None)
        self._settle()
        self._on_gone(self, leftovers)


def _start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[19])
