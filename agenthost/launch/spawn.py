"""A fresh interpreter as a child of the host: zygotes, the router and the logger begin here.

``multiprocess`` (start method spawn) carries the target and its arguments. Of what it keeps about a process nothing is
left behind: no resource tracker, no entry among its children (it would reap them), no pipe. Whoever calls ``spawn`` has
the pid and the pidfd, and waits for them. Call it from the main thread: the parent-death signal belongs to the thread
that forked (prctl(2)).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import multiprocess.spawn
from multiprocess import process, reduction, resource_tracker
from multiprocess.context import SpawnProcess, get_spawning_popen
from multiprocess.popen_spawn_posix import Popen

from agenthost import kernel
from agenthost.launch.inheritance import close_all_but, exit_if_dead, fresh_signals


class Inherited:
    """A descriptor among the arguments of ``spawn``: an ``int`` in the child. Sockets need no such wrapper."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[..., int], tuple[Any, ...]]:
        return _received, (reduction.DupFd(self.descriptor),)


class _AllInherited:
    """Pickled last; what the child unpickles is the list of descriptors that its arguments brought along."""

    def __reduce__(self) -> tuple[type[list[int]], tuple[Any, ...]]:
        return list, (tuple(get_spawning_popen().inherited),)


class _Popen(Popen):  # type: ignore[misc]  # multiprocess ships no types
    def __init__(self, process_object: Any) -> None:
        self.inherited: list[int] = []
        super().__init__(process_object)

    def duplicate_for_child(self, descriptor: int) -> int:
        self.inherited.append(descriptor)
        return int(super().duplicate_for_child(descriptor))

    def _launch(self, process_object: Any) -> None:
        try:
            with _without_tracker(), _without_main():
                super()._launch(process_object)
        except BaseException:  # it is half told what to do, and nobody else will ever know its pid
            if hasattr(self, "pid"):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            raise


class _Process(SpawnProcess):  # type: ignore[misc]
    @staticmethod
    def _Popen(process_object: Any) -> _Popen:
        return _Popen(process_object)


def spawn(target: Callable[..., None], args: tuple[Any, ...], *, name: str) -> tuple[int, int]:
    """Start ``target(*args)`` in a fresh interpreter; returns ``(pid, pidfd)``. Raises ``OSError``.

    ``target`` is a function at the top of a module. In the child: a session of its own, SIGKILL when the host dies,
    signals as a new interpreter has them, no descriptors but stdin (/dev/null), stdout, stderr and those in ``args``.
    """
    host_pidfd = os.pidfd_open(os.getpid())
    try:
        child = _Process(target=_begin, args=(target, args, name, Inherited(host_pidfd), _AllInherited()), name=name)
        child.start()
    finally:
        os.close(host_pidfd)
    process._children.discard(child)  # its next start() would poll and reap our child
    child._popen.finalizer()  # closes the two pipes that only join() needs
    return child.pid, os.pidfd_open(child.pid)  # nobody else reaps it, so the pid is still its own


def _begin(target: Callable[..., None], args: tuple[Any, ...], name: str, host_pidfd: int, passed: list[int]) -> None:
    kernel.set_parent_death_signal(signal.SIGKILL)
    exit_if_dead(host_pidfd)
    os.setsid()
    kernel.set_process_name(name)
    _take_stdin()
    resource_tracker._resource_tracker._fd = None  # it was /dev/null, and is closed with all the others
    close_all_but({0, 1, 2, *passed} - {host_pidfd})
    fresh_signals()
    target(*args)


def _take_stdin() -> None:
    """``multiprocess`` leaves the host's stdin open at 0 and points ``sys.stdin`` to a descriptor that we close."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives


def _received(descriptor: Any) -> int:
    return int(descriptor.detach())


@contextlib.contextmanager
def _without_tracker() -> Iterator[None]:
    """The resource tracker is a process beside ours that would outlive it. /dev/null takes all that is told to it."""
    tracker = resource_tracker._resource_tracker
    before, null = tracker._fd, os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    tracker._fd = null
    try:
        yield
    finally:
        tracker._fd = before
        os.close(null)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """``__main__`` of the host is not run again in the child, nor does the child get its command line."""
    original = multiprocess.spawn.get_preparation_data

    def prepare(name: str) -> dict[str, Any]:
        data = original(name)
        kept = {key: value for key, value in data.items() if not key.startswith("init_main")}
        return {**kept, "sys_argv": [sys.argv[0] if sys.argv else ""]}

    multiprocess.spawn.get_preparation_data = prepare
    try:
        yield
    finally:
        multiprocess.spawn.get_preparation_data = original
