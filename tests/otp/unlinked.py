"""A child that cuts its ties to whoever started it: its standard descriptors, its birth socket, its group, its session.

    unlinked.py FOLDER plain|escaping

As a program it is ready, cuts, and waits; ``escaping`` leaves deaf daemons behind that have cut theirs as well. As an
agent (``Unlinked``) it cuts in its first turn, which never ends. What is cut is told by files in FOLDER: ``cut.PID``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

NUMBER_OF_DAEMONS = 2


def cut(folder: str, descriptors: list[int]) -> NoReturn:
    for fd in descriptors:
        os.close(fd)
    try:
        os.setsid()
    except PermissionError:  # it leads its group already, so no signal to another group reaches it
        pass
    with open(f"{folder}/cut.{os.getpid()}", "w"):
        pass
    while True:
        time.sleep(1000)


def all_descriptors() -> list[int]:
    with os.scandir("/proc/self/fd") as entries:
        found = [int(entry.name) for entry in entries]
    return [fd for fd in found if os.path.exists(f"/proc/self/fd/{fd}")]


def ties() -> list[int]:
    """Of an agent: its standard descriptors and what it was born with. libzmq aborts a process that closes its own."""
    return [0, 1, 2, *(fd for fd in all_descriptors() if fd > 2 and _is_packet_socket(fd))]


def _is_packet_socket(fd: int) -> bool:
    try:
        one = socket.socket(fileno=os.dup(fd))
    except OSError:
        return False
    with one:
        return one.type == socket.SOCK_SEQPACKET


def daemonize(folder: str) -> None:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        cut(folder, all_descriptors())
    os._exit(0)


def main() -> None:
    folder, how = sys.argv[1:]
    if how == "escaping":
        for _ in range(NUMBER_OF_DAEMONS):
            daemonize(folder)
    print("ready", flush=True)
    cut(folder, all_descriptors())


if __name__ == "__main__":
    main()
else:  # as a program it runs without site-packages, so without our library
    from agenthost import Agent

    class Unlinked(Agent):
        def handle(self, message: Any, ctx: Any) -> Any:
            cut(self.args["folder"], ties())


def cuts(folder: Path) -> int:
    """How many processes have cut their ties."""
    return sum(name.startswith("cut.") for name in os.listdir(folder))
