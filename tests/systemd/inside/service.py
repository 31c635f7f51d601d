"""A host as a service, by the unit that ``agenthost unit`` prints: installed, asked, and looked at from outside."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from tests.systemd.inside.shell import PATIENCE_S, USER, agenthost, asked, run
from tests.systemd.inside.witness import MARK, Id, Seen, look
from tests.waiting import wait_until

AWKWARD = "/opt/tests/tests/chaos/awkward.py"
CONFIGS = Path("/etc/agenthost")
CHAOS = Path("/var/tmp/chaos")
PROGRAMS = "plain session daemon deaf stopped zombies headless relay vfork traced tracer dbus".split()
"""Of tests/chaos/awkward.py."""
SOME = "daemon deaf stopped headless traced relay".split()
"""For where the way matters more than the program."""
RESTLESS = ["nomad", "reexec"]
"""Of these each takes a whole core without KVM."""
CGROUPS = Path("/sys/fs/cgroup")


def awkward(*names: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "command": ["/usr/bin/python3", "-S", "-E", AWKWARD, name],
            "ready": {"line": "^born$"},
            "start_timeout": "100s",
            "shutdown": "1s",
            "backoff": "none",
        }
        for name in names
    ]


class Service:
    """``of_user``: a unit of the ordinary user's own systemd; ``run_as``: one of the system's, run as that user."""

    def __init__(
        self, name: str, *children: dict[str, Any], of_user: bool = False, run_as: str = "", **keys: Any
    ) -> None:
        self.name, self.of_user, self.run_as = name, of_user, run_as
        self.is_users = of_user or bool(run_as)
        CONFIGS.mkdir(exist_ok=True)
        CHAOS.mkdir(exist_ok=True)
        CHAOS.chmod(0o1777)
        self.config = CONFIGS / f"{name}.yaml"
        self.write_config(*children, **keys)
        folder = Path(f"/home/{USER}/.config/systemd/user" if of_user else "/etc/systemd/system")
        self.file = folder / f"{name}.service"
        self.drop_in = folder / f"{name}.service.d" / "test.conf"

    # ---- life

    def write_config(self, *children: dict[str, Any], **keys: Any) -> None:
        self.children = children
        tree = {"children": list(children), "intensity": 100}
        self.config.write_text(json.dumps({"agenthost": 1, "name": self.name, **keys, "tree": tree}))

    def install(self, *lines: str) -> Service:
        """With ``lines`` for its section Service beside those that are shipped."""
        words = ["--user"] if self.of_user else ["--run-as", self.run_as] if self.run_as else []
        text = agenthost("unit", *words, str(self.config))
        self.drop_in.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        environment = f"Environment={MARK}={self.name} CHAOS_FOLDER={CHAOS}"
        self.drop_in.write_text("\n".join(["[Service]", environment, *lines, ""]))
        if self.of_user:
            run("chown", "-R", f"{USER}:", f"/home/{USER}/.config")
        self.systemctl("daemon-reload")
        return self

    def start(self) -> Service:
        self.systemctl("start", self.name)
        self.group = self.show("ControlGroup")
        return self

    def remove(self) -> None:
        """Stopped, whatever its state is, and forgotten."""
        self.systemctl("stop", self.name, status=None)
        self.systemctl("reset-failed", self.name, status=None)
        self.file.unlink()
        shutil.rmtree(self.drop_in.parent)
        self.systemctl("daemon-reload")

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    # ---- asking

    def systemctl(self, *words: str, status: int | None = 0) -> str:
        return run("systemctl", *(["--user"] if self.of_user else []), *words, user=self.of_user, status=status)

    def show(self, name: str) -> str:
        return self.systemctl("show", "--property", name, "--value", self.name).strip()

    def wait_shown(self, name: str, value: str) -> None:
        wait_until(lambda: self.show(name) == value, PATIENCE_S, f"{name}={value}, not {self.show(name)}")

    def asked(self, *words: str, status: int | None = 0) -> Any:
        return asked("--host", self.name, *words, user=self.is_users, status=status)

    def findings(self) -> dict[str, list[str]]:
        """What the doctor says: subject to sentences. Of the host alone the subject begins with ``host NAME``."""
        found: dict[str, list[str]] = {}
        for one in self.asked("doctor"):
            found.setdefault(one["subject"], []).append(one["text"])
        return found

    # ---- from outside

    def look(self, known: frozenset[Id] = frozenset()) -> dict[Id, Seen]:
        return look(self.name, self.group, known)

    def host_pid(self) -> int | None:
        """The one process named so; None while there is none."""
        found = [one.pid for one in self.look().values() if one.name == "ah-host" and one.state != "Z"]
        return found[0] if len(found) == 1 else None

    def boot(self) -> int:
        """Of the host that runs, by the newest of its agents."""
        return max(one.boot for one in self.look().values() if one.boot is not None)

    def is_whole(self, after_boot: int = 0) -> bool:
        """All agents of a later boot than that are there. Ready they are when systemd says ``host is ready``."""
        if self.show("ActiveState") != "active" or self.show("StatusText") != "host is ready":
            return False
        boots = [one.boot for one in self.look().values() if one.boot is not None]
        return bool(boots) and max(boots) > after_boot

    def wait_next(self, before: dict[Id, Seen], boot: int) -> None:
        """Until a host of a later boot is up. Nothing is left then of what was there ``before``, but for a guardian
        that was not killed."""
        wait_until(lambda: self.is_whole(boot), PATIENCE_S, "the next host is ready")
        guardian = int(self.show("MainPID"))
        known = frozenset(one for one in before if one[0] != guardian)

        def left() -> list[str]:
            seen = self.look(known)
            return [str(one) for id_, one in seen.items() if id_ in known or (one.boot or boot + 1) <= boot]

        assert not (found := left()), f"left of boot {boot}: {found}"

    def wait_none(self, known: frozenset[Id] = frozenset()) -> None:
        assert not (found := [str(one) for one in self.look(known).values()]), f"left: {found}"
        assert not (CGROUPS / self.group[1:]).exists() or not self.cgroup("cgroup.events").count("populated 1")

    def cgroup(self, file: str) -> str:
        return (CGROUPS / self.group[1:] / file).read_text()

    def cell(self, name: str) -> Path:
        """The cgroup of the agent ``/name``."""
        found = list((CGROUPS / self.group[1:]).glob(f"agenthost-*/agents/a-{name}@*"))
        assert len(found) == 1, found
        return found[0]


def kill(*pids: int) -> None:
    """All of them before any notices the end of another. The kernel may: what it has ended already is no error."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
