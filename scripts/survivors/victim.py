"""The program that every supervisor is given: it starts five descendants that are awkward to end, and then waits.

``victim.py FOLDER RUN``, with the standard library alone. It writes ``FOLDER/brood-BROOD`` when all five are as awkward
as they will be. It and they carry three markers in their environment: the run (of the script), the brood (of this
incarnation) and the kind. Each comes into being by an exec, so that /proc/PID/environ shows them (proc(5)).

session   leads a session of its own
daemon    forked twice, in a session of its own, its parent gone
deaf      ignores TERM, INT, HUP and QUIT; in the victim's process group
stopped   leads a session of its own, and has stopped itself by SIGSTOP
nomad     every 0.1 s: forks and ends; its child leads a new session and executes the program anew

Should nobody end them, they end by themselves after ``LIFE_S``, all but the stopped one.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from typing import NoReturn

RUN, BROOD, KIND = "ORPHANS_RUN", "ORPHANS_BROOD", "ORPHANS_KIND"
MAIN = "main"
KINDS = ("session", "daemon", "deaf", "stopped", "nomad")
LIFE_S = 900.0
HOP_S = 0.1
_END = "ORPHANS_END"
"""When to end by oneself, in seconds of the wall clock: a nomad lives through many processes."""


def main() -> None:
    folder, run, *rest = sys.argv[1:]
    if BROOD not in os.environ:
        marks = {RUN: run, BROOD: secrets.token_hex(8), KIND: MAIN, _END: str(time.time() + LIFE_S)}
        os.execve(sys.executable, _command(folder, run), {**os.environ, **marks})
    if rest:
        _AWKWARD[os.environ[KIND]](int(rest[0]))
    else:
        _bring_forth(folder, run)
    _live()


def _command(*words: str) -> list[str]:
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), *words]


def _bring_forth(folder: str, run: str) -> None:
    told, tell = os.pipe()
    os.set_inheritable(tell, True)
    pids = {
        kind: os.posix_spawn(sys.executable, _command(folder, run, str(tell)), {**os.environ, KIND: kind})
        for kind in KINDS
    }
    os.close(tell)
    while os.read(told, 100):  # until all have closed it: each does when it is as awkward as it gets, or by its end
        pass
    os.waitpid(pids["stopped"], os.WUNTRACED)
    for kind in ("daemon", "nomad"):  # these have gone on in another process
        os.waitpid(pids[kind], 0)
    passing = os.path.join(folder, f".{os.environ[BROOD]}")
    os.close(os.open(passing, os.O_CREAT | os.O_WRONLY, 0o644))
    os.rename(passing, os.path.join(folder, f"brood-{os.environ[BROOD]}"))


def _lead_a_session(tell: int) -> None:
    os.setsid()
    os.close(tell)


def _become_a_daemon(tell: int) -> None:
    _fork_and_end()
    os.setsid()
    _fork_and_end()
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(tell)


def _turn_deaf(tell: int) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)
    os.close(tell)


def _stop(tell: int) -> None:
    os.setsid()
    os.close(tell)
    os.kill(os.getpid(), signal.SIGSTOP)


def _wander(tell: int) -> NoReturn:
    """``tell`` is open in the first of its processes only; -1 says so to the next one."""
    _fork_and_end()
    os.setsid()
    if tell >= 0:
        os.close(tell)
    time.sleep(HOP_S)
    if time.time() > float(os.environ[_END]):
        sys.exit()
    os.execve(sys.executable, _command(*sys.argv[1:3], "-1"), dict(os.environ))


_AWKWARD = {
    "session": _lead_a_session,
    "daemon": _become_a_daemon,
    "deaf": _turn_deaf,
    "stopped": _stop,
    "nomad": _wander,
}


def _fork_and_end() -> None:
    """Go on as a child of whoever adopts it."""
    if os.fork():
        os._exit(0)


def _live() -> None:
    while (left_s := float(os.environ[_END]) - time.time()) > 0:
        time.sleep(left_s)


if __name__ == "__main__":
    main()
