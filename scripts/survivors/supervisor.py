"""What the count needs of a supervisor: start it with the victim as its only worker, stop that, kill, end.

One object is one running supervisor, in a folder of its own, in a process group of its own: Ctrl-C comes to the script
alone. The supervisor ends with the script, however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from agenthost import kernel
from survivors.victim import RUN
from survivors.waiting import PATIENCE_S, CannotCount, wait_until

END_S = 20.0
"""How long its own end may take after TERM; then it is killed."""


class Supervisor(ABC):
    parts: ClassVar[tuple[str, ...]] = ("supervisor",)
    """What of it is killed, each in a situation of its own."""

    def __init__(self, folder: Path, run: str, victim: list[str], uid: int | None = None) -> None:
        """``victim``: the words of its command. ``uid``: whose processes it and its worker are; ours without it."""
        self.folder, self.run, self.victim, self.uid = folder, run, victim, uid
        self.environment = {**os.environ, RUN: run}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.folder / "output", "ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.folder,
                user=self.uid,
                group=self.uid,
                extra_groups=None if self.uid is None else [],
                process_group=0,
                preexec_fn=lambda: kernel.set_parent_death_signal(signal.SIGKILL),  # no thread runs yet
            )

    @abstractmethod
    def command(self) -> list[str]:
        """Of the supervisor, in the foreground. Writes its config."""

    @abstractmethod
    def stop_victim(self) -> None:
        """By the supervisor's own command; returns when that says that it is done."""

    def claims(self, part: str) -> bool:
        """Whether it promises that nothing survives when ``part`` is killed."""
        return False

    def kill(self, part: str) -> None:
        """KILL ``part``, one of ``parts``."""
        process = self.process
        process.kill()
        process.wait()

    def end(self) -> None:
        """Ask, then KILL; what it leaves nevertheless is ended by its marker."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def clear(self) -> None:
        """Remove what it leaves outside its folder, once all its processes are gone."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise CannotCount("it does not run")
        return self._process

    def output(self) -> str:
        """The end of what it has printed."""
        return (self.folder / "output").read_text(errors="replace")[-2000:]

    def run_command(self, *words: str) -> str:
        """Its own command line, as its own user; what that prints. ``CannotCount`` if it fails."""
        try:
            done = subprocess.run(
                words,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                user=self.uid,
                group=self.uid,
                extra_groups=None if self.uid is None else [],
                timeout=PATIENCE_S,
            )
        except subprocess.TimeoutExpired as error:
            raise CannotCount(str(error)) from error
        if done.returncode:
            raise CannotCount(f"{' '.join(words)} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def wait_brood(self) -> str:
        """Until the first incarnation of the victim has all its descendants; its marker."""

        def first() -> str:
            found = sorted(self.folder.glob("brood-*"), key=lambda path: path.stat().st_mtime_ns)
            return found[0].name.removeprefix("brood-") if found and self.process else ""

        return wait_until(first, "the victim is ready")
