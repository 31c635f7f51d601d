"""Packets of the birth socket, with descriptors beside them."""

from __future__ import annotations

import array
import socket


def receive(sock: socket.socket, size: int, flags: int) -> tuple[bytes, list[int]]:
    """recvmsg(2) of at most ``size`` bytes and one descriptor. ``socket.recv_fds`` of Python 3.11 does not pass its
    flags on, so it waits in spite of MSG_DONTWAIT: who came second for a packet waited for the next. ``OSError``."""
    found = array.array("i")
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(found.itemsize), flags)
    for level, kind, packed in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(packed[: len(packed) - len(packed) % found.itemsize])
    return data, list(found)
