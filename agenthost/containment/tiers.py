"""Which tiers this machine offers, by trying, and the choice among them. Nothing falls back silently: what was
refused, and why, is in the error or in :func:`probe`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable, Literal

import agenthost
from agenthost.containment import ground, procfs
from agenthost.containment.cell import Containment
from agenthost.containment.means import Means, means
from agenthost.errors import ContainmentError

Name = Literal["cgroup", "pidns", "walk"]
STRONGEST_FIRST: tuple[Name, ...] = ("cgroup", "pidns", "walk")
TRIAL_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Tier:
    """``why`` is a sentence for people, whichever way it went."""

    name: Name
    available: bool
    why: str
    user_namespace: bool = False


def probe() -> list[Tier]:
    """All tiers, strongest first, each tried for real. Takes about 0.1 s."""
    return [_PROBES[name]() for name in STRONGEST_FIRST]


def choose(wanted: str, host_name: str, boot: int) -> Containment:
    """``wanted``: "auto" takes the strongest there is, a tier's name that or nothing. ``ContainmentError``."""
    if wanted != "auto" and wanted not in STRONGEST_FIRST:
        raise ContainmentError(f"cannot contain by {wanted!r}: no such tier", hint=f"use auto, {', '.join(_PROBES)}")
    refused: list[str] = []
    for name in STRONGEST_FIRST if wanted == "auto" else (wanted,):
        tier = _PROBES[name]()
        if tier.available:
            try:
                without = refused[0] if refused else f"containment is {wanted!r} by the config"
                return _make(tier, host_name, boot, without)
            except ContainmentError as error:
                refused.append(str(error))
        else:
            refused.append(tier.why)
    raise ContainmentError(f"cannot contain by {wanted}: {'; '.join(refused)}")


def expected_means(wanted: str) -> Means:
    """What would hold each limit if a host were started from here with ``containment: wanted``; nothing is changed, and
    so it is a guess."""
    cgroup = _try_cgroup() if wanted in ("auto", "cgroup") else None
    if cgroup is None:
        return means((), (), {}, f"containment is {wanted!r} by the config")
    if not cgroup.available:
        return means((), (), {}, cgroup.why)
    controllers = ground.expected()
    return means(controllers.v2, controllers.v1, controllers.missing, "")


def _make(tier: Tier, host_name: str, boot: int, without: str) -> Containment:
    if tier.name == "cgroup":
        from agenthost.containment.cgroup import CgroupContainment

        return CgroupContainment(host_name, boot)
    from agenthost.containment.aside import try_cpu_ground

    cpu_ground = try_cpu_ground(host_name, boot)
    if tier.name == "pidns":
        from agenthost.containment.pidns import PidnsContainment

        return PidnsContainment(tier.user_namespace, without, cpu_ground)
    from agenthost.containment.walk import WalkContainment

    return WalkContainment(without, cpu_ground)


def _try_cgroup() -> Tier:
    own = ground.own_folders().get("")
    if own is None:
        return Tier("cgroup", False, "no cgroup v2 is mounted that shows our own entry")
    if why := _refused("cgroup", own):
        return Tier(
            "cgroup",
            False,
            f"cannot use cgroups below {own}: {why}; run as root, or as a systemd unit with Delegate=yes",
        )
    return Tier("cgroup", True, f"a process was born and ended in a cgroup below {own}")


def _try_pidns() -> Tier:
    said = "a process was born and ended in a PID namespace of its own"
    if not (as_root := _refused("pidns", "root")):
        return Tier("pidns", True, f"{said}, as root")
    if why := _refused("pidns", "user"):
        forbidden = forbidden_by()
        because = f"; user namespaces are disabled by {forbidden}" if forbidden else ""
        refused = f"cannot make a PID namespace: {as_root}; nor with a user namespace: {why}"
        return Tier("pidns", False, refused + because)
    return Tier("pidns", True, f"{said}, in a user namespace", user_namespace=True)


def forbidden_by() -> str:
    """The setting that keeps ordinary users from user namespaces, with what to do; empty if none is known to."""
    for name, bad in _FORBID:
        try:
            with open(f"/proc/sys/{name.replace('.', '/')}", "rb") as file:
                value = file.read().strip()
        except OSError:
            continue  # this kernel does not have it
        if value == bad:
            return f"{name}={value.decode()}: have it set otherwise (sysctl(8)), or run as root"
    with open("/proc/self/status", "rb") as file:
        if b"\nSeccomp:\t2" in file.read():
            return "a seccomp filter, perhaps a container's: allow clone with CLONE_NEWUSER in it"
    return ""


_FORBID = (
    ("user.max_user_namespaces", b"0"),
    ("user.max_pid_namespaces", b"0"),
    ("kernel.unprivileged_userns_clone", b"0"),  # Debian's
    ("kernel.apparmor_restrict_unprivileged_userns", b"1"),  # Ubuntu's
)


def _try_walk() -> Tier:
    """/proc must show processes; hidepid (proc(5)) hides those of others, which a set-user-ID program is."""
    if procfs.stat(os.getpid()) is None:
        return Tier("walk", False, "/proc does not show our own process: it is not mounted for our PID namespace")
    if os.getuid() and procfs.stat(1) is None:
        return Tier("walk", True, "/proc can be walked, but hides processes of other users (hidepid)")
    return Tier("walk", True, "/proc can be walked")


_PROBES: dict[str, Callable[[], Tier]] = {"cgroup": _try_cgroup, "pidns": _try_pidns, "walk": _try_walk}


def _refused(*trial: str) -> str:
    """Run a trial; empty if it went well, else why not."""
    code_folder = os.path.dirname(os.path.dirname(os.path.abspath(agenthost.__file__)))
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-E", "-c", _START, code_folder, *trial],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the trial failed: {error}"
    if done.returncode == 0:
        return ""
    return done.stdout.strip() or f"the trial failed: {done.stderr.strip()[-300:]}"


_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from agenthost.containment import trial; sys.exit(trial.main())"
)
