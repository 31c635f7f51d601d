"""The host's end of the guardian's link (docs/architecture.md). Without a guardian there is nothing to say.

Where there is no PID namespace, nothing in the kernel ties the host to its guardian: then it waits on the guardian's
pidfd, and ``on_orphaned`` empties every cell before the host leaves.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from agenthost.host.pulse import at_next_pulse


class Guard:
    """Takes its variables out of the environment: no child shall inherit them."""

    def __init__(self) -> None:
        self._link = _take_socket("AGENTHOST_GUARDIAN_FD")
        self._pidfd = _take_descriptor("AGENTHOST_GUARDIAN_PIDFD")
        self.outer_proc = _take_descriptor("AGENTHOST_OUTER_PROC_FD")
        """The /proc outside the host's PID namespace; None without one."""
        self.namespace = os.environ.pop("AGENTHOST_NAMESPACE", "") == "1"
        self.user_namespace = os.environ.pop("AGENTHOST_USER_NAMESPACE", "") == "1"
        self.lifted = int(os.environ.pop("AGENTHOST_LIFTED", "0"))
        """By so much the guardian has lowered its nice value, and so ours."""
        self.before = os.environ.pop("AGENTHOST_BEFORE", "")
        """When and how the host before this one has ended, if it was the same guardian's and not as planned."""
        self.refused = os.environ.pop("AGENTHOST_NAMESPACE_REFUSED", "")
        """Why there is no namespace, in words."""
        self.pid = _pid_of(self._pidfd) if self._pidfd is not None else None
        """The guardian's, where there is no namespace between us."""
        self._beat: asyncio.TimerHandle | None = None
        self._on_word: Callable[[str], None] = lambda word: None
        self._on_orphaned: Callable[[], None] = lambda: None

    def start(self, on_word: Callable[[str], None], on_orphaned: Callable[[], None]) -> None:
        """From within the loop. ``on_word`` gets STOP, HURRY or RELOAD."""
        self._on_word, self._on_orphaned = on_word, on_orphaned
        loop = asyncio.get_running_loop()
        if self._link is not None:
            loop.add_reader(self._link.fileno(), self._heard)
            self._send_beat()
        if self._pidfd is not None:
            loop.add_reader(self._pidfd, self._orphaned)

    def say(self, *words: str) -> None:
        if self._link is None:
            return
        try:
            self._link.send(" ".join(words).encode())
        except OSError:
            return  # a guardian that does not read has gone, or will end us for our silence

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        if self._beat is not None:
            self._beat.cancel()
        if self._link is not None:
            loop.remove_reader(self._link.fileno())
        if self._pidfd is not None:
            loop.remove_reader(self._pidfd)

    def _send_beat(self) -> None:
        self.say("BEAT")
        self._beat = at_next_pulse(self._send_beat)

    def _heard(self) -> None:
        assert self._link is not None
        try:
            packet = self._link.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            asyncio.get_running_loop().remove_reader(self._link.fileno())
            return
        for word in packet.decode("ascii", "replace").split():
            self._on_word(word)

    def _orphaned(self) -> None:
        assert self._pidfd is not None
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._on_orphaned()


def _take_descriptor(name: str) -> int | None:
    value = os.environ.pop(name, None)
    if value is None:
        return None
    descriptor = int(value)
    os.set_inheritable(descriptor, False)
    return descriptor


def _take_socket(name: str) -> socket.socket | None:
    descriptor = _take_descriptor(name)
    if descriptor is None:
        return None
    link = socket.socket(fileno=descriptor)
    link.setblocking(False)
    return link


def _pid_of(pidfd: int) -> int | None:
    """Field ``Pid`` of the pidfd's fdinfo (pidfd_open(2))."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == "Pid":
                return int(value)
    return None
