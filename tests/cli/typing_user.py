"""The command line as its users have it: a process of its own, in a pipe or on a terminal of some width."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "agenthost.cli"]
PATIENCE_S = 60.0
_SGR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Done:
    """What a command did. Text is decoded as UTF-8, bytes that are none as escapes."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its ``-o json``."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def agenthost(*words: str | bytes, stdin: bytes | None = None, env: dict[str, str] | None = None) -> Done:
    """Run to its end, in pipes."""
    done = subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=PATIENCE_S,
    )
    text = [stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr)]
    return Done(done.returncode, *text)


class Screen:
    """A command on a terminal. ``text`` is all that it has written so far; keys go to its foreground group."""

    def __init__(
        self, *words: str, columns: int = 80, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.text = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm", **(env or {})}
        for variable in ("COLUMNS", "LINES"):
            environment.pop(variable, None)
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=cwd,
            preexec_fn=_control_terminal,  # one thread here
        )
        os.close(slave)

    @property
    def plain(self) -> str:
        """Without colours."""
        return _SGR.sub("", self.text)

    @property
    def lines(self) -> list[str]:
        return self.plain.replace("\r\n", "\n").split("\n")

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, words: str) -> None:
        """Until the screen shows ``words``; what it shows instead is the error."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in self.plain:
            if not self._read(deadline):
                raise AssertionError(f"the screen never showed {words!r}:\n{self.plain}")

    def wait_end(self) -> int:
        """The exit status; everything it wrote has then been read."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self, deadline: float) -> bool:
        """Some more; False at the end, or when the time is up."""
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # nobody has the terminal open any more (pty(7))
                return False
            raise
        self.text += data.decode("utf-8", "backslashreplace")
        for _ in range(data.count(b"\x1b[6n")):  # "where is the cursor?": every terminal answers (ECMA-48, CPR)
            os.write(self._master, b"\x1b[1;1R")
        return bool(data)


@contextlib.contextmanager
def screen(
    *words: str, columns: int = 80, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Screen]:
    """The command is killed at the end if it still runs."""
    shown = Screen(*words, columns=columns, env=env, cwd=cwd)
    try:
        yield shown
    finally:
        shown.close()


def _control_terminal() -> None:
    """In the child: a session of its own with this terminal, so that keys become signals (tty_ioctl(4))."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
