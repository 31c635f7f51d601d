"""Processes born into cells: what a launcher does with a CellOrder, in few lines; and the awkward things they do.

Every process of a birth holds the write end of its ``life`` pipe: end of file there proves that none is left, whatever
containment says.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from agenthost import kernel
from agenthost.containment import hierarchy
from agenthost.containment.cell import Cell
from tests.waiting import wait_until

NR_EXIT = {"x86_64": 60}.get(platform.machine(), 93)
"""_exit(2) as a system call: 93 in the table that newer architectures share."""

MAIN = "the-main-one"
Say = Callable[[], None]
Act = Callable[[Say], None]


@dataclass
class Birth:
    """One process that was born into a cell. ``pid`` is the init's in a PID namespace."""

    pid: int
    pidfd: int
    life: int
    words: int
    status: int | None = None
    said: int = field(default=0)

    def wait_said(self, count: int) -> None:
        """Until ``count`` of its processes are where they want to be."""

        def heard() -> bool:
            if select.select([self.words], [], [], 0)[0]:
                self.said += len(os.read(self.words, 4096))
            return self.said >= count

        wait_until(heard, what=f"{count} processes have settled, {self.said} have")

    def reap(self) -> bool:
        """True once the process itself has ended; the host's part of a death."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def none_left(self) -> bool:
        self.reap()
        return bool(select.select([self.life], [], [], 0)[0]) and os.read(self.life, 1) == b""

    def forget(self) -> None:
        for fd in (self.pidfd, self.life, self.words):
            os.close(fd)


def bear(cell: Cell, act: Act, *, attach: bool = True) -> Birth:
    order = cell.order()
    life, life_end = os.pipe()
    words, words_end = os.pipe()
    flags = 0
    if order.new_pid_namespace:
        flags = kernel.CLONE_NEWPID | (kernel.CLONE_NEWUSER if order.new_user_namespace else 0)
    uid, gid = os.geteuid(), os.getegid()
    pid, pidfd = kernel.clone(flags, cgroup_fd=order.cgroup_fd)
    if pid == 0:
        status = 70
        try:
            os.close(life)
            os.close(words)
            for file in order.join:
                hierarchy.write(file, "0")
            if order.subreaper:
                kernel.become_subreaper()
            if order.new_user_namespace:
                _keep_numbers(uid, gid)
            if order.new_pid_namespace:
                _init()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.setsid()
            act(speaker(words_end))
            status = 0
        except BaseException:  # it must not reach the test's frames below; pytest shows what it says
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(life_end)
    os.close(words_end)
    if attach:
        cell.attach(pid, pidfd)
    return Birth(pid, pidfd, life, words)


def speaker(fd: int) -> Say:
    def say() -> None:
        os.write(fd, b".")

    return say


def _keep_numbers(uid: int, gid: int) -> None:
    """user_namespaces(7): we may map our own uid and gid, the latter once setgroups(2) is given up."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        hierarchy.write(f"/proc/self/{name}", text)


def _init() -> None:
    """Forks the agent and returns in it; the init itself reaps until the agent has ended, and so ends the rest."""
    agent = os.fork()
    if agent == 0:
        return
    while True:
        pid, status = os.wait()
        if pid == agent:
            os._exit(os.waitstatus_to_exitcode(status) & 0x7F)


# ---- what they do


def rest() -> None:
    while True:
        signal.pause()


def child(act: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return pid


def child_with_pid(pid: int, act: Callable[[], None]) -> int:
    """As ``child``, with a number that the caller wants: ``set_tid`` of clone3(2), Linux 5.5, for root. ``OSError``."""
    wanted = (ctypes.c_int * 1)(pid)
    # struct clone_args as in ``kernel``: exit_signal is the fifth field, set_tid and set_tid_size are 9 and 10
    arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.PyOS_BeforeFork()
    found = int(libc.syscall(435, arguments, ctypes.c_size_t(ctypes.sizeof(arguments))))
    if found == 0:
        try:
            libc.PyOS_AfterFork_Child()
            act()
        finally:
            os._exit(0)
    number = ctypes.get_errno()
    libc.PyOS_AfterFork_Parent()
    if found < 0:
        raise OSError(number, f"clone3 with the pid {pid}: {os.strerror(number)}")
    return found


def plain(say: Say) -> None:
    say()
    rest()


def computes(say: Say) -> None:
    """Its child does, while it waits."""

    def compute() -> None:
        say()
        while True:
            pass

    child(compute)
    plain(say)


def with_child(say: Say) -> None:
    child(lambda: plain(say))
    plain(say)


def other_session(say: Say) -> None:
    def leave() -> None:
        os.setsid()
        plain(say)

    child(leave)
    plain(say)


def daemon(say: Say) -> None:
    def detach() -> None:
        os.setsid()
        child(lambda: plain(say))

    os.waitpid(child(detach), 0)
    plain(say)


def ignores_signals(say: Say) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    child(lambda: plain(say))
    plain(say)


def stopped(say: Say) -> None:
    def stop() -> None:
        say()
        os.kill(os.getpid(), signal.SIGSTOP)

    child(stop)
    plain(say)


def bomb(say: Say, size: int = 60) -> None:
    """Everyone forks as fast as it can; together they have one byte for each fork."""
    take, give = os.pipe()
    os.write(give, b"f" * (size - 1))
    os.close(give)
    while os.read(take, 1):
        if os.fork() == 0:
            continue
    plain(say)


def relays(say: Say, chains: int = 5) -> None:
    """Chains of processes that fork and exit: each is there for a moment only."""

    def relay() -> None:
        say()
        while True:
            if os.fork():
                os._exit(0)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(chains):
        child(relay)
    plain(say)


def leaves_a_child(say: Say) -> None:
    """Ends at once; its child stays."""
    child(lambda: plain(say))


def busy(say: Say) -> None:
    say()
    while True:
        time.perf_counter()


def talks(say: Say) -> None:
    """Says something every so often, for as long as it is let."""
    while True:
        say()
        select.select([], [], [], 0.001)


def hungry(say: Say) -> None:
    """Takes more memory than any limit here."""
    say()
    held = []
    for _ in range(200):
        held.append(bytearray(b"x" * 2_000_000))


def beside(act: Act, say: Say) -> None:
    """A child that does ``act``, and one that rests beside it and is called ``MAIN``."""
    child(lambda: act(say))
    kernel.set_process_name(MAIN)
    plain(say)


def named(pids: list[int], name: str) -> list[int]:
    found = []
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as comm:
            if comm.read().strip() == name:
                found.append(pid)
    return found


def crowd(say: Say, size: int) -> None:
    for _ in range(size - 1):
        with contextlib.suppress(OSError):
            child(lambda: plain(say))
    plain(say)


AWKWARD: dict[str, tuple[Act, int]] = {
    "plain": (plain, 1),
    "other session": (other_session, 2),
    "double fork": (daemon, 2),
    "ignores signals": (ignores_signals, 2),
    "stopped": (stopped, 2),
    "relays": (relays, 6),
}
"""Name to act and number of processes that settle."""


def rest_quietly() -> None:
    """For a thread: only the main thread may wait for signals."""
    select.select([], [], [])


def exit_thread() -> None:
    """End the calling thread alone, the process lives on in its others (pthread_exit(3) by _exit(2) of one thread)."""
    ctypes.CDLL(None).syscall(NR_EXIT, 0)
