"""Reading /proc(5): who lives, who is whose child, since when. Bytes in, small values out.

A process that vanishes while it is read is None, never an error; running out of descriptors is an error, never a
death. Pids are those of the reader's PID namespace. The rule: a pid alone names nobody; pid and start time do.
"""

from __future__ import annotations

import os
import time
from typing import Iterable, NamedTuple

TICKS_PER_S: int = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: int = os.sysconf("SC_PAGE_SIZE")
PF_EXITING = 0x4
_GONE = (FileNotFoundError, ProcessLookupError)  # ENOENT from open(2), ESRCH from read(2) of a reaped process


class Stat(NamedTuple):
    """Some fields of /proc/PID/stat. ``start_time`` and ``cpu_ticks`` (reaped children included) in clock ticks."""

    pid: int
    ppid: int
    state: str
    session: int
    threads: int
    start_time: int
    cpu_ticks: int
    exiting: bool = False
    """PF_EXITING: it runs no code of its own any more, and cgroup v1 has let go of it."""

    @property
    def alive(self) -> bool:
        """False for a zombie; a leader that is a zombie beside running threads is alive."""
        return self.state not in "ZXx" or self.threads > 1

    @property
    def stopped(self) -> bool:
        return self.state in "Tt"


def parse_stat(data: bytes) -> Stat:
    """The name in brackets may hold anything, brackets and newlines too: the last bracket ends it."""
    close = data.rindex(b")")
    fields = data[close + 2 :].split()
    return Stat(
        pid=int(data[: data.index(b" ")]),
        state=fields[0].decode(),
        ppid=int(fields[1]),
        session=int(fields[3]),
        threads=int(fields[17]),
        start_time=int(fields[19]),
        cpu_ticks=int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14]),
        exiting=bool(int(fields[6]) & PF_EXITING),
    )


def read_bytes(path: str) -> bytes | None:
    """The whole file, None if its process has gone. Other trouble is an ``OSError``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except _GONE:
        return None
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except _GONE:
        return None
    finally:
        os.close(fd)


def stat(pid: int) -> Stat | None:
    data = read_bytes(f"/proc/{pid}/stat")
    return parse_stat(data) if data else None


def start_time(pid: int) -> int | None:
    found = stat(pid)
    return found.start_time if found else None


def living(pid: int, start_time: int) -> Stat | None:
    """The process that had this pid since ``start_time``, if it still lives."""
    found = stat(pid)
    return found if found and found.start_time == start_time and found.alive else None


def snapshot() -> dict[int, Stat]:
    """Every visible process, in one pass over /proc."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (one := stat(int(name))):
            found[one.pid] = one
    return found


def children_map(processes: Iterable[Stat]) -> dict[int, list[int]]:
    """Parent to children, among the given processes."""
    below: dict[int, list[int]] = {}
    for one in processes:
        below.setdefault(one.ppid, []).append(one.pid)
    return below


_children_files = os.path.exists("/proc/thread-self/children")  # CONFIG_PROC_CHILDREN, Linux 4.2


def children(pid: int) -> list[int]:
    """Direct children. While they fork and exit some may be missed: look again until nothing is new (proc(5))."""
    if not _children_files:
        return children_map(snapshot().values()).get(pid, [])
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except _GONE:
        return []
    data = (read_bytes(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for part in data if part for child in part.split()]


def descendants(pids: Iterable[int]) -> dict[int, Stat]:
    """Everything below ``pids``, parents before children, zombies included, ``pids`` themselves not.

    Costs the number of descendants where the kernel lists children, else one pass over /proc.
    """
    todo = list(pids)
    tops = set(todo)
    everything = {} if _children_files else snapshot()
    below = children_map(everything.values())
    found: dict[int, Stat] = {}
    for pid in todo:  # grows while it is walked
        for child in children(pid) if _children_files else below.get(pid, ()):
            if child in found or child in tops:
                continue
            one = everything.get(child) or stat(child)
            if one:
                found[child] = one
                todo.append(child)
    return found


def environ(pid: int, *names: str) -> dict[str, str]:
    """Those of ``names`` that were in the environment at exec. Empty for what may not be read or has none.

    A process whose first thread has ended shows it by its other threads alone: the first has no memory any more.
    """
    data = _environ(f"/proc/{pid}/environ")
    if not data:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except _GONE:
            return {}
        others = (_environ(f"/proc/{pid}/task/{thread}/environ") for thread in threads if thread != str(pid))
        data = next(filter(None, others), b"")
    found: dict[str, str] = {}
    for entry in data.split(b"\0"):
        name, separator, value = entry.partition(b"=")
        if separator and (text := os.fsdecode(name)) in names:
            found.setdefault(text, os.fsdecode(value))
    return found


def _environ(path: str) -> bytes:
    try:
        return read_bytes(path) or b""
    except PermissionError:
        return b""


def machine_boot_id() -> str:
    """Changes when the machine boots; random(4)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def pid_namespace() -> int:
    """The inode of our PID namespace: pids of one say nothing in another."""
    return os.stat("/proc/self/ns/pid").st_ino


def now_ticks() -> int:
    """Now, on the clock of ``start_time``: ticks since the machine booted, suspended time included."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)


def own_line() -> set[int]:
    """This process and its ancestors, as far as they can be seen."""
    line: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        one = stat(pid)
        pid = one.ppid if one else 0
    return line
