"""A host whose launches are disturbed, and what is there when all is well: processes, cgroups, descriptors."""

from __future__ import annotations

import contextlib
import os
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from agenthost.errors import AgenthostError
from tests.host.running import PATIENCE_S, Running, agent, kill, tree
from tests.leftovers import descendant_pids
from tests.waiting import wait_until

AGENT, PROGRAM = "/crew/agent", "/crew/program"
ZYGOTE = {AGENT: "zygote of /", PROGRAM: "zygote of programs"}

Facts = dict[str, Any]


def family(crew: int = 0) -> dict[str, Any]:
    """An agent and a program, and so many programs more."""
    sleep = {
        "command": ["sh", "-c", "echo up; exec sleep 100000"],
        "ready": {"line": "up"},
        "start_timeout": "60s",
        "shutdown": "200ms",
    }
    members = [
        agent("agent", "Echo", shutdown="200ms"),
        {"name": "program", **sleep},
        *({"name": f"p{number}", **sleep} for number in range(crew)),
    ]
    crew_tree = {"name": "crew", "children": [{"backoff": "none", **one} for one in members], "intensity": 100_000}
    return tree(crew_tree, intensity=100_000)


class Scene:
    def __init__(self, host: Running, hosting: AbstractContextManager[Running]) -> None:
        self.host, self._hosting = host, hosting
        host.wait(lambda: "sh" not in self._facts()["processes"], "each program has executed its last one")
        self._before = self._facts()

    def close(self) -> None:
        self._hosting.__exit__(None, None, None)

    def begin_anew(self) -> None:
        """The host ends as planned, and begins anew: its guardian has forgotten all crashes."""
        self.host.hang_up()
        assert self.host.stop() == 0
        self.host.assert_nothing_left()
        self.host.start().wait_ready()
        self.wait_as_before("it was begun anew")

    def end_without_farewell(self) -> None:
        """The guardian has been killed. Nothing survives that; another one takes over."""
        assert self.host.process is not None
        self.host.process.wait()
        wait_until(lambda: not self.host.survivors(), PATIENCE_S, f"nothing survives: {self.host.survivors()}")
        self.host.start().wait_ready()

    def crash(self) -> None:
        [pid] = self.host.own_pids("host")
        self.host.hang_up()
        kill(pid)

    def victim(self, victim: str, path: str) -> tuple[int, int]:
        """The process to seize, and how many generations below it."""
        name = "host" if victim == "host" else ZYGOTE[path]
        [pid] = self.host.wait(lambda: self.host.own_pids(name), f"there is a {name}", PATIENCE_S)
        return pid, {"newborn": 1, "second": 2}.get(victim, 0)

    def stop(self, path: str) -> None:
        self.host.ask("stop", path=path)

    def wait_down(self, path: str) -> None:
        """All of it."""
        self.host.wait(
            lambda: {row["state"] for at, row in self.host.rows().items() if at.startswith(path)} == {"down"},
            f"all of {path} is down",
        )

    def is_ready(self, path: str) -> bool:
        return bool(self.host.row(path)["state"] == "ready")

    def wait_as_before(self, after: str = "") -> None:
        """All that was there when the scene began is there again, and nothing else. Zombies count."""
        try:
            self.host.wait(lambda: self._try_facts() == self._before, "it is as before")
        except AssertionError as error:
            now = self._try_facts() or {"host": "does not answer"}
            differs = {key: (self._before.get(key), now[key]) for key in now if now[key] != self._before.get(key)}
            raise AssertionError(f"{after}: {differs}\n{error}") from None

    def is_up(self) -> bool:
        """The host, and everything in it; False while it does not answer, as one that is killed."""
        try:
            return bool(self.host.host()) and self.is_ready("/")
        except AgenthostError:
            self.host.hang_up()
            return False

    def _try_facts(self) -> Facts | None:
        try:
            return self._facts() if self.host.host() else None
        except (AgenthostError, ValueError):  # it is killed or begun anew meanwhile: it does not answer, or has no pid
            self.host.hang_up()
            return None

    def _facts(self) -> Facts:
        [host_pid] = self.host.own_pids("host")
        return {
            "processes": sorted(filter(None, map(_name, descendant_pids(self.host.guardian_pid)))),
            "cgroups": sorted(_plain(folder) for top in self.host.cgroups() for folder, _, _ in os.walk(top)),
            "descriptors": _descriptors(host_pid),
            "states": {path: row["state"] for path, row in self.host.rows().items()},
        }


def _name(pid: int) -> str:
    try:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:  # it has ended
        return ""
    return head.partition("(")[2] + (" (zombie)" if tail.split()[0] in "ZX" else "")


def _descriptors(pid: int) -> int:
    """But for the epoll of ``containment.readiness``, which is made when it is first needed."""
    kinds = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            kinds.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return sum(kind != "anon_inode:[eventpoll]" for kind in kinds)


def _plain(folder: str) -> str:
    """Without the numbers of boots and incarnations."""
    return re.sub(r"-\d+(?=/|$)|@[\d.]+", "", folder)
