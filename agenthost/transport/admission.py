"""Which connections the router keeps: so many per process, so many in all. Pure book-keeping over descriptors.

libzmq aborts its process when accept(2) in its ipc listener gives EMFILE (ipc_listener.cpp), so a connection that is
over a bound is shut before the descriptors run out. The newest goes first: a process that floods loses its flood, not
the connection it works with. Processes outside the PID namespace all read pid 0 and share a quota per uid.
"""

from __future__ import annotations

Owner = tuple[int, int]
"""uid and pid."""


class Admission:
    """``opened`` and ``closed`` follow the monitor; each says nothing of whether bytes were ever exchanged."""

    def __init__(self, per_process: int, per_outside_uid: int, capacity: int) -> None:
        self._per_process, self._per_outside_uid, self._capacity = per_process, per_outside_uid, capacity
        self._owner_of: dict[int, Owner] = {}
        self._fds_of: dict[Owner, dict[int, None]] = {}  # in order of arrival, without those that are shut
        self._shut = 0

    def __len__(self) -> int:
        """Connections that hold a descriptor, those that are shut but not yet closed among them."""
        return len(self._owner_of)

    def count(self, owner: Owner) -> int:
        return len(self._fds_of.get(owner, ()))

    def quota(self, owner: Owner) -> int:
        return self._per_process if owner[1] else self._per_outside_uid

    def opened(self, fd: int, owner: Owner) -> int | None:
        """A connection was accepted. Returns the descriptor to shut for it, if there is one: it counts as shut."""
        if fd in self._owner_of:
            self.closed(fd)  # its end was not told; the number is in use again
        self._owner_of[fd] = owner
        fds = self._fds_of.setdefault(owner, {})
        fds[fd] = None
        if len(fds) > self.quota(owner):
            return self._shut_newest(owner)
        if len(self._owner_of) - self._shut > self._capacity:
            greedy = max(self._fds_of, key=lambda one: len(self._fds_of[one]))
            return self._shut_newest(greedy if self.count(greedy) > 1 else owner)
        return None

    def closed(self, fd: int) -> None:
        owner = self._owner_of.pop(fd, None)
        if owner is None:
            return
        fds = self._fds_of.get(owner)
        if fds is None or fd not in fds:
            self._shut -= 1
            return
        del fds[fd]
        if not fds:
            del self._fds_of[owner]

    def owner(self, fd: int) -> Owner | None:
        return self._owner_of.get(fd)

    def _shut_newest(self, owner: Owner) -> int:
        fds = self._fds_of[owner]
        fd, _ = fds.popitem()
        if not fds:
            del self._fds_of[owner]
        self._shut += 1
        return fd
