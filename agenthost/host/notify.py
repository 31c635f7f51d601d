"""What a program says by sd_notify(3): that it is ready, how it is, that it lives. One datagram socket an incarnation.

Only what a living process of its own cell says counts, by the kernel's word on the sender (SCM_CREDENTIALS); who sends
and ends at once may be gone before it is looked at, so ``systemd-notify`` waits with BARRIER=1 until what it sent was
read: the descriptor that comes along is closed then. A sender that floods waits, everybody else is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from agenthost.containment import procfs
from agenthost.errors import StartFailed
from agenthost.host.doors import opened_to_all
from agenthost.host.incarnation import Incarnation
from agenthost.launch import unwanted

PACKET_BYTES, STATUS_CHARACTERS = 4096, 200
PACKETS_PER_TURN, FLOOD_PAUSE_S = 64, 0.05
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_NUMBER = struct.Struct("i")
_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size) + unwanted.SPACE
_SCM_CREDENTIALS = 0x02


class NotifySocket:
    """``on_line(name, value)`` is called for every ``NAME=value`` of a process of the cell."""

    def __init__(self, incarnation: Incarnation, path: str, on_line: Callable[[str, str], None]) -> None:
        """``path`` lies in a folder that only the program's user can enter. ``StartFailed``."""
        self.path = path
        self.refused = 0
        """Datagrams of strangers."""
        self._incarnation, self._on_line = incarnation, on_line
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            with contextlib.suppress(FileNotFoundError):  # of a life of the host that was killed
                os.unlink(path)
            self._socket.bind(path)
            with opened_to_all(Path(path), os.geteuid()):  # the folder may be its user's, who may put links there
                pass
        except OSError as error:
            self._socket.close()
            raise StartFailed(f"cannot bind {path} for NOTIFY_SOCKET: {error.strerror or error}") from None
        self._begin()

    def close(self) -> None:
        """Its process is reaped: what it said last counts."""
        if self._socket.fileno() < 0:
            return
        self._hear()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def _begin(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._hear)

    def _hear(self) -> None:
        for _ in range(PACKETS_PER_TURN):
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(PACKET_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
            except OSError:  # BlockingIOError: nothing more
                return
            pid, descriptors = _read_ancillary(ancillary)
            try:
                if not flags & socket.MSG_TRUNC and self._is_ours(pid):
                    self._obey(data)
                else:
                    self.refused += 1
            finally:
                unwanted.let_go(descriptors)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        loop.call_later(FLOOD_PAUSE_S, self._begin)

    def _is_ours(self, pid: int | None) -> bool:
        """The process itself may have ended since; nobody else can have its pid before we have reaped it."""
        if not pid:
            return False
        incarnation = self._incarnation
        if pid == incarnation.agent_pid or (incarnation.born is not None and pid == incarnation.born.pid):
            return True
        return procfs.stat(pid) is not None and pid in incarnation.cell.members()

    def _obey(self, data: bytes) -> None:
        for line in data.decode("utf-8", "replace").split("\n"):
            name, equals, value = line.partition("=")
            if equals:
                self._on_line(name, value)


def _read_ancillary(ancillary: list[tuple[int, int, bytes]]) -> tuple[int | None, list[int]]:
    pid: int | None = None
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == _SCM_CREDENTIALS:
            pid = int(_CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0])
        elif kind == socket.SCM_RIGHTS:
            descriptors += [number for (number,) in _NUMBER.iter_unpack(content[: len(content) // 4 * 4])]
    return pid, descriptors
