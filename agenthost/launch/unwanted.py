"""Descriptors that came from a process that need not mean well. Whoever closes one last may have to wait: so long as
SO_LINGER says, if it is a socket with something unsent (socket(7)); and who receives a packet without room for them
closes them too, within recvmsg. So the host makes room for all that may come, and closes them by ``let_go``.

Not held off: a file of a filesystem that its sender serves, and sockets that lie in the queue of another.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterable

MOST = 253
"""That one packet can bring: SCM_MAX_FD (unix(7))."""
SPACE = socket.CMSG_SPACE(MOST * struct.calcsize("i"))

_AT_ONCE = struct.pack("ii", 0, 0)


def let_go(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            continue
        with socket.socket(fileno=descriptor) as one, contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
