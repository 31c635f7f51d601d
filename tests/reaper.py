"""pytest runs as the child of a small init of its own.

What a test orphans comes to that init, which reaps it as pid 1 would. So every descendant of the init, except pytest,
is something that a test started and left, and a zombie below pytest is a child that somebody forgot to wait for. After
the run the init names and kills what is still there, and removes the run's folder, also when pytest itself was killed.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile

from agenthost import kernel
from tests.leftovers import Process, descendants

_FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_SI_USER = 0  # siginfo si_code: sent by kill(2); a terminal's Ctrl-C (SI_KERNEL) reaches pytest without us

_INIT, _FOLDER = "AGENTHOST_TEST_INIT", "AGENTHOST_TEST_FOLDER"

init_pid = int(os.environ.pop(_INIT, "0"))
"""The pid of the init; 0 where pytest runs without one."""

_folder = os.environ.pop(_FOLDER, "")


def run_folder() -> str:
    """A folder for sockets and state of this run; its name is short, for a socket's path has 107 bytes."""
    global _folder
    if not _folder:
        _folder = tempfile.mkdtemp(prefix="ah-", dir="/tmp")
        os.chmod(_folder, 0o711)  # agents of other users find their sockets in it
        if not init_pid:
            atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    return _folder


def fork_below_init() -> int | None:
    """Return None in the child, which goes on as pytest, and pytest's exit status in the init when all is over."""
    global init_pid
    init_pid = os.getpid()
    run_folder()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    kernel.become_subreaper()
    pid = os.fork()
    if pid == 0:
        kernel.set_parent_death_signal(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    status = _wait_end(pid)
    left = _end_rest()
    shutil.rmtree(run_folder(), ignore_errors=True)  # files of other users may be left where we are not root
    for process in left:
        print(f"left after the run, now killed: {process}", file=sys.__stderr__, flush=True)
    return status or (1 if left else 0)


def hand_on() -> None:
    """The Python that this process becomes by exec has the same init and folder."""
    os.environ[_INIT], os.environ[_FOLDER] = str(init_pid), run_folder()


def _wait_end(pytest_pid: int) -> int:
    """Reap whatever ends, forward signals, until pytest has ended; a signal N gives 128 + N, as in a shell."""
    while True:
        told = signal.sigwaitinfo(_FORWARDED | {signal.SIGCHLD})
        if told.si_signo != signal.SIGCHLD:
            if told.si_code == _SI_USER:
                os.kill(pytest_pid, told.si_signo)
            continue
        for pid, status in _reaped():
            if pid == pytest_pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _reaped() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _end_rest() -> list[Process]:
    """Stop and kill all that is left below this process; again and again, for it may still fork."""
    seen: dict[int, Process] = {}
    while rest := [process for process in descendants(os.getpid()) if process.state != "Z"]:
        for process in rest:
            seen.setdefault(process.pid, process)
            try:
                os.kill(process.pid, signal.SIGSTOP)
            except ProcessLookupError:
                continue
        for process in rest:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        _reaped()
    _reaped()
    return list(seen.values())
