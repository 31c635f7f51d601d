"""Emptying and removing the cgroup folders that a dead host left, cgroup v2 and v1 (cgroups(7)).

Rules: only folders that are cgroups are touched, never one that holds the guardian itself, and removal is only ever
rmdir(2), bottom-up. Waiting is left to the caller: ``try_remove`` is called until it has nothing to report.
"""

from __future__ import annotations

import os
import signal


def kill(path: str) -> str | None:
    """KILL all that is in ``path`` and below. Returns why it may not be touched, if so."""
    if not path.startswith("/") or ".." in path.split("/"):
        return f"cannot empty {path!r}: not an absolute path"
    if not os.path.isdir(path):
        return None  # already removed
    if not os.path.exists(f"{path}/cgroup.procs"):
        return f"cannot empty {path}: not a cgroup"
    folders = _folders(path)
    members = {folder: _members(folder) for folder in folders}
    if any(os.getpid() in pids for pids in members.values()):
        return f"cannot empty {path}: the guardian itself is in it"
    if _write(f"{path}/cgroup.kill", "1"):  # Linux 5.14; also ends what is frozen
        # but not a process whose first thread has ended while another goes on (seen with 6.18): each by itself, too
        members = {folder: _members(folder) for folder in folders}
    for folder in folders:
        for pid in members[folder]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:  # gone, or not ours: try_remove reports the folder as populated
                continue
        _write(f"{folder}/freezer.state", "THAWED")  # cgroup v1: a frozen process does not even die
    return None


def try_remove(path: str) -> str | None:
    """Remove what is empty. Returns what is in the way, if anything."""
    stuck = None
    for folder in reversed(_folders(path)):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            pids = _members(folder)
            why = f"processes {' '.join(map(str, pids[:5]))} in it" if pids else str(error.strerror)
            stuck = stuck or f"cannot remove {folder}: {why}"
    return stuck


def _folders(path: str) -> list[str]:
    """``path`` and all cgroups below it, each before what is inside it."""
    return [folder for folder, _, _ in os.walk(path)]


def _members(folder: str) -> list[int]:
    try:
        with open(f"{folder}/cgroup.procs", encoding="ascii") as file:
            return [int(line) for line in file]
    except OSError:  # removed meanwhile, or a threaded cgroup, which cannot be listed
        return []


def _write(path: str, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never O_CREAT
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
