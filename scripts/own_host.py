"""A host that a script starts for itself and ends again, with everything that runs under it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from agenthost import kernel
from agenthost.transport.places import Places

STOP_S = 15.0
"""After each of the three SIGINT: ask, hurry, kill."""


def command() -> list[str]:
    """``agenthost`` of the environment this script runs in, installed or not."""
    script = Path(sys.executable).with_name("agenthost")
    return [str(script)] if script.exists() else [sys.executable, "-c", "from agenthost.cli.main import main; main()"]


class OwnHost:
    """A host as our child, in a process group of its own: Ctrl-C comes to us, and we ask it to end."""

    def __init__(self, config: Path, folder: Path, environment: dict[str, str]) -> None:
        self.name, self._folder = config.stem, folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "AGENTHOST_RUNTIME_DIR": str(folder / "run"),
            "AGENTHOST_STATE_DIR": str(folder / "state"),
            **environment,
        }
        self._places = Places(self.name, environ=self.environment)
        self.process = subprocess.Popen(
            [*command(), "run", str(config)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=lambda: kernel.set_parent_death_signal(signal.SIGTERM),  # no thread runs yet
        )
        assert self.process.stdout is not None  # asked for above
        os.set_blocking(self.process.stdout.fileno(), False)
        self._out: IO[bytes] = self.process.stdout
        self._unsaid = b""

    @property
    def endpoint(self) -> str:
        return self._places.control_endpoint(os.getuid())

    def listens(self) -> bool:
        """Whether its socket is there: before that nobody can be asked anything."""
        return self._places.control_socket(os.getuid()).is_socket()

    def try_lines(self) -> list[str]:
        """What it has printed since."""
        raw = self._unsaid + (self._out.read() or b"")
        *lines, self._unsaid = raw.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def stop(self) -> int:
        """Ask, hurry, kill; the exit status. Whatever it says meanwhile is read, so that it never waits for us."""
        for _ in range(3):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + STOP_S
            while self.process.poll() is None and time.monotonic() < deadline:
                select.select([self._out], [], [], 0.1)
                self.try_lines()
        self.process.kill()
        self._out.close()
        return self.process.wait()

    def left_processes(self) -> list[int]:
        """Processes that carry this run's marker in their environment; a forked agent shows its zygote's (proc(5))."""
        marker = f"AGENTHOST_RUNTIME_DIR={self._folder / 'run'}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look at
                    if marker in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found
