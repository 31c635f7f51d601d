"""Fresh interpreters: what they get, and what multiprocess must not leave behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from multiprocess import process, resource_tracker

from agenthost.launch.spawn import Inherited, spawn
from tests.launch.births import _read_all


def tell(write: int, link: socket.socket, words: str) -> None:
    """Runs in the child."""
    from tests.launch import runtimes

    link.send(words.encode())
    os.dup2(write, 1)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the child lives
    runtimes.report({}, link)
    sys.stdout.flush()


def told(words: str = "hello", name: str = "fresh") -> tuple[dict[str, Any], str, int]:
    """What the child says of itself, what it sent over the socket, its pid."""
    read, write = os.pipe()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid, pidfd = spawn(tell, (Inherited(write), theirs, words), name=name)
    os.close(write)
    theirs.close()
    heard = ours.recv(100).decode()
    ours.close()
    facts: dict[str, Any] = json.loads(_read_all(read))
    os.close(read)
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert ended is not None
    assert (ended.si_pid, ended.si_status) == (pid, 0)
    os.close(pidfd)
    return facts, heard, pid


def test_a_spawned_process_is_our_child_in_a_session_of_its_own_and_dies_with_us() -> None:
    facts, heard, pid = told(name="router")
    assert heard == "hello"
    assert facts["pid"] == facts["session"] == facts["group"] == pid
    assert facts["parent"] == os.getpid()
    assert facts["death_signal"] == signal.SIGKILL
    assert facts["name"] == "router"
    assert facts["blocked"] == 0
    assert facts["threads"] == 1


def test_it_has_the_descriptors_among_its_arguments_and_no_others() -> None:
    facts, _, _ = told()
    assert facts["stdin"] == os.devnull
    assert len(facts["descriptors"]) == 5
    assert {0, 1, 2, facts["birth"]} < set(facts["descriptors"])


def test_no_resource_tracker_is_left_and_multiprocess_knows_no_child() -> None:
    told()
    assert resource_tracker._resource_tracker._fd is None
    assert not process._children
    below = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    assert below == ""


def test_signals_ignored_and_blocked_here_are_not_there() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        facts, _, _ = told()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGHUP, before)
    assert facts["blocked"] == 0
    assert not facts["ignored"] & 1 << signal.SIGHUP - 1


def test_the_main_module_of_the_host_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "host.py"
    script.write_text(
        "import os, sys\n"
        "print('ran', __name__, flush=True)\n"
        "from agenthost.launch.spawn import spawn\n"
        "from tests.launch.test_spawn import say_nothing\n"
        "if __name__ == '__main__':\n"
        "    pid, pidfd = spawn(say_nothing, (), name='x')\n"
        "    print(os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status)\n"
    )
    for command in ([sys.executable, str(script)], [sys.executable, "-c", script.read_text()]):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=60)
        assert ran.stdout == "ran __main__\n0\n"
        assert ran.stderr == ""


def say_nothing() -> None:
    """Runs in the child."""
