"""Another user of this machine, whom a process becomes: ids, groups, and the variables that name that user's places.

Leaves to the config who may be named, and to ``zygotes`` that a user has zygotes of its own. The rule: who changes the
user changes all of it (groups, then gid, then uid), and sets the parent-death signal again, for that clears it
(prctl(2)). Imported by every newborn, so it imports next to nothing.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from agenthost import kernel
from agenthost.errors import StartFailed

OF_THE_HOSTS_USER = (
    "DBUS_SESSION_BUS_ADDRESS",
    "MAIL",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
)
"""They name places of the user that the host runs as, which are closed to others: not handed on."""


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    shell: str

    @property
    def variables(self) -> dict[str, str]:
        """As login(1) sets them."""
        return {"HOME": self.home, "LOGNAME": self.name, "SHELL": self.shell, "USER": self.name}

    def environment(self, ours: dict[str, str]) -> dict[str, str]:
        """``ours``, for this user."""
        return {name: value for name, value in ours.items() if name not in OF_THE_HOSTS_USER} | self.variables


def account_of(uid: int) -> Account:
    """Looked up at each start, so that new groups count from the next one on. ``StartFailed``: there is none."""
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        why = f"cannot run as uid {uid}: it has no account on this machine, so its groups are unknown"
        raise StartFailed(why) from None
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(uid, entry.pw_gid, groups, entry.pw_name, entry.pw_dir, entry.pw_shell or "/bin/sh")


def become(uid: int, gid: int, groups: tuple[int, ...]) -> None:
    """All three ids of each kind: nothing is kept to go back by. Capabilities end with it (capabilities(7)). Raises
    ``OSError``."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    kernel.set_parent_death_signal(signal.SIGKILL)
