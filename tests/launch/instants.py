"""Killing or holding a process after so many of its system calls: the other end of ``tests/chaos/stepper.py``."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.host.running import PATIENCE_S

STEPPER = Path(__file__).resolve().parents[1] / "chaos" / "stepper.py"


@dataclass(frozen=True, slots=True)
class Told:
    """What the stepper says of the victim. ``pid`` 0: there was none."""

    said: str
    pid: int
    since: int
    calls: int
    last_call: int


class Steps:
    """One order at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._busy = False

    def seize(self, pid: int, generation: int, *, after: int | None = None, then: str = "kill") -> None:
        assert not self._busy
        self._say(seize=pid, generation=generation, after=after, then=then)
        assert self._hear()["said"] == "seized"
        self._busy = True

    def try_told(self, timeout_s: float = 0.0) -> Told | None:
        """``ended`` or ``held``, if it has come."""
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            return None
        return self._told()

    def wait_told(self) -> Told:
        return self._told()

    def finish(self) -> Told:
        """Whoever is traced goes on alone. ``finished``, or ``ended`` if that came before."""
        if not self._busy:
            raise AssertionError("nobody is traced")
        self._say(finish=True)
        while (told := self._told()).said not in ("finished", "ended"):
            continue
        if told.said == "ended":  # it crossed our order; that is answered too
            assert self._hear()["said"] == "finished"
        self._busy = False
        return told

    def finish_if_busy(self) -> None:
        """Held, or on its way; it may have ended."""
        if self._busy:
            self.finish()

    def _told(self) -> Told:
        told = Told(**self._hear())
        self._busy = told.said == "held"
        return told

    def _say(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], PATIENCE_S)[0], "the stepper is silent"
        line = self._process.stdout.readline()
        assert line, "the stepper has ended"
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def stepping() -> Iterator[Steps]:
    words = [sys.executable, "-S", "-E", str(STEPPER)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        yield Steps(process)
        assert process.stdin is not None
        process.stdin.close()
