"""The host's end of a birth socket: made here, read here. What is said on it is ``protocol.birth``."""

from __future__ import annotations

import socket
import struct

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_SCM_CREDENTIALS = 0x02
_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size)
PACKET_BYTES = 64 * 1024


def pair() -> tuple[socket.socket, socket.socket]:
    """``(host, process)``: the host's end does not block, and the kernel names the sender of each packet it gets."""
    host, process = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host.setblocking(False)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return host, process


def receive(sock: socket.socket) -> tuple[bytes, int | None]:
    """One packet and its sender's pid as seen from here. ``(b"", None)`` at the end; ``BlockingIOError`` if none waits.

    Descriptors sent along are not accepted: the kernel drops them, for there is room only for the credentials.
    """
    try:
        data, ancillary, _, _ = sock.recvmsg(PACKET_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # told once, before what still waits: the process ended with packets of ours unread
        data, ancillary, _, _ = sock.recvmsg(PACKET_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return b"", None
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == _SCM_CREDENTIALS:
            return data, int(_CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0])
    return data, None
