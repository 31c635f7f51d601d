"""Who speaks: what the kernel says of a peer, and whether such a peer may operate the host.

libzmq puts SO_PEERCRED of unix(7) into ``Peer-Address`` as ``localhost:UID:GID:PID``. The pid is translated to the
reader's PID namespace; a process outside of it reads 0. Names the process that *connected*: a child that inherits the
descriptor speaks as its parent. This file decides nothing about agents: the host compares their token and pid itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from agenthost.errors import ProtocolError

_DEEPEST = 4096
"""A chain of parents longer than this is a race with reuse of pids; nobody operates from there."""


class Credentials(NamedTuple):
    uid: int
    gid: int
    pid: int


class _Process(NamedTuple):
    parent: int
    start_ticks: int


def parse_peer_address(address: str) -> Credentials:
    """``localhost:UID:GID:PID`` to numbers. ``ProtocolError`` for anything else."""
    _, *numbers = address.split(":")
    if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise ProtocolError(f"cannot read the peer address {address!r}: it is not localhost:UID:GID:PID")
    return Credentials(*map(int, numbers))


def may_operate(pid: int, uid: int, allowed: Collection[int], guardian_pid: int | None) -> bool:
    """Whether a peer with these kernel credentials is an operator.

    ``guardian_pid`` None: the host has a PID namespace of its own, and operators are outside of it (pid 0). Otherwise
    an operator is no descendant of the guardian; a process that has ended or cannot be traced is none.
    """
    if uid not in allowed:
        return False
    if guardian_pid is None:
        return pid == 0
    return pid > 0 and pid != guardian_pid and descends_from(pid, guardian_pid) is False


def descends_from(pid: int, ancestor: int) -> bool | None:
    """Whether ``ancestor`` stands in the chain of parents of ``pid``; None if the chain could not be followed.

    A parent is older than its child (field 22 of /proc/PID/stat): a younger one is another process under a reused pid.
    """
    process = _read(pid)
    for _ in range(_DEEPEST):
        if process is None:
            return None
        if process.parent == ancestor:
            return True
        if process.parent == 0:
            return False
        above = _read(process.parent)
        if above is None or above.start_ticks > process.start_ticks:
            return None
        process = above
    return None


def _read(pid: int) -> _Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the second field is the name in brackets and may hold anything, brackets and spaces too: proc(5)
            fields = file.read().rpartition(b")")[2].split()
        return _Process(int(fields[1]), int(fields[19]))
    except (OSError, IndexError, ValueError):
        return None
