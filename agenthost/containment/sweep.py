"""Ending the strays of an earlier life of this host, before the first birth of this one.

Looked for in this order: left-over cgroups, the births file, and the marker in the environment of what was exec'ed. The
caller holds the lock of the state folder, so an earlier life is over. The rule: nobody is signalled who was not
identified by his cgroup, by pid and start time, or by the marker; never ourselves or what we descend from. Nobody is
listed twice.

Not found is what left its agent's tree outside a cgroup and has given up its environment, too: it was exec'ed with an
empty one, or has written over it. Nor what lives outside our PID namespace, unless by its cgroup.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Callable, Iterable, Literal

from agenthost.containment import descent, ground, hierarchy, in_time, procfs
from agenthost.containment.births import Born

MARKER = "AGENTHOST_HOST"
PATH, INCARNATION = "AGENTHOST_PATH", "AGENTHOST_INCARNATION"
PATIENCE_S = 5.0
PAUSE_S = 0.002
LOOK_S, SIDE_BY_SIDE = 10.0, 16
"""For the environments of all processes of the machine. Those that fork without pause can be read one in a second or
two (``in_time``), 16 at a time; the others, 30 us each, pass them by."""
NAMED = 10
"""So many processes of a group are named in a text."""


@dataclass(frozen=True, slots=True)
class Stray:
    """``found`` says by what; ``what`` is a pid or a folder. ``ended`` False: only reported, or it would not go."""

    found: Literal["cgroup", "birth", "marker", "unseen"]
    what: str
    path: str
    incarnation: str
    ended: bool
    text: str
    since: int = 0
    """Start time of the process, in ticks."""

    def is_there(self) -> bool:
        """Still."""
        if self.found == "cgroup":
            return _holds_any(self.what)
        return procfs.living(int(self.what), self.since) is not None


def sweep(
    host_name: str,
    boot: int,
    marker: str,
    births: Iterable[Born],
    mode: Literal["kill", "report"] = "kill",
    own: dict[str, str] | None = None,
) -> list[Stray]:
    """``boot`` is that of this life; ``marker`` the value of AGENTHOST_HOST, unique to the state folder.

    ``births`` as read from the births file. ``own``: controller to the folder that the host's cgroups lie in; None
    looks it up. Blocks until what was ended is gone, for at most about ``PATIENCE_S`` for each kind.
    """
    kill = mode == "kill"
    births = list(births)
    spare = procfs.own_line()
    found = _sweep_cgroups(host_name, boot, births, kill, ground.own_folders() if own is None else own, spare)
    listed = {pid for one in found for pid in hierarchy.processes(one.what)}
    by_birth = _sweep_births(births, kill, spare | listed)
    listed.update(int(one.what) for one in by_birth)
    return found + by_birth + _sweep_marked(marker, kill, spare | listed)


def _sweep_cgroups(
    host_name: str, boot: int, births: list[Born], kill: bool, own: dict[str, str], spare: set[int]
) -> list[Stray]:
    recorded = {one.folder for one in births}
    found: list[Stray] = []
    listed: set[int] = set()
    # v2 first: it holds the processes; v1 groups are empty then
    for controller, place in sorted(own.items()):
        for folder in hierarchy.subfolders(place):
            earlier = ground.parse_base(folder, host_name)
            if earlier is None or earlier == boot:
                continue
            ours = any(one.startswith(folder + "/") for one in recorded)
            if controller == "" and not ours and _host_lives(folder):
                text = f"{folder}: left alone: a host of the same name, but of another state folder, lives in it"
                found.append(Stray("cgroup", folder, "", str(earlier), False, text))
                continue
            if controller and _host_lives(f"{own.get('', '')}/{os.path.basename(folder)}"):
                continue  # its v2 folder was left alone above
            if not _holds_any(folder) and hierarchy.try_remove(folder):
                continue  # nobody's: its host was ended together with the guardian, which would have removed it
            pids = set(hierarchy.processes(folder))
            if kill or controller == "" or pids - listed:
                found.append(_end_cgroup(folder, earlier, kill, spare))
            listed |= pids
    return found


def _holds_any(folder: str) -> bool:
    """Those of an outer PID namespace read 0; they count."""
    return any(hierarchy.read(f"{one}/cgroup.procs").strip() for one in (folder, *hierarchy.subfolders_deep(folder)))


def _host_lives(base: str) -> bool:
    try:
        return bool(hierarchy.field(f"{base}/{ground.SYSTEM}/cgroup.events", "populated"))
    except OSError:  # it goes away while we look
        return False


def _end_cgroup(folder: str, boot: int, kill: bool, spare: set[int]) -> Stray:
    pids = [pid for pid in hierarchy.processes(folder) if pid not in spare]
    named = f" ({', '.join(map(str, pids[:NAMED]))}{', ...' if len(pids) > NAMED else ''})" if pids else ""
    text = f"{folder}: {len(pids)} processes{named} of boot {boot}"
    if not kill:
        return Stray("cgroup", folder, "", str(boot), False, text)

    def empty() -> bool:
        left = [pid for pid in hierarchy.processes(folder) if pid not in spare]
        known = {pid: one.start_time for pid in left if (one := procfs.stat(pid))}
        descent.kill({pid: since for pid, since in known.items() if _in(folder, pid)}, spare)
        return not left

    if spare & set(hierarchy.processes(folder)):  # we were started from within it: it stays, the others go
        return Stray("cgroup", folder, "", str(boot), _wait(empty), text)
    if os.path.exists(f"{folder}/cgroup.kill"):
        hierarchy.write(f"{folder}/cgroup.kill", "1")
    gone = _wait(empty) and _wait(lambda: hierarchy.try_remove(folder))
    return Stray("cgroup", folder, "", str(boot), gone, text)


def _in(folder: str, pid: int) -> bool:
    return pid in hierarchy.processes(folder)


def _sweep_births(births: list[Born], kill: bool, spare: set[int]) -> list[Stray]:
    here = (procfs.machine_boot_id(), procfs.pid_namespace())
    alive = [one for one in births if (one.boot_id, one.pid_namespace) == here and one.pid not in spare and one.lives()]
    gone = kill and _end({one.pid: one.start_time for one in alive}, spare)
    return [
        Stray("birth", str(one.pid), one.path, one.incarnation, gone, _text(one.pid, one.path), one.start_time)
        for one in alive
    ]


def _sweep_marked(marker: str, kill: bool, spare: set[int]) -> list[Stray]:
    since = {pid: one.start_time for pid, one in procfs.snapshot().items() if one.alive and pid not in spare}
    looked = in_time.look(lambda pid: procfs.environ(pid, MARKER, PATH, INCARNATION), since, LOOK_S, SIDE_BY_SIDE)
    marked = {
        pid: said for pid, said in looked.items() if said.get(MARKER) == marker and procfs.living(pid, since[pid])
    }
    known: descent.Known = {pid: since[pid] for pid in marked}
    unseen = [pid for pid in since.keys() - looked.keys() if procfs.living(pid, since[pid])]
    names = {pid: _text(pid, said.get(PATH, "")) for pid, said in marked.items()}
    gone = kill and _end(known, spare)
    found = [
        Stray("marker", str(pid), said.get(PATH, ""), said.get(INCARNATION, ""), gone, names[pid], known[pid])
        for pid, said in marked.items()
    ]
    return found + [
        Stray("unseen", str(pid), "", "", False, f"{_text(pid, '')}: not known whose: it cannot be read", since[pid])
        for pid in unseen[:NAMED]
    ]


def _text(pid: int, path: str) -> str:
    comm = procfs.read_bytes(f"/proc/{pid}/comm") or b""
    return f"process {pid} ({comm.decode('utf-8', 'replace').strip()}){f' of {path}' if path else ''}"


def _end(known: descent.Known, spare: set[int]) -> bool:
    """KILL them and all below them; True when they are gone. They are not our children: nobody waits for us to reap."""
    everyone = dict(known)

    def gone() -> bool:
        everyone.update(descent.kill(everyone, spare))
        return not any(procfs.living(pid, since) for pid, since in everyone.items())

    return not known or _wait(gone)


def _wait(fact: Callable[[], bool]) -> bool:
    """True once ``fact()`` is; False after PATIENCE_S. Blocking is right here: the host has not begun."""
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True
