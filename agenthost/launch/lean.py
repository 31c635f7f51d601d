"""How a zygote begins: ``multiprocess`` has started it, and it becomes a fresh interpreter without ``multiprocess``.

That library brings dill and all that dill imports: 8 MB and a hundred mappings, which every fork would copy and every
agent would hold (measured: a fork of 1.3 ms instead of 0.5). Process, session, parent-death signal (prctl(2): kept over
execve(2)) and descriptors stay. What is told to the zygote travels in a memfd, for an environment may hold secrets and
arguments are for all to see.

Here a zygote becomes another user: the author's code is imported by nobody else, and what the execve makes anew (whose
files in /proc are, who may not trace it) is that user's.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import socket
import sys
from dataclasses import astuple
from typing import NoReturn

import msgspec
from multiprocess import util

from agenthost import kernel
from agenthost.launch.account import Account, become
from agenthost.launch.inheritance import exit_if_dead
from agenthost.launch.launcher import Release
from agenthost.launch.orders import ImportFailed

_START = (
    "import marshal, sys; path, told = marshal.load(open(int(sys.argv.pop()), 'rb')); sys.path[:] = path; "
    "from agenthost.launch.zygote import begin; begin(*told)"
)


def main(
    link: socket.socket,
    page: int,
    host_pidfd: int,
    slate: int | None,
    release: Release | None,
    runtime: str,
    lifted: int = 0,
) -> NoReturn:
    """The target of ``spawn``; the arguments are those of ``zygote.main``. ``lifted``: the host's nice value was
    lowered by so much, which is not for zygotes and agents."""
    if lifted:
        os.nice(lifted)
    kernel.try_set_oom_score(OOM_SCORE)
    environment = dict(os.environ)
    if release is not None and release.account is not None:
        environment = release.account.environment(environment)
        _become(release.account, link, host_pidfd)
    fields = astuple(release) if release is not None else None
    told = (link.fileno(), page, host_pidfd, slate, fields, runtime, sys.argv)
    memory = os.memfd_create("agenthost-zygote", 0)
    with open(memory, "wb", closefd=False) as file:
        marshal.dump((sys.path, told), file)
    os.lseek(memory, 0, os.SEEK_SET)
    for descriptor in (memory, link.fileno(), page, host_pidfd, *(() if slate is None else (slate,))):
        os.set_inheritable(descriptor, True)
    flags = util._args_from_interpreter_flags()
    os.execve(sys.executable, [sys.executable, *flags, "-c", _START, str(memory)], environment)


OOM_SCORE = 500
"""Of a zygote and all it forks: the kernel's out-of-memory killer takes them before it takes the host."""


def _become(account: Account, link: socket.socket, host_pidfd: int) -> None:
    """Or tell the host why not, and end."""
    needed = [sys.executable, os.__file__, kernel.__file__, msgspec.__file__, _file_of("zmq")]  # found while we may
    try:
        become(account.uid, account.gid, account.groups)
    except OSError as error:
        why = f"cannot become user {account.name}: {error.strerror}"
        _refuse(link, why, "the host must be root, in no user namespace")
    exit_if_dead(host_pidfd)
    for file in needed:
        if not os.access(file, os.R_OK):
            why = f"cannot run Python as user {account.name}: {file} is not open to that user"
            _refuse(link, why, "install agenthost, and the Python it runs with, where every user may read them")


def _file_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    return (spec and spec.origin) or ""


def _refuse(link: socket.socket, error: str, hint: str) -> NoReturn:
    link.send(msgspec.msgpack.encode(ImportFailed(error=error, trace="", hint=hint)))
    os._exit(1)
