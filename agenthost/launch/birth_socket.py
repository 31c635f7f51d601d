"""The host's end of a birth socket: made here, read here. What is said on it is ``protocol.birth``."""

from __future__ import annotations

import socket
import struct

from agenthost.launch import unwanted

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_SCM_CREDENTIALS = 0x02
_NUMBER = struct.Struct("i")
_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size) + unwanted.SPACE
PACKET_BYTES = 64 * 1024


def pair() -> tuple[socket.socket, socket.socket]:
    """``(host, process)``: the host's end does not block, and the kernel names the sender of each packet it gets."""
    host, process = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host.setblocking(False)
    host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return host, process


def receive(sock: socket.socket, descriptors: list[int] | None = None) -> tuple[bytes, int | None]:
    """One packet and its sender's pid as seen from here. ``(b"", None)`` at the end; ``BlockingIOError`` if none waits.

    Descriptors sent along are put into ``descriptors``, close-on-exec, also with an empty packet; without that list
    they are closed.
    """
    try:
        data, ancillary, _, _ = sock.recvmsg(PACKET_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # told once, before what still waits: the process ended with packets of ours unread
        data, ancillary, _, _ = sock.recvmsg(PACKET_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
    pid, came = None, []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == _SCM_CREDENTIALS:
            pid = int(_CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0])
        elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            came += [number for (number,) in _NUMBER.iter_unpack(content[: len(content) // 4 * 4])]
    if descriptors is None:
        unwanted.let_go(came)
    else:
        descriptors += came
    return (data, pid) if data else (b"", None)
