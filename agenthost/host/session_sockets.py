"""Where readers of sessions come in: one listening socket for each uid that may operate, beside that uid's control.

The host binds and listens, the journal accepts: every journal is passed all of them, so while one is restarted whoever
connects waits in the backlog and is not refused.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from agenthost.errors import StateError
from agenthost.transport.places import Places

BACKLOG = 1024


class SessionSockets:
    """``StateError`` if one cannot be bound. Their names go with the runtime folder's (``Places.remove_sockets``)."""

    def __init__(self, places: Places, uids: Iterable[int]) -> None:
        self._places = places
        self._sockets = {uid: _listening(places.sessions_socket(uid), uid) for uid in dict.fromkeys(uids)}

    def address(self, uid: int) -> str:
        """Where ``uid`` connects; root has no folder of its own where the host is not root's."""
        return str(self._places.sessions_socket(uid if uid in self._sockets else self._places.uid))

    def copies(self) -> list[socket.socket]:
        """To be passed on; whoever gets them closes them."""
        return [sock.dup() for sock in self._sockets.values()]

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()


def _remove_stale(path: Path) -> None:
    """What an earlier host left. The lock of the state folder says that none is alive."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "a file is in the way; remove it")
    os.unlink(path)


def _listening(path: Path, uid: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # the folder may belong to somebody else: never chmod by name
    try:
        _remove_stale(path)
        sock.bind(str(path))
        sock.listen(BACKLOG)
        if os.geteuid() == 0:
            os.chown(path, uid, -1, follow_symlinks=False)
    except OSError as error:
        sock.close()
        raise StateError(f"cannot listen at {path}: {error.strerror}") from None
    finally:
        os.umask(mask)
    return sock
