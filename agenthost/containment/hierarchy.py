"""Where the cgroup hierarchies are mounted and where we stand in them: cgroup v2, and each v1 controller.

Read from /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)); nothing is assumed about paths. Also the few
file operations that every user of a cgroup folder needs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Iterable
from urllib.parse import quote

from agenthost.containment import procfs

CONTROLLERS = ("memory", "pids", "cpu")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted hierarchy. ``controllers`` is empty for cgroup v2. ``root`` is the entry seen at ``point``."""

    point: str
    root: str
    controllers: frozenset[str]

    @property
    def v2(self) -> bool:
        return not self.controllers

    def folder(self, entry: str) -> str | None:
        """The folder of a /proc/PID/cgroup entry; None if the mount does not show it."""
        root = self.root.rstrip("/")
        if "/.." in entry or not (entry == root or entry.startswith(root + "/")):
            return None
        return (self.point + entry[len(root) :]).rstrip("/")


def parse_mounts(mountinfo: bytes) -> list[Mount]:
    found = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(b" - ")
        fields, ends = left.split(b" "), right.split(b" ")
        if not separator or len(fields) < 6 or len(ends) < 3 or ends[0] not in (b"cgroup", b"cgroup2"):
            continue
        options = frozenset(os.fsdecode(ends[2]).split(",")) if ends[0] == b"cgroup" else frozenset()
        kinds = options & frozenset(CONTROLLERS)
        if ends[0] == b"cgroup" and not kinds:
            continue
        found.append(Mount(_unescaped(fields[4]), _unescaped(fields[3]), kinds))
    return found


def _unescaped(field: bytes) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8) & 255]), field))


def parse_entries(cgroup: bytes) -> dict[str, str]:
    """/proc/PID/cgroup: controller to entry; that of cgroup v2 under the name ""."""
    found = {}
    for line in cgroup.splitlines():
        number, first, rest = line.partition(b":")
        names, second, entry = rest.partition(b":")
        if first and second:
            for name in os.fsdecode(names).split(",") if number != b"0" else [""]:
                found[name] = os.fsdecode(entry)
    return found


def entries(pid: int | str = "self") -> dict[str, str]:
    """Empty if the process has gone."""
    return parse_entries(procfs.read_bytes(f"/proc/{pid}/cgroup") or b"")


def own_folders() -> dict[str, str]:
    """Controller to the folder that we are in, cgroup v2 under ""; without what is not mounted."""
    with open("/proc/self/mountinfo", "rb") as file:
        return folders(parse_mounts(file.read()), entries())


def folders(mounts: Iterable[Mount], mine: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for mount in mounts:
        for name in mount.controllers or ("",):
            if name in mine and name not in found and (folder := mount.folder(mine[name])) is not None:
                found[name] = folder
    return found


def entry_of(folder: str) -> str:
    """What /proc/PID/cgroup says of a process in this folder, in the hierarchy that is mounted there."""
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = parse_mounts(file.read())
    for mount in sorted(mounts, key=lambda mount: len(mount.point), reverse=True):
        if folder == mount.point or folder.startswith(mount.point + "/"):
            return (mount.root.rstrip("/") + folder[len(mount.point) :]) or "/"
    return folder


def folder_name(prefix: str, name: str) -> str:
    """A folder name that no cgroup interface file has: those begin with a controller's name and a dot."""
    safe = quote(name, safe="+:@")
    if len(safe) > 200:  # NAME_MAX is 255
        import hashlib

        safe = f"{safe[:160]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{prefix}-{safe}"


def read(path: str) -> str:
    return (procfs.read_bytes(path) or b"").decode("ascii", "replace")


def write(path: str, text: str) -> None:
    """One write(2), as kernfs wants it."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def make(folder: str) -> None:
    """mkdir; there already is well."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return


def field(path: str, name: str) -> int:
    """The number after ``name`` in a file of "name number" lines; 0 if there is none."""
    for line in read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return [one.path for one in found if one.is_dir(follow_symlinks=False)]
    except OSError as error:
        if error.errno in (2, 19):  # ENOENT, ENODEV: removed while we looked
            return []
        raise


def processes(folder: str, without: frozenset[str] = frozenset()) -> list[int]:
    """Living processes in the folder and all below it, but for the folders ``without`` and what is below those. Those
    of an outer PID namespace read 0 and are left out."""
    found = []
    for one in (folder, *subfolders_deep(folder, without)):
        try:
            found += [int(pid) for pid in read(f"{one}/cgroup.procs").split() if pid != "0"]
        except OSError as error:
            if error.errno not in (19, 95):  # ENODEV: removed; EOPNOTSUPP: a threaded group, its domain lists it
                raise
    return found


def subfolders_deep(folder: str, without: frozenset[str] = frozenset()) -> list[str]:
    """All folders below, parents first."""
    found = [one for one in subfolders(folder) if one not in without]
    for one in found:  # grows while it is walked
        found += [below for below in subfolders(one) if below not in without]
    return found


def try_remove(folder: str) -> bool:
    """rmdir the folder and all below it. False if something lives in it."""
    for one in reversed([folder, *subfolders_deep(folder)]):
        try:
            os.rmdir(one)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in (16, 39):  # EBUSY: populated; ENOTEMPTY: a new folder came
                return False
            raise
    return True
