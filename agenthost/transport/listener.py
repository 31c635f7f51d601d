"""One endpoint of the router: a ROUTER socket for one uid, the monitor of its connections, and who may come in.

The folder (0700) keeps other users away, the ZAP handler checks the kernel's uid before the first message, the monitor
sees every connection, also those that never say anything.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from typing import NamedTuple

import zmq

from agenthost.errors import StateError
from agenthost.protocol.limits import PEER_MESSAGE_BYTES, SOCKET_PATH_BYTES

BACKLOG = 4096
MONITOR_QUEUE = 1000
"""libzmq's I/O thread waits when this many events (the default SNDHWM of its end) are unread: an accept that the
router has not seen is one of at most these."""

_HANDSHAKE_MS = 5000
_SEND_QUEUE, _RECEIVE_QUEUE = 128, 32
_UCRED = struct.Struct("3i")
_EVENT = struct.Struct("=HI")
_BAD_HANDSHAKE = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Endpoint(NamedTuple):
    """``path`` of the socket, the uid that shall own it, and the uids that may speak there."""

    path: str
    owner_uid: int
    allowed_uids: tuple[int, ...]


class ConnectionEvent(NamedTuple):
    kind: str
    """"opened", "closed" or "bad"."""
    fd: int


class Listener:
    """``prefix`` begins the ids of its peers, so that ids of different uids never meet."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, number: int) -> None:
        self.endpoint = endpoint
        self.prefix = number.to_bytes(2, "big")
        self.domain = f"control-{number}".encode()
        path = endpoint.path
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
            raise StateError(f"cannot bind {path!r}: it is longer than {SOCKET_PATH_BYTES} bytes")
        _remove_stale_socket(path)
        router = self.router = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # Without it a peer whose old connection is not yet cleaned up is ignored for ever. Nobody else can know its id.
        router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        router.setsockopt(zmq.ZAP_DOMAIN, self.domain)  # also makes libzmq refuse ZMTP before 3.0, which has no ZAP
        router.setsockopt(zmq.BACKLOG, BACKLOG)
        router.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        router.setsockopt(zmq.MAXMSGSIZE, PEER_MESSAGE_BYTES)
        router.setsockopt(zmq.SNDHWM, _SEND_QUEUE)
        router.setsockopt(zmq.RCVHWM, _RECEIVE_QUEUE)
        events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | _BAD_HANDSHAKE
        address = f"inproc://monitor-{number}"
        router.monitor(address, events)
        self.monitor = context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.LINGER, 0)
        self.monitor.setsockopt(zmq.RCVHWM, 1)
        self.monitor.connect(address)
        # The folder may belong to somebody else, who could put a link in the way: never chmod, never follow.
        mask = os.umask(0o177)
        try:
            router.bind(f"ipc://{path}")
        finally:
            os.umask(mask)
        if os.geteuid() == 0:
            os.chown(path, endpoint.owner_uid, -1, follow_symlinks=False)

    def try_event(self) -> ConnectionEvent | None:
        try:
            event, _ = self.monitor.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        number, fd = _EVENT.unpack(event)
        if number == zmq.EVENT_ACCEPTED:
            return ConnectionEvent("opened", fd)
        return ConnectionEvent("closed" if number == zmq.EVENT_DISCONNECTED else "bad", fd)


def connection_owner(fd: int) -> tuple[int, int] | None:
    """uid and pid by SO_PEERCRED of unix(7); None if ``fd`` is no longer a connection."""
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fd)
    except OSError:
        return None
    try:
        pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return uid, pid
    except OSError:
        return None
    finally:
        connection.detach()


def shut_connection(fd: int) -> None:
    """End a connection that belongs to libzmq, which sees end of file and closes it. The descriptor stays libzmq's."""
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fd)
    except OSError:
        return
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # already gone
    finally:
        connection.detach()


def _remove_stale_socket(path: str) -> None:
    """What an earlier router left. The lock of the state folder says that none is alive."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StateError(f"cannot bind {path!r}: a file is in the way; remove it")
    os.unlink(path)
