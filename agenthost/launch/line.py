"""The host's end of one zygote: starts the process, sends it orders, hears its answers, sees it die.

Decides nothing about other zygotes; ``zygotes`` does. The rule it keeps: every order it took ends in exactly one of a
``Born``, a ``StartFailed``, or the list of leftovers it hands over when its zygote has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from agenthost.core.reason import signal_name
from agenthost.errors import StartFailed
from agenthost.launch import birth_socket, lean, zygote
from agenthost.launch.launcher import Born, Order, Release
from agenthost.launch.orders import INLINE_BYTES, Fork, Forked, ForkFailed, FromZygote, Imported, ImportFailed
from agenthost.launch.spawn import Inherited, spawn
from agenthost.launch.strays import Strays

IN_FLIGHT = 64
"""Orders sent and not answered: bounds the descriptors in flight (unix(7): ETOOMANYREFS) and the socket's buffer."""

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(FromZygote).decode
_TRACE_BYTES, _ANSWER_BYTES = 512 * 1024, 4096
_ANSWER_SPACE = socket.CMSG_SPACE(struct.calcsize("i"))


@dataclass(slots=True, eq=False)
class Pending:
    """A birth that somebody waits for. ``tries`` counts zygotes that ended with it; ``birth`` is our end of its socket
    while it is under way."""

    order: Order
    body: bytes
    future: asyncio.Future[Born]
    tries: int = 0
    birth: socket.socket | None = None

    def fail(self, error: StartFailed) -> None:
        self.forget()
        if not self.future.done():
            self.future.set_exception(error)

    def forget(self) -> None:
        """It was not born, or nobody wants it."""
        if self.birth is not None:
            self.birth.close()
            self.birth = None


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
        self._start(runtime)

    def _start(self, runtime: str) -> None:
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            with theirs:
                memory = os.memfd_create("agenthost-births")
                undo.callback(os.close, memory)
                os.ftruncate(memory, mmap.PAGESIZE)
                page = mmap.mmap(memory, mmap.PAGESIZE)
                host = os.pidfd_open(os.getpid())
                undo.callback(os.close, host)
                args = (theirs, Inherited(memory), Inherited(host), self.release, runtime)
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
                self._send(pending)
            except BlockingIOError:
                self._write_later(True)
                return
            except ConnectionError:  # it has just died; _reap hands over what waits
                break
            except OSError as error:
                why = f"cannot start {pending.order.path}: {error.strerror or error}"
                pending.fail(StartFailed(why, hint="the host may be out of descriptors"))
            self._waiting.popleft()
        self._write_later(False)

    def _send(self, pending: Pending) -> None:
        order = pending.order
        descriptors, in_memory = [order.stdout, order.stderr], None
        if order.cell.cgroup_fd is not None:
            descriptors.append(order.cell.cgroup_fd)
        ours, theirs = birth_socket.pair()
        try:
            body = pending.body
            if len(body) > INLINE_BYTES:
                in_memory = _in_memory(body)
                descriptors.append(in_memory)
                body = b""
            self._ids += 1
            fork = Fork(
                id=self._ids,
                new_pid_namespace=order.cell.new_pid_namespace,
                new_user_namespace=order.cell.new_user_namespace,
                in_cgroup=order.cell.cgroup_fd is not None,
                body=body,
            )
            socket.send_fds(self._link, [_encode(fork)], [theirs.fileno(), *descriptors])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            if in_memory is not None:
                os.close(in_memory)
        pending.birth = ours
        self._sent[self._ids] = pending

    def _write_later(self, later: bool) -> None:
        if later != self._writing:
            self._writing = later
            if later:
                self._loop.add_writer(self._link, self._send_waiting)
            else:
                self._loop.remove_writer(self._link)

    # ---- answers

    def _hear(self) -> None:
        """Everything that waits on the link. Its end means that no process holds the other side."""
        while True:
            most = _ANSWER_BYTES if self.ready else _TRACE_BYTES
            try:
                packet, ancillary, _, _ = self._link.recvmsg(most, _ANSWER_SPACE, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            except ConnectionResetError:
                continue  # it ended with orders unread; its answers come after this error (unix(7))
            if not packet:
                self._loop.remove_reader(self._link)
                self.kill()
                return
            pidfds = [number for _, _, content in ancillary for (number,) in struct.iter_unpack("i", content)]
            self._take_answer(_decode(packet), pidfds[0] if pidfds else None)
        if self.ready:
            self._send_waiting()

    def _take_answer(self, answer: FromZygote, pidfd: int | None) -> None:
        if isinstance(answer, Imported):
            self.imported = answer
            self._settle()
        elif isinstance(answer, ImportFailed):
            self.refused = answer
            error = StartFailed(answer.error, trace=answer.trace, permanent=True, hint=answer.hint)
            self._settle()
            while self._waiting:
                self._waiting.popleft().fail(error)
        elif isinstance(answer, Forked):
            self._deliver(self._sent.pop(answer.id), answer.pid, pidfd)
        else:
            pending = self._sent.pop(answer.id)
            pending.fail(_cannot_fork(pending.order, answer))

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
        pending.future.set_result(Born(pid, pidfd, start_time, pending.birth, code))
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
        if pid and newest in self._sent:
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


def _in_memory(body: bytes) -> int:
    memory = os.memfd_create("agenthost-order")
    try:
        left = memoryview(body)
        while left:
            left = left[os.write(memory, left) :]
    except OSError:
        os.close(memory)
        raise
    return memory


def _start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[19])


def _cannot_fork(order: Order, answer: ForkFailed) -> StartFailed:
    hints = {1: "a PID namespace needs root or a user namespace", 11: "the limit of processes is reached (pids.max)"}
    return StartFailed(f"cannot start {order.path}: fork: {answer.error}", hint=hints.get(answer.errno))
