"""The piece of the cgroup v2 tree that one host owns, below the entry that the host was started in::

    agenthost-NAME-BOOT/
    |- system/            the host, and all that it starts except agents
    `- agents/            cells, nested as the tree of paths; low cpu weight
       `- s-crew/                     a supervisor
          `- a-planner@7.12/          a cell
             |- here/                 its processes, only if controllers are on: cgroups(7), "no internal processes"
             `- a-sub@7.13/           a cell in it

Leaves cells to ``cgroup``. The rule: nothing outside the own entry is touched, and ``close`` gives all of it back.
"""

from __future__ import annotations

import os
import re

from agenthost.containment import allotment, hierarchy, procfs
from agenthost.containment.allotment import Controllers
from agenthost.errors import ContainmentError

SYSTEM, AGENTS = "system", allotment.AGENTS
GUARDIAN_LEAF = "agenthost-guardian"
"""A guardian that moved itself into a folder of this name, to free the entry above of processes, is seen through."""

_BASE = re.compile(r"agenthost-(.+)-(\d+)")


def base_name(host_name: str, boot: int) -> str:
    return f"{hierarchy.folder_name('agenthost', host_name)}-{boot}"


def parse_base(folder: str, host_name: str) -> int | None:
    """The boot number, if the folder is one of that host's; None for other folders and other hosts."""
    name = os.path.basename(folder)
    found = _BASE.fullmatch(name)
    return int(found[2]) if found and name == base_name(host_name, int(found[2])) else None


def last_boot(host_name: str, own: dict[str, str] | None = None) -> int:
    """The highest of those whose groups are still there, 0 if none is: a host that begins with an empty state folder
    must not take their name for its own. ``own`` as in ``sweep``."""
    places = own_folders() if own is None else own
    found = [parse_base(folder, host_name) for place in places.values() for folder in hierarchy.subfolders(place)]
    return max((boot for boot in found if boot is not None), default=0)


def outer(folder: str) -> str:
    """The entry that a host was started in, from one that an earlier host of this line of processes moved to."""
    above, name = os.path.split(folder)
    if name == GUARDIAN_LEAF:
        return above
    if name == SYSTEM and _BASE.fullmatch(os.path.basename(above)):
        return os.path.dirname(above)
    return folder


def own_folders() -> dict[str, str]:
    """Controller to the folder that our groups go in; cgroup v2 under ""."""
    return {name: outer(folder) for name, folder in hierarchy.own_folders().items()}


def expected() -> Controllers:
    """What a host started from here would have, as far as can be told by looking."""
    own = own_folders()
    found = Controllers(missing=_not_offered(own[""]) if "" in own else {})
    offered = [name for name in hierarchy.CONTROLLERS if "" in own and name not in found.missing]
    found.v2 = frozenset(name for name in offered if os.access(f"{own['']}/cgroup.subtree_control", os.W_OK))
    for name in set(hierarchy.CONTROLLERS) - found.v2:
        if name in own and os.access(own[name], os.W_OK):
            found.v1[name] = own[name]
        elif name in own:
            found.missing[name] = allotment.not_ours(own[name])
        else:
            found.missing.setdefault(name, f"{own.get('', 'cgroup v2')} belongs to somebody else; {allotment.DELEGATE}")
    return found


def _not_offered(folder: str) -> dict[str, str]:
    """Controllers that cgroup v2 does not offer there: to why."""
    offered = hierarchy.read(f"{folder}/cgroup.controllers").split()
    why = f"controller is not delegated to {folder}; {allotment.DELEGATE}"
    return {name: f"the {name} {why}" for name in hierarchy.CONTROLLERS if name not in offered}


class Ground:
    """Made at host start. ``ContainmentError`` where the kernel refuses."""

    def __init__(self, host_name: str, boot: int) -> None:
        own = own_folders()
        if "" not in own:
            raise ContainmentError("cannot use cgroups: no cgroup v2 is mounted that shows our own entry")
        self.own = own[""]
        self.base = f"{self.own}/{base_name(host_name, boot)}"
        self.system, self.agents = f"{self.base}/{SYSTEM}", f"{self.base}/{AGENTS}"
        self.controllers = Controllers()
        self._enabled: list[tuple[str, str]] = []
        try:
            for folder in (self.base, self.system, self.agents):
                hierarchy.make(folder)
            hierarchy.write(f"{self.system}/cgroup.procs", "0")
        except OSError as error:
            self._undo()
            raise ContainmentError(
                f"cannot make cgroups below {self.own}: {error.strerror}",
                hint="run as root, or as a systemd unit with Delegate=yes",
            ) from error
        self.entry = hierarchy.entry_of(self.base)
        v2, missing = self._enable()
        self.controllers = allotment.find(v2, missing, own, os.path.basename(self.base))
        if "cpu" in v2:
            hierarchy.write(f"{self.agents}/cpu.weight", str(allotment.LOW_V2_WEIGHT))
            self.controllers.low_weight = True

    def enable_below(self, folder: str) -> None:
        """Give the folders in ``folder`` the controllers that we have."""
        if self.controllers.v2:
            hierarchy.write(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in self.controllers.v2))

    def roots(self) -> list[str]:
        return [self.base, *sorted(set(self.controllers.v1_bases.values()))]

    def close(self) -> None:
        """Give everything back. ``ContainmentError`` if an agent's process is left."""
        if left := hierarchy.processes(self.agents) if os.path.exists(self.agents) else []:
            raise ContainmentError(f"cannot remove {self.agents}: {len(left)} processes live in it", hint="kill them")
        self._undo()

    def _undo(self) -> None:
        for base in self.controllers.v1_bases.values():
            hierarchy.try_remove(base)
        hierarchy.try_remove(self.agents)
        for folder, name in reversed(self._enabled):
            try:
                hierarchy.write(f"{folder}/cgroup.subtree_control", f"-{name}")
            except OSError as error:
                if error.errno not in (2, 16):  # ENOENT: removed above; EBUSY: another host in our entry uses it, too
                    raise
        self._enabled = []
        try:
            for pid in hierarchy.processes(self.system):
                _move(pid, self.own)
        except FileNotFoundError:  # it was never made
            pass
        hierarchy.try_remove(self.base)

    def _enable(self) -> tuple[frozenset[str], dict[str, str]]:
        """Turn on what v2 controllers we can have. Returns them, and why not for the others."""
        missing = _not_offered(self.own)
        had = set()
        for name in hierarchy.CONTROLLERS:
            if name in missing:
                continue
            if why := self._try_enable(name):
                missing[name] = why
            else:
                had.add(name)
        return frozenset(had), missing

    def _try_enable(self, name: str) -> str:
        """Empty, or why not."""
        for folder in (self.own, self.base, self.agents):
            file = f"{folder}/cgroup.subtree_control"
            if name in hierarchy.read(file).split():
                continue
            try:
                try:
                    hierarchy.write(file, f"+{name}")
                except OSError as error:
                    if error.errno != 16 or folder != self.own:  # EBUSY: processes stand in it
                        raise
                    self._clear_own()
                    hierarchy.write(file, f"+{name}")
            except OSError as error:
                if error.errno == 16:
                    return f"other processes are in {self.own} itself; {allotment.DELEGATE}"
                return f"the {name} controller cannot be enabled in {folder}: {error.strerror}"
            self._enabled.append((folder, name))
        return ""

    def _clear_own(self) -> None:
        """Take the processes that led to us along into the system group; those of others stay where they are."""
        inside = set(hierarchy.read(f"{self.own}/cgroup.procs").split())
        for pid in procfs.own_line():
            if str(pid) in inside and pid != 1:
                _move(pid, self.system)


def _move(pid: int, folder: str) -> None:
    try:
        hierarchy.write(f"{folder}/cgroup.procs", str(pid))
    except ProcessLookupError:
        return
