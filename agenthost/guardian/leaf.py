"""Making room in a cgroup that systemd has delegated: the guardian goes into a leaf of it.

Controllers can be turned on below a cgroup only while no process stands in it itself (cgroups(7), "no internal
processes"). The host clears it of itself, but cannot name a guardian outside of its PID namespace; so that one goes
first, and what it starts begins in the leaf. ``containment.ground`` knows the name and sees through it.

Rule: nothing moves but out of a cgroup that was given to us. systemd marks such a one by an extended attribute
(``Delegate=``, systemd.resource-control(5)), but a user's own systemd, in version 252, does not: without root, one that
we own and stand in alone is ours as well. In any other one the processes of others stand too.
"""

from __future__ import annotations

import os

NAME = "agenthost-guardian"
_MARKS = ("user.delegate", "trusted.delegate")
"""The first since systemd 251 and Linux 5.7; the second is shown to CAP_SYS_ADMIN only (xattr(7))."""


def try_enter() -> str | None:
    """Returns why the kernel refused it; None when we are in the leaf, or nothing was delegated."""
    own = _own_folder()
    if own is None or not (_is_delegated(own) or _is_ours_alone(own)):
        return None
    leaf = f"{own}/{NAME}"
    try:
        os.makedirs(leaf, exist_ok=True)
        with open(f"{leaf}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
    except OSError as error:
        return f"cannot move into {leaf}: {error.strerror}; limits of agents may not be enforced"
    return None


def _own_folder() -> str | None:
    """Of cgroup v2, by the mount that shows its whole tree; None where there is none."""
    entry = point = None
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                if line.startswith("0::/"):
                    entry = line[3:].rstrip("\n")
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                left, _, right = line.partition(" - ")
                fields = left.split()
                if right.startswith("cgroup2 ") and fields[3] == "/":
                    point = fields[4]
    except OSError:
        return None
    if entry in (None, "/") or point is None or "\\" in point:  # an escaped letter: no place where anybody mounts it
        return None
    return f"{point}{entry}"


def _is_ours_alone(folder: str) -> bool:
    """Never of root's, who owns them all."""
    try:
        if os.geteuid() == 0 or os.stat(folder).st_uid != os.geteuid():
            return False
        with open(f"{folder}/cgroup.procs", encoding="ascii") as file:
            return file.read().split() == [str(os.getpid())]
    except OSError:
        return False


def _is_delegated(folder: str) -> bool:
    for mark in _MARKS:
        try:
            if os.getxattr(folder, mark) == b"1":
                return True
        except OSError:  # ENODATA, ENOTSUP, EPERM: no such mark
            continue
    return False
