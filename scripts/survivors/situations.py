"""One supervisor, made anew for each situation: the victim is stopped, or killed, or its supervisor is.

Rule: whatever happens in a situation, its processes have ended and its folder is gone afterwards.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from survivors import victim
from survivors.crowd import Crowd
from survivors.supervisor import Supervisor
from survivors.waiting import CannotCount

STOP, WORKER = "stop", "worker"
"""A stop by the supervisor's own command; SIGKILL of the victim. The others kill a part of the supervisor."""

Make = Callable[[Path, str, list[str]], Supervisor]
"""A supervisor from a folder, the run's marker and the words of the victim's command."""


@dataclass(frozen=True, slots=True)
class Row:
    """A supervisor and its settings, and how to make one. ``claims``: it says that nothing survives a stop."""

    supervisor: str
    settings: str
    user: str
    parts: tuple[str, ...]
    make: Make
    python: str
    uid: int | None = None
    claims: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """``survivors``: the kinds of processes left; ``main`` is the victim itself. ``claimed``: there should be none."""

    row: Row
    situation: str
    survivors: list[str]
    claimed: bool


def counts(row: Row, patience_s: float) -> Iterator[Count]:
    for situation in (STOP, WORKER, *row.parts):
        yield _count(row, situation, patience_s)


def _count(row: Row, situation: str, patience_s: float) -> Count:
    run = secrets.token_hex(4)
    folder = Path(tempfile.mkdtemp(prefix="orphans-"))
    try:
        words = _command(row, folder, run)
        supervisor = row.make(folder, run, words)
        crowd = Crowd(run)
        try:
            supervisor.start()
            crowd.spared = supervisor.process.pid
            brood = supervisor.wait_brood()
            _bring_about(situation, supervisor, crowd, brood)
            survivors = crowd.survivors(brood, patience_s)
        except CannotCount as error:
            raise CannotCount(
                f"cannot count under {row.supervisor} ({row.settings}, {row.user}; {situation}): {error}; "
                f"it has printed:\n{supervisor.output()}"
            ) from error
        finally:
            supervisor.end()
            crowd.end()
            supervisor.clear()
    finally:
        shutil.rmtree(folder)
    return Count(row, situation, survivors, row.claims and supervisor.claims(situation))


def _command(row: Row, folder: Path, run: str) -> list[str]:
    """The victim lies in the folder: its user need not be able to read ours."""
    program = shutil.copy(victim.__file__, folder)
    if row.uid is not None:
        os.chown(folder, row.uid, row.uid)
    return [row.python, "-I", "-S", program, str(folder), run]


def _bring_about(situation: str, supervisor: Supervisor, crowd: Crowd, brood: str) -> None:
    missing = {victim.MAIN, *victim.KINDS} - crowd.kinds(brood)
    if missing - {"nomad"}:  # which one look may miss
        raise CannotCount(f"the victim lacks {', '.join(sorted(missing))}")
    if situation == STOP:
        supervisor.stop_victim()
    elif situation == WORKER:
        os.kill(crowd.main_pid(brood), signal.SIGKILL)
    else:
        supervisor.kill(situation)
