"""A real guardian, started as ``agenthost run`` starts it, above a fake host from ``hosts/``, looked at from outside.

Everything the guardian starts carries a mark in its environment (a fork inherits that of ``/proc/PID/environ``). A
zombie does not show it any more, so processes are remembered by pid and start time, and zombies count as survivors.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.own_processes import own_pids
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
HOSTS = Path(__file__).parent / "hosts"
NOBODY = 60_123
"""A user who owns nothing. Not 65534, for which a guardian makes no user namespace."""
PATIENCE_S = 40.0
"""Only what is stuck takes so long; a busy machine does not."""

Process = tuple[int, str]
"""pid, start time in ticks."""


def stat(pid: int) -> list[str]:
    """state, ppid, pgrp, session, ... of proc(5); empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def interpreter_for(uid: int) -> str | None:
    """A Python 3.11 that ``uid`` can really run: the virtual environment's may lie in root's home."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        check = [candidate, "-c", "import sys; assert sys.version_info >= (3, 11)"]
        try:
            subprocess.run(check, check=True, user=uid, group=uid, extra_groups=[], env={}, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


class Driven:
    """A guardian and what it said and did. As a context it ends what a failed test would leave. ``folder``: one that
    ``uid`` can enter, so not one of pytest's, which every other pytest that begins closes to other users."""

    def __init__(
        self,
        folder: Path,
        host: str,
        *words: object,
        options: tuple[str, ...] = (),
        uid: int | None = None,
        environment: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        **popen: Any,
    ) -> None:
        self.mark = f"GUARDIAN_TEST={uuid.uuid4().hex}"
        self.facts_file = folder / "facts"
        self.facts_file.touch()
        self.facts_file.chmod(0o666)
        self.said_file = folder / "said"
        python = sys.executable
        kept = {"PATH": os.environ.get("PATH", os.defpath)}
        if uid is not None:
            python = interpreter_for(uid) or python
            popen |= {"user": uid, "group": uid, "extra_groups": []}
            kept = {}
        key, _, value = self.mark.partition("=")
        said: IO[bytes] | int = popen.pop("stderr", 0) or self.said_file.open("wb")
        self._seen: set[Process] = set()
        self.guardian = subprocess.Popen(
            [*wrapper, python, "-m", "agenthost.guardian", *options, "--", python, str(HOSTS / f"{host}.py")]
            + [str(word) for word in words],
            env={**kept, "PYTHONPATH": str(ROOT), "FACTS": str(self.facts_file), key: value, **(environment or {})},
            cwd="/",
            stderr=said,
            **popen,
        )
        if not isinstance(said, int):
            said.close()

    def __enter__(self) -> Driven:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.family()
        if self.guardian.poll() is None:
            self.guardian.kill()
        self.guardian.wait()
        if kind is not None:
            for pid, _ in self.survivors():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    continue

    # what it says

    def facts(self, word: str) -> list[str]:
        lines = self.facts_file.read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(word + " ")]

    def hosts(self) -> list[int]:
        """Outer pids of the hosts that got ready so far."""
        return [int(text) for text in self.facts("host")]

    def said(self) -> str:
        return self.said_file.read_text()

    def wait_host(self, number: int = 1, seconds: float = PATIENCE_S) -> int:
        """The outer pid of the ``number``-th host, once it is ready."""
        return wait_until(lambda: self.hosts()[number - 1 : number], seconds, f"host {number} ready")[0]

    def wait_heard(self, word: str) -> None:
        wait_until(lambda: word in self.facts("heard"), seconds=PATIENCE_S, what=f"the host hears {word}")

    def wait_said(self, pattern: str, seconds: float = PATIENCE_S) -> None:
        wait_until(lambda: re.search(pattern, self.said()), seconds, f"{pattern!r} in what the guardian says")

    def wait_end(self, seconds: float = PATIENCE_S) -> int:
        self.family()
        return self.guardian.wait(seconds)

    # what it did

    def family(self) -> set[Process]:
        """Guardian, init, host and all that they started and that is alive now."""
        mark = self.mark.encode()
        now = set()
        for pid in own_pids():
            try:
                marked = mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            fields = stat(pid)
            if marked and fields:
                now.add((pid, fields[19]))
        self._seen |= now
        return now

    def survivors(self) -> set[Process]:
        """Those of the family that still exist, zombies among them; not a guardian that this test has to wait for."""
        self.family()
        return {(pid, start) for pid, start in self._seen if stat(pid)[19:20] == [start] and pid != self.guardian.pid}

    def wait_none_left(self, seconds: float = PATIENCE_S) -> None:
        wait_until(lambda: not self.survivors(), seconds, f"none left of {len(self._seen)}")

    def init(self) -> int:
        """The outer pid of the init, the guardian's only child."""
        return next(pid for pid, _ in self.family() if stat(pid)[1:2] == [str(self.guardian.pid)])
