"""The host's end of the guardian's link, for fake hosts. Standard library only: any interpreter may run them."""

from __future__ import annotations

import os
import select
import socket

LINK_FD = int(os.environ["AGENTHOST_GUARDIAN_FD"])
FACTS = os.environ["FACTS"]
BEAT_S = 0.05

link = socket.socket(fileno=LINK_FD)


def say(text: str) -> None:
    link.send(text.encode())


def heard(timeout_s: float) -> str | None:
    """The next word, "" when the guardian has gone, or None."""
    readable, _, _ = select.select([link], [], [], timeout_s)
    return link.recv(1000).decode() if readable else None


def outer_pid() -> int:
    """Ours, as the guardian sees it."""
    proc = os.environ.get("AGENTHOST_OUTER_PROC_FD")
    return int(os.readlink("self", dir_fd=int(proc))) if proc else os.getpid()


def note(fact: str) -> None:
    """One line for the test to read; O_APPEND keeps lines of several processes whole."""
    fd = os.open(FACTS, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    os.write(fd, (fact + "\n").encode())
    os.close(fd)
