"""Hearing that the kernel runs out of memory in a cell: one descriptor for all cells, whatever their number.

cgroup v1 takes one process and lets the others live, so somebody must be told: each limited group tells the same
eventfd (cgroup.event_control; Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control"). cgroup v2 tells by a
change of ``memory.events`` above all cells. Either says only that it is worth to look, and v1 says it before the kill.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

from agenthost.containment.readiness import Readiness


class MemoryEvents:
    """``follow`` from within the loop."""

    def __init__(self) -> None:
        self._eventfd = self._events_fd = -1
        self._readiness: Readiness | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._callback: Callable[[], None] = lambda: None

    def register(self, v1_folder: str) -> None:
        """A memory group of cgroup v1 tells from now on, until it is removed. ``OSError``."""
        self._open()
        control = os.open(f"{v1_folder}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            event = os.open(f"{v1_folder}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(event, b"%d %d" % (self._eventfd, control))
            finally:
                os.close(event)
        finally:
            os.close(control)

    def follow(self, callback: Callable[[], None], readiness: Readiness, v2_folder: str) -> None:
        """``v2_folder``: of all cells, where cgroup v2 has the memory controller; else empty."""
        self._callback, self._readiness = callback, readiness
        self._loop = asyncio.get_running_loop()
        self._open()
        self._loop.add_reader(self._eventfd, self._told)
        if v2_folder:
            self._events_fd = os.open(f"{v2_folder}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
            self._await_change()

    def close(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._eventfd)
        if self._eventfd >= 0:
            os.close(self._eventfd)
        if self._events_fd >= 0 and self._readiness is not None:
            self._readiness.remove(self._events_fd)
            os.close(self._events_fd)

    def _open(self) -> None:
        if self._eventfd < 0:
            self._eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def _told(self) -> None:
        os.eventfd_read(self._eventfd)
        self._callback()

    def _await_change(self) -> None:
        assert self._readiness is not None
        os.pread(self._events_fd, 512, 0)  # what was read is no news
        self._readiness.add(self._events_fd, select.EPOLLPRI, self._changed)

    def _changed(self) -> None:
        self._await_change()
        self._callback()
