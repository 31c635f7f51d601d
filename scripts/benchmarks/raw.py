"""Drives the raw mechanisms from the benchmark's own process."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import zmq

from agenthost import kernel
from agenthost.containment import hierarchy

HERE = Path(__file__).parent
PATIENCE_S = 60.0
IN_FLIGHT = 64


class RawZygote:
    """``kind``: "sync" or "async". A context: what it started is gone at the end."""

    def __init__(self, folder: Path, kind: str, join: list[str]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.setsockopt(zmq.BACKLOG, 4096)
        self._router.setsockopt(zmq.RCVTIMEO, int(PATIENCE_S * 1000))
        endpoint = f"ipc://{folder}/raw-{kind}"
        self._router.bind(endpoint)
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.settimeout(PATIENCE_S)
        with theirs:
            self._zygote = _script(
                "raw_zygote.py", str(theirs.fileno()), endpoint, kind, *join, pass_fds=(theirs.fileno(),)
            )
        self.pids: list[int] = []
        self._link.recv(16)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._link.close()
        self._zygote.kill()
        self._zygote.wait()
        self.kill_all()
        self._router.close()
        self._context.term()

    def start_one(self) -> float:
        """Seconds from the order to the hello."""
        began = time.perf_counter()
        self._link.send(b"fork")
        self._hear()
        return time.perf_counter() - began

    def start_many(self, count: int) -> None:
        """With up to 64 births under way."""
        ordered = heard = 0
        while heard < count:
            while ordered < count and ordered - heard < IN_FLIGHT:
                self._link.send(b"fork")
                ordered += 1
            self._hear()
            heard += 1

    def kill_all(self) -> None:
        for pid in self.pids:
            _kill(pid)
        self.pids = []

    def _hear(self) -> None:
        _, hello = self._router.recv_multipart()
        self.pids.append(int(hello))


def calls_us(folder: Path, join: list[str], count: int) -> list[float]:
    return [float(us) for us in _printed("raw_calls.py", str(folder), "".join(join), "calls", str(count))]


def calls_per_s(folder: Path, join: list[str], batches: int, each: int) -> float:
    return float(_printed("raw_calls.py", str(folder), "".join(join), "batches", str(batches), str(each)))


def weight_of(pid: int) -> list[str]:
    """The ``tasks`` file of the cgroup v1 that gives an agent its low cpu weight; empty where there is none."""
    own, entry = hierarchy.own_folders().get("cpu"), hierarchy.entries(pid).get("cpu")
    mine = hierarchy.entries().get("cpu", "")
    if own is None or entry is None or entry == mine:
        return []
    return [f"{own}{entry.removeprefix(mine.rstrip('/'))}/tasks"]


class RawCell:
    """A plain cgroup beside those of the host. ``OSError`` where none can be made."""

    def __init__(self) -> None:
        own = hierarchy.own_folders().get("")
        if own is None:
            raise OSError("no cgroup v2 is mounted that shows our own entry")
        self.folder = f"{own}/bench-{os.getpid()}"
        os.mkdir(self.folder)

    def kill_crowd_s(self, join: list[str], count: int) -> float:
        """Start ``count`` processes in it; seconds from the write to ``cgroup.kill`` until it is empty."""
        kernel.become_subreaper()  # so that what is killed is reaped here and by nobody slower
        crowd = _script("raw_crowd.py", str(count), f"{self.folder}/cgroup.procs", *join, stdout=subprocess.PIPE)
        assert crowd.stdout is not None
        pids = [int(pid) for pid in crowd.stdout.readline().split()]
        events = os.open(f"{self.folder}/cgroup.events", os.O_RDONLY)
        try:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            os.pread(events, 256, 0)
            began = time.perf_counter()
            hierarchy.write(f"{self.folder}/cgroup.kill", "1")
            while b"populated 1" in os.pread(events, 256, 0):
                poll.poll(1000)
            taken_s = time.perf_counter() - began
        finally:
            os.close(events)
            crowd.stdout.close()
            crowd.wait()
        for pid in pids:
            os.waitpid(pid, 0)
        return taken_s

    def close(self) -> None:
        hierarchy.write(f"{self.folder}/cgroup.kill", "1")
        deadline = time.monotonic() + PATIENCE_S
        while not hierarchy.try_remove(self.folder) and time.monotonic() < deadline:
            time.sleep(0.01)


def _script(name: str, *args: str, **options: Any) -> subprocess.Popen[bytes]:
    """Dies with us, whatever happens to us."""
    return subprocess.Popen(
        [sys.executable, str(HERE / name), *args],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: kernel.set_parent_death_signal(signal.SIGKILL),  # no thread of ours holds a lock
        **options,
    )


def _printed(name: str, *args: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(HERE / name), *args], check=True, stdout=subprocess.PIPE, timeout=PATIENCE_S
    )
    return json.loads(done.stdout)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
