"""The zygote: a process that has imported a release and does nothing but fork.

It opens no ZeroMQ context and has one thread, or it refuses: a fork copies only the thread that forks, and locks that
others held stay locked in the child for ever. It ends when its link does.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import mmap
import os
import socket
import struct
import sys
import threading
import traceback
from dataclasses import replace
from types import TracebackType
from typing import Any, NoReturn

import msgspec

from agenthost import kernel
from agenthost.launch import modules
from agenthost.launch.account import Account
from agenthost.launch.child import Descriptors, Runtime
from agenthost.launch.child import begin as begin_life
from agenthost.launch.digest import digest
from agenthost.launch.inheritance import fresh_signals
from agenthost.launch.launcher import Release
from agenthost.launch.namespace import begin_as_init, keep_ids
from agenthost.launch.orders import PACKET_BYTES, Body, Fork, Forked, ForkFailed, Imported, ImportFailed
from agenthost.launch.slate import take_up

_encode = msgspec.msgpack.encode
_decode_fork = msgspec.msgpack.Decoder(Fork).decode
_decode_body = msgspec.msgpack.Decoder(Body).decode

_MOST_DESCRIPTORS = 7
_SPACE = socket.CMSG_SPACE(_MOST_DESCRIPTORS * struct.calcsize("i"))
_ID_OFFSET, _PID_OFFSET = 0, 8


class _Refused(Exception):
    def __init__(self, error: str, hint: str | None = None) -> None:
        super().__init__(error)
        self.packet = ImportFailed(error=error, trace="", hint=hint)


def begin(
    link: int,
    page: int,
    host_pidfd: int,
    slate: int | None,
    release: tuple[Any, ...] | None,
    runtime: str,
    argv: list[str],
) -> NoReturn:
    """What ``lean`` starts, in an interpreter that has imported nothing yet."""
    kernel.set_process_name("agenthost-zygote")
    sys.argv[:] = argv
    for descriptor in (link, page, host_pidfd, *(() if slate is None else (slate,))):
        os.set_inheritable(descriptor, False)
    main(socket.socket(fileno=link), page, host_pidfd, slate, _release(release), runtime)


def _release(fields: tuple[Any, ...] | None) -> Release | None:
    """From what ``dataclasses.astuple`` made of it."""
    if fields is None:
        return None
    release = Release(*fields)
    return replace(release, account=Account(*fields[-1])) if release.account else release


def main(
    link: socket.socket, page: int, host_pidfd: int, slate: int | None, release: Release | None, runtime: str
) -> NoReturn:
    """``release`` None makes the bare zygote. ``page``: memory shared with the host. ``slate``: see there."""
    births = mmap.mmap(page, mmap.PAGESIZE)
    births.madvise(mmap.MADV_DONTFORK)  # no agent can write there
    os.close(page)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    _take_streams()
    if release is not None and release.account is not None:
        kernel.set_dumpable(False)  # who traces us is in no cell, and the agents here are of our own user
    try:
        function, kept, imported = _load(release, runtime)
    except _Refused as refusal:
        link.send(_encode(refusal.packet))
        os._exit(1)
    except BaseException as error:  # an import may raise anything, SystemExit included; the host tells its author
        link.send(_encode(_failure(error, release)))
        os._exit(1)
    _settle()
    if slate is not None:
        take_up(slate)
        kept |= {slate}
    link.send(_encode(imported))
    _Forks(link, births, host_pidfd, null, kept, function).serve()


def _take_streams() -> None:
    """Whole lines, whatever the host's own streams are; the newborn puts its pipes behind the same numbers."""
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _load(release: Release | None, runtime: str) -> tuple[Runtime | None, frozenset[int], Imported]:
    if release is None:
        return None, frozenset(), Imported(digest="")
    os.environ.update(release.env)
    try:
        os.chdir(release.cwd)
    except OSError as error:
        by = f" and be open to user {release.account.name}" if release.account else ""
        raise _Refused(f"cannot enter {release.cwd!r}: {error.strerror}", f"the agent's cwd must exist{by}") from None
    sys.path[:0] = release.search_path
    where, _, name = runtime.partition(":")
    home = importlib.import_module(where)
    function: Runtime = getattr(home, name)
    loaded, opened = set(sys.modules), _open_descriptors()
    for module in release.modules:
        modules.load(module)
        _refuse_threads(module)
    digits, sources = digest(set(sys.modules) - loaded)
    if hasattr(home, "warm"):
        home.warm()  # what the agents of these modules will need, once instead of in each
    return function, frozenset(_open_descriptors() - opened), Imported(digest=digits, sources=sources)


def _refuse_threads(module: str) -> None:
    count = _threads()
    if count == 1:
        return
    names = ", ".join(sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread()))
    raise _Refused(
        f"cannot fork agents of {module!r}: importing it started {count - 1} thread(s){f' ({names})' if names else ''}",
        "start threads in the agent's start, not at import (for numpy: OPENBLAS_NUM_THREADS=1 in env)",
    )


def _threads() -> int:
    return os.stat("/proc/self/task").st_nlink - 2  # a folder for each, and "." and ".."


def _open_descriptors() -> set[int]:
    listed = [int(name) for name in os.listdir("/proc/self/fd")]
    return {descriptor for descriptor in listed if _is_open(descriptor)}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False  # it was that of the listing
    return True


def _failure(error: BaseException, release: Release | None) -> ImportFailed:
    what = ", ".join(release.modules) if release else "agenthost itself"
    kind = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    hint = "its folder must be in the search path" if isinstance(error, ModuleNotFoundError) else None
    if release and release.account and isinstance(error, ModuleNotFoundError | PermissionError | FileNotFoundError):
        hint = f"user {release.account.name} must be able to read it and to enter its folder"
    trace = "".join(traceback.format_exception(type(error), error, _authors_part(error.__traceback__)))
    return ImportFailed(error=f"cannot import {what}: {kind}", trace=trace[-60_000:], hint=hint)


def _authors_part(trace: TracebackType | None) -> TracebackType | None:
    """Without our own frames and those of the import system above the author's first line."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file not in (__file__, modules.__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            return trace
        trace = trace.tb_next
    return None


def _settle() -> None:
    """The last moment before forks: what every child is born with."""
    fresh_signals()
    atexit._clear()  # of the imports: a child must not clean up what its siblings share
    gc.collect()
    gc.freeze()  # or the first collection in each child would copy every page it touches


class _Forks:
    def __init__(
        self,
        link: socket.socket,
        births: mmap.mmap,
        host_pidfd: int,
        null: int,
        kept: frozenset[int],
        runtime: Runtime | None,
    ) -> None:
        self._link, self._births, self._host_pidfd, self._null = link, births, host_pidfd, null
        self._kept, self._runtime = kept, runtime
        self._pid_address = ctypes.addressof(ctypes.c_char.from_buffer(births)) + _PID_OFFSET

    def serve(self) -> NoReturn:
        while True:
            try:
                packet, ancillary, flags, _ = self._link.recvmsg(PACKET_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError:  # the host has gone with words of ours unread
                os._exit(0)
            if not packet:
                os._exit(0)
            received = [number for _, _, content in ancillary for (number,) in struct.iter_unpack("i", content)]
            order = _decode_fork(packet)
            try:
                pidfd, answer = self._fork(order, received, bool(flags & socket.MSG_CTRUNC))
            finally:
                for number in received:
                    os.close(number)
            self._answer(answer, pidfd)

    def _fork(self, order: Fork, received: list[int], truncated: bool) -> tuple[int, Forked | ForkFailed]:
        if truncated:
            return -1, ForkFailed(id=order.id, errno=24, error="the zygote has no descriptors left")
        if _threads() != 1:
            return -1, ForkFailed(id=order.id, errno=0, error="a thread was started in the zygote")
        flags = kernel.CLONE_PARENT | (kernel.CLONE_NEWPID if order.new_pid_namespace else 0)
        flags |= kernel.CLONE_NEWUSER if order.new_user_namespace else 0
        ids = (os.geteuid(), os.getegid())
        # The kernel adds the pid before the child runs: if we are killed now, the host still learns of it.
        struct.pack_into("=i", self._births, _PID_OFFSET, 0)
        struct.pack_into("=q", self._births, _ID_OFFSET, order.id)
        cgroup_fd = received[3] if order.in_cgroup else None
        try:
            pid, pidfd = kernel.clone(flags, cgroup_fd=cgroup_fd, parent_tid_address=self._pid_address)
        except OSError as error:
            return -1, ForkFailed(id=order.id, errno=error.errno or 0, error=str(error.strerror))
        if pid == 0:
            if order.new_user_namespace:
                kernel.set_dumpable(True)  # or the maps would be root's to write; nobody beside us may trace into it
                keep_ids(*ids)
            self._become(order, received)
        return pidfd, Forked(id=order.id, pid=pid)

    def _become(self, order: Fork, received: list[int]) -> NoReturn:
        try:
            self._link.detach()  # its number is closed below, and may come to mean something else
            body = _decode_body(order.body or _read_all(received[-1]))
            birth, stdout, stderr = received[:3]
            stdin = received[3 + order.in_cgroup] if order.has_stdin else None
            ready = received[3 + order.in_cgroup + order.has_stdin] if order.has_ready else None
            descriptors = Descriptors(birth, stdout, stderr, self._host_pidfd, self._null, self._kept, stdin, ready)
            if order.new_pid_namespace:
                begin_as_init(body, descriptors, self._runtime)
            begin_life(body, descriptors, self._runtime)
        except BaseException:  # nothing may go back into the zygote's loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(70)

    def _answer(self, answer: Forked | ForkFailed, pidfd: int) -> None:
        try:
            if pidfd < 0:
                self._link.send(_encode(answer))
            else:
                socket.send_fds(self._link, [_encode(answer)], [pidfd])
        except OSError:
            os._exit(0)  # the host has gone; the kernel ends what we have just forked
        finally:
            if pidfd >= 0:
                os.close(pidfd)


def read_page(page: mmap.mmap) -> tuple[int, int]:
    """The host's side of ``births``: (order id, pid) of the newest fork; pid 0 if it did not come to be."""
    (order_id,) = struct.unpack_from("=q", page, _ID_OFFSET)
    (pid,) = struct.unpack_from("=i", page, _PID_OFFSET)
    return order_id, pid


def _read_all(descriptor: int) -> mmap.mmap:
    return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
