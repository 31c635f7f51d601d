"""The interface of launch: how a process is born. Implemented by ``zygotes``.

The host never forks. A zygote, started through ``multiprocess``, has imported a release and only forks; the bare
zygote has imported nothing and births programs. By CLONE_PARENT every agent is a child of the host.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Protocol

from agenthost.containment.cell import CellOrder
from agenthost.launch.account import Account
from agenthost.launch.slate import Slate
from agenthost.protocol.birth import Certificate


@dataclass(frozen=True, slots=True)
class Release:
    """What a zygote is for. ``modules`` are imported by it: "package.module" or an absolute "path/file.py"."""

    modules: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    """Put before ``sys.path``: the folder of the config file."""
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    account: Account | None = None
    """Who imports and runs it; None is the host's own user."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to exec. ``argv[0]`` is looked up in the ``PATH`` of ``env``, as execvp(3) does."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    account: Account | None = None
    """Who runs it; None is the host's own user."""


@dataclass(frozen=True, slots=True)
class Rlimits:
    """(resource number, soft, hard) as setrlimit(2) takes them."""

    values: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """One birth. Exactly one of ``release`` with ``certificate``, or ``program``, is set.

    ``stdout``, ``stderr`` and ``stdin`` are descriptors of the host that the launcher does not close; None is
    /dev/null. ``hold``: the process waits for ``Go`` on its birth socket before foreign code runs.
    """

    path: str
    incarnation: str
    cell: CellOrder
    stdout: int
    stderr: int
    release: Release | None = None
    certificate: Certificate | None = None
    program: Program | None = None
    rlimits: Rlimits = Rlimits()
    no_new_privileges: bool = True
    hold: bool = False
    stdin: int | None = None
    private: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    """Variables that are set in the newborn alone: its zygote never has them."""
    files: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    """Variables that get the path of a file in memory with this content."""
    terminal: bool = False
    """``stdin`` is a terminal, which becomes its controlling one."""
    ready: tuple[int, int] | None = None
    """(descriptor of the host, the number that the program finds it under)."""


@dataclass(slots=True)
class Born:
    """A process that exists. ``pid`` as the host sees it; ``start_time`` is field 22 of /proc/PID/stat, in ticks."""

    pid: int
    pidfd: int
    start_time: int
    birth_socket: socket.socket = field(repr=False)
    code: str = ""
    """Digest of the code it runs, as ``ps`` shows it with its zygote; empty for a program."""
    slate: Slate | None = None
    """Where it leaves its stack when it cannot be asked for it; None of a program."""


class Launcher(Protocol):
    async def birth(self, order: Order) -> Born:
        """Raises ``StartFailed``, with ``permanent`` True and the traceback if the release does not import."""

    async def close(self) -> None:
        """End all zygotes."""
