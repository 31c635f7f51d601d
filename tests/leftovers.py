"""What a test can leave behind: processes, threads, descriptors, runtime files, cgroups.

``Snapshot`` is taken before a test and compared after it. This file reads /proc and /sys; it judges nothing else and
ends nothing.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

lent: dict[bytes, str] = {}
"""Hosts that several tests share: the entry in the environment of all its processes, and how the names of its cgroups
begin. What it starts and ends meanwhile is for those who lend it to look after (tests/host/sharing)."""


@dataclass(frozen=True, slots=True)
class Process:
    """``start_time`` (field 22 of /proc/PID/stat) makes the pid unique; ``state`` is the letter of field 3."""

    pid: int
    start_time: int
    state: str
    command: str
    test: str
    is_lent: bool

    def __str__(self) -> str:
        kind = "zombie (nobody waited for it)" if self.state == "Z" else f"process in state {self.state}"
        return f"{kind} pid {self.pid}: {self.command}" + (f" [started in {self.test}]" if self.test else "")


def read_process(pid: int) -> Process | None:
    """None if it has gone."""
    folder = Path("/proc") / str(pid)
    try:
        line = (folder / "stat").read_text(errors="replace")
        command = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    name, _, rest = line.partition("(")[2].rpartition(")")
    fields = rest.split()
    shows = folder.with_name(fields[1]) if fields[0] == "Z" else folder  # a zombie has none; its parent did not wait
    try:
        entries = (shows / "environ").read_bytes().split(b"\0")
    except OSError:  # of another user
        entries = []
    # pytest puts the running test into its environment; what is exec'ed inherits it
    test = next((e.partition(b"=")[2] for e in entries if e.startswith(b"PYTEST_CURRENT_TEST=")), b"")
    shown = command.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace") or f"[{name}]"
    is_lent = not lent.keys().isdisjoint(entries)
    return Process(pid, int(fields[19]), fields[0], shown[:200], test.decode(errors="replace"), is_lent)


def descendant_pids(pid: int) -> list[int]:
    """By /proc/PID/task/TID/children: the whole of /proc is not read, for this runs twice in every test."""
    found: list[int] = []
    pending = [pid]
    while pending:
        tasks = Path("/proc") / str(pending.pop()) / "task"
        try:
            files = [tasks / tid / "children" for tid in os.listdir(tasks)]
        except OSError:
            continue
        for file in files:
            try:
                children = [int(word) for word in file.read_text().split()]
            except OSError:
                continue
            found += children
            pending += children
    return found


def descendants(pid: int) -> list[Process]:
    return [process for child in descendant_pids(pid) if (process := read_process(child))]


def descriptors() -> dict[int, str]:
    """The open descriptors of this process and what they name; the one that lists them is not among them."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def threads() -> dict[int, str]:
    """Every thread of this process, also those that Python did not start (libzmq's), by thread id."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = {}
    for name in os.listdir("/proc/self/task"):
        try:
            comm = Path("/proc/self/task", name, "comm").read_text().strip()
        except OSError:
            continue
        found[int(name)] = names.get(int(name)) or comm
    return found


def cgroup_folders() -> set[str]:
    """Folders ``agenthost-*`` at the top of each cgroup hierarchy and below this process's own place in it."""
    mounts: dict[str, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, options = tail.split()[:3]
        if kind == "cgroup2":
            mounts[""] = head.split()[4]
        elif kind == "cgroup":
            mounts |= dict.fromkeys(options.split(","), head.split()[4])
    found: set[str] = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        mount = next((mounts[name] for name in controllers.split(",") if name in mounts), None)
        if mount is None:
            continue
        for folder in {mount, os.path.normpath(mount + own)}:
            try:
                with os.scandir(folder) as entries:
                    found |= {entry.path for entry in entries if entry.name.startswith("agenthost-")}
            except OSError:
                continue
    return found


def others_at_work(top_pid: int) -> bool:
    """True if a host or a test run that is not ours runs on this machine: a cgroup without processes may be its. So may
    it be of the other worker, which is there between two of its hosts as well."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return True
    ours = {top_pid, *descendant_pids(top_pid)}
    ancestor = top_pid
    while ancestor > 1:
        ours.add(ancestor)
        ancestor = int(Path(f"/proc/{ancestor}/stat").read_text().rpartition(")")[2].split()[1])
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in ours:
            continue
        try:
            command = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if b"agenthost" in command or b"pytest" in command:
            return True
    return False


def cgroup_pids(folder: str) -> set[int]:
    """The processes in it and below it; none if it has gone."""
    pids: set[int] = set()
    for place, _, _ in os.walk(folder):
        try:
            pids |= {int(word) for word in Path(place, "cgroup.procs").read_text().split()}
        except OSError:
            continue
    return pids


def runtime_files(folder: Path) -> list[str]:
    """Sockets, pipes and files; empty folders are nobody's harm."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                mode = path.lstat().st_mode
            except OSError:
                continue
            kind = "socket" if stat.S_ISSOCK(mode) else "pipe" if stat.S_ISFIFO(mode) else "file"
            found.append(f"{kind} {path}")
    return found


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The facts at one moment. ``top_pid`` is the process below which everything counts."""

    top_pid: int
    processes: frozenset[tuple[int, int]]
    descriptors: dict[int, str]
    threads: frozenset[int]
    cgroups: frozenset[str]

    @classmethod
    def take(cls, top_pid: int) -> Snapshot:
        return cls(
            top_pid,
            frozenset((process.pid, process.start_time) for process in descendants(top_pid)),
            descriptors(),
            frozenset(threads()),
            frozenset(cgroup_folders()),
        )

    def new_processes(self) -> list[Process]:
        own = os.getpid()
        return [
            process
            for process in descendants(self.top_pid)
            if process.pid != own and not process.is_lent and (process.pid, process.start_time) not in self.processes
        ]

    def left(self, runtime_folder: Path) -> list[str]:
        """One line for each thing that is there now and was not then."""
        lines = [str(process) for process in self.new_processes()]
        lines += [
            f"descriptor {number}: {name}"
            for number, name in descriptors().items()
            if self.descriptors.get(number) != name and not name.startswith("/proc/")
        ]
        lines += [f"thread {tid}: {name}" for tid, name in threads().items() if tid not in self.threads]
        of_lent = tuple(lent.values())
        new = {one for one in cgroup_folders() - self.cgroups if not os.path.basename(one).startswith(of_lent)}
        if new:
            ours = set(descendant_pids(self.top_pid))
            alone = not others_at_work(self.top_pid)
            lines += [f"cgroup {folder}" for folder in sorted(new) if alone or cgroup_pids(folder) & ours]
        return lines + runtime_files(runtime_folder)
