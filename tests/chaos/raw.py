"""The mechanisms without a host around them: a program in a cgroup, in a PID namespace, below a subreaper; its end.

``begin(tier, words)`` is a context that gives ``(pids, end)``: all its processes, and what begins to end them. Walking
goes on in ``end`` until nobody is found; the others are one system call.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agenthost.containment import ground
from tests.host.running import PATIENCE_S, is_alive
from tests.leftovers import descendant_pids
from tests.waiting import wait_until

Begun = tuple[set[int], Callable[[], None]]

SUBREAPER = """
import ctypes, os, subprocess, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
subprocess.Popen(sys.argv[1:])
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


@contextmanager
def begin(tier: str, words: list[str]) -> Iterator[Begun]:
    with _TIERS[tier](words) as begun:
        yield begun


@contextmanager
def _cgroup(words: list[str]) -> Iterator[Begun]:
    folder = Path(ground.own_folders()[""], f"agenthost-raw{os.getpid()}.{secrets.token_hex(4)}")
    folder.mkdir()
    try:
        with _born(["/bin/sh", "-c", f'echo 0 > {folder}/cgroup.procs; exec "$0" "$@"', *words]):
            pids = {int(word) for word in (folder / "cgroup.procs").read_text().split()}
            yield pids, lambda: _written(folder / "cgroup.kill", "1")
            _written(folder / "cgroup.kill", "1")
    finally:
        wait_until(lambda: "populated 0" in (folder / "cgroup.events").read_text(), PATIENCE_S, f"{folder} is empty")
        folder.rmdir()


@contextmanager
def _pidns(words: list[str]) -> Iterator[Begun]:
    with _born(["unshare", "--fork", "--pid", "--kill-child=KILL", *words]) as unshare:
        pids = set(descendant_pids(unshare.pid))
        [init] = [int(pid) for pid in _children(unshare.pid)]
        yield pids, lambda: os.kill(init, signal.SIGKILL)


@contextmanager
def _walk(words: list[str]) -> Iterator[Begun]:
    with _born([sys.executable, "-S", "-E", "-c", SUBREAPER, *words]) as subreaper:

        def end() -> None:
            while found := [pid for pid in descendant_pids(subreaper.pid) if is_alive(pid)]:
                for signum in (signal.SIGSTOP, signal.SIGKILL):
                    for pid in found:
                        _sent(pid, signum)

        yield set(descendant_pids(subreaper.pid)), end
        end()


_TIERS = {"cgroup": _cgroup, "pidns": _pidns, "walk": _walk}


@contextmanager
def _born(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"born\n", f"{words} was not born"
        yield process
    finally:
        _sent(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _written(file: Path, text: str) -> None:
    file.write_text(text)


def _sent(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
