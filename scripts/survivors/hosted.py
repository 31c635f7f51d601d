"""The victim as a program under agenthost, in one tier, with or without a PID namespace around the host."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from survivors.owner import Owner
from survivors.supervisor import Supervisor
from survivors.waiting import wait_until

GUARDIAN, HOST, BOTH = "guardian", "host", "guardian and host"


class Hosted(Supervisor):
    parts = (GUARDIAN, HOST, BOTH)

    def __init__(self, folder: Path, run: str, victim: list[str], owner: Owner, tier: str, namespace: bool) -> None:
        super().__init__(folder, run, victim, owner.uid)
        self._owner, self._tier, self._namespace = owner, tier, namespace
        self._name = f"orphans-{run}"
        self.environment |= owner.environment
        for variable, place in (("AGENTHOST_RUNTIME_DIR", "run"), ("AGENTHOST_STATE_DIR", "state")):
            self.environment[variable] = str(folder / place)

    def command(self) -> list[str]:
        config = self.folder / "config.yaml"  # JSON is YAML
        config.write_text(
            json.dumps(
                {
                    "agenthost": 1,
                    "name": self._name,
                    "containment": self._tier,
                    "namespace": "require" if self._namespace else "never",
                    "tree": {"children": [{"name": "victim", "command": self.victim}]},
                }
            )
        )
        return self._cli("run", str(config))

    def stop_victim(self) -> None:
        self.run_command(*self._cli("--host", self._name, "stop", "/victim"))

    def claims(self, part: str) -> bool:
        """README, "Nothing escapes": only a PID namespace outlives the guardian and the host."""
        return self._namespace or part != BOTH

    def kill(self, part: str) -> None:
        guardian = self.process.pid
        host = self._host_pid() if part != GUARDIAN else 0
        if part == BOTH:  # the guardian shall not see the host's end, nor the host the guardian's
            os.kill(guardian, signal.SIGSTOP)
            os.kill(host, signal.SIGSTOP)
        if part != GUARDIAN:
            os.kill(host, signal.SIGKILL)
        if part != HOST:
            super().kill(part)

    def clear(self) -> None:
        """Cgroups of a host that was killed; the next one of this name would remove them."""
        wait_until(lambda: not [folder for folder in self._cgroups() if not _try_remove(folder)], "cgroups are removed")

    def _host_pid(self) -> int:
        """As seen outside."""
        rows = json.loads(self.run_command(*self._cli("--host", self._name, "ps", "-o", "json")))
        return int(next(row["pid"] for row in rows if row["name"] == "host"))

    def _cli(self, *words: str) -> list[str]:
        return [self._owner.python, "-m", "agenthost.cli", *words]

    def _cgroups(self) -> list[str]:
        found = []
        for place, names, _ in os.walk("/sys/fs/cgroup"):
            here = [name for name in names if name.startswith(f"agenthost-{self._name}.")]
            found += [f"{place}/{name}" for name in here]
            names[:] = [name for name in names if name not in here]
        return found


def _try_remove(cgroup: str) -> bool:
    """Whose last process has just ended counts as busy for a moment (EBUSY)."""
    try:
        for place, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(place)
    except FileNotFoundError:
        return True  # its host was quicker
    except OSError:
        return False
    return True
