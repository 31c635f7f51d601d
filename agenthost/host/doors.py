"""Where agents of each user speak: a folder a user, closed to all others, with the router's socket and theirs.

An agent binds its data socket in the folder of its own user. Who may connect to it is decided by the host alone, look-
up by look-up: for a caller of another user the socket gets a second name, in that caller's folder (link(2); connect(2)
finds the inode, whatever its name). So no user finds a way to an agent of another one that the host did not open.

The rule: what lies in the folder of a user is that user's to change, so nothing there is followed, and the host opens
before it believes.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agenthost.errors import NotPermitted, NotRunning
from agenthost.host.incarnation import Incarnation
from agenthost.transport.places import Places

EVERYBODY = 0o666
"""Of a socket whose every name lies in a folder of mode 0700."""


class Doors:
    """``uids`` have folders already. ``on_new(uid)`` is told of one that comes later: the router must listen there."""

    def __init__(
        self, places: Places, uids: Iterable[int] = (), on_new: Callable[[int], None] = lambda uid: None
    ) -> None:
        self._places, self._on_new = places, on_new
        self._known = {places.uid, *uids}
        self._folders: dict[int, str] = {}
        self._linked: dict[str, set[int]] = {}
        """By incarnation: in whose folders its socket has a name."""

    def endpoint(self, user: int | None) -> str:
        """Of the control plane, for an agent of this user; None is the host's own."""
        return self._places.control_endpoint(self._places.uid if user is None else user)

    def data_folder(self, user: int | None) -> str:
        uid = self._places.uid if user is None else user
        folder = self._folders.get(uid)
        if folder is None:
            folder = self._folders[uid] = str(self._places.data_folder(uid))
        return folder

    def admit(self, user: int | None) -> None:
        """It will have an agent. ``StateError``: it cannot have a folder."""
        if user is not None and user not in self._known:
            self._places.create((user,))
            self._known.add(user)
            self._on_new(user)

    def address(self, callee: Incarnation, uid: int) -> str:
        """Where ``uid`` reaches the callee, which has bound its socket. ``NotPermitted``, ``NotRunning``."""
        owner = self._places.uid if callee.birth.user is None else callee.birth.user
        own = self._places.data_folder(owner) / f"d-{callee.name}"
        if uid == owner or self._places.uid != 0:
            if uid not in (0, owner):
                raise NotPermitted(
                    f"cannot reach {callee.path} as uid {uid}: agents of this host are uid {owner}'s",
                    hint="call them as that user or as root",
                )
            return f"ipc://{own}"
        if uid not in self._known:
            raise NotPermitted(f"cannot reach {callee.path} as uid {uid}: it has no folder here")
        theirs = self._places.data_folder(uid) / own.name
        if uid not in self._linked.get(callee.name, ()):
            try:
                _link(own, owner, theirs)
            except OSError as error:
                raise NotRunning(f"cannot reach {callee.path}: its socket {own}: {error.strerror}") from None
            self._linked.setdefault(callee.name, set()).add(uid)
        return f"ipc://{theirs}"

    def close(self, callee: Incarnation) -> None:
        """It has ended: each name of its socket goes. Who was never looked up has none; who stopped removed its own."""
        folders = [self.data_folder(callee.birth.user)]
        folders += map(self.data_folder, self._linked.pop(callee.name, ()))
        for folder in folders:
            with contextlib.suppress(OSError):
                os.unlink(f"{folder}/d-{callee.name}")


def _link(own: Path, owner: int, theirs: Path) -> None:
    """Give the socket the name ``theirs``. ``OSError``, with EACCES if it is not its owner's socket."""
    with opened_to_all(own, owner) as itself:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(theirs)
        folder = os.open(theirs.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            # with a folder it is linkat(2), for link(2) does not follow
            os.link(itself, theirs.name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)


@contextlib.contextmanager
def opened_to_all(path: Path, owner: int) -> Iterator[str]:
    """Whoever gets as far as to this socket may connect; who may is for the folders to say. Gives a name for what was
    looked at, whatever lies under ``path`` by now: by any other, chmod(2) could be led to a file of root's.
    ``OSError``, with EACCES if it is not a socket of ``owner``."""
    found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        what = os.fstat(found)
        if not stat.S_ISSOCK(what.st_mode) or what.st_uid != owner:
            raise PermissionError(13, "it is not the agent's own")
        itself = f"/proc/self/fd/{found}"
        os.chmod(itself, EVERYBODY)
        yield itself
    finally:
        os.close(found)
