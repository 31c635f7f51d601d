"""How a zygote begins: ``multiprocess`` has started it, and it becomes a fresh interpreter without ``multiprocess``.

That library brings dill and all that dill imports: 8 MB and a hundred mappings, which every fork would copy and every
agent would hold (measured: a fork of 1.3 ms instead of 0.5). Process, session, parent-death signal (prctl(2): kept over
execve(2)) and descriptors stay. What is told to the zygote travels in a memfd, for an environment may hold secrets and
arguments are for all to see.
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
from dataclasses import astuple
from typing import NoReturn

from multiprocess import util

from agenthost.launch.launcher import Release

_START = (
    "import marshal, sys; path, told = marshal.load(open(int(sys.argv.pop()), 'rb')); sys.path[:] = path; "
    "from agenthost.launch.zygote import begin; begin(*told)"
)


def main(link: socket.socket, page: int, host_pidfd: int, release: Release | None, runtime: str) -> NoReturn:
    """The target of ``spawn``; the arguments are those of ``zygote.main``."""
    fields = astuple(release) if release is not None else None
    told = (link.fileno(), page, host_pidfd, fields, runtime, sys.argv)
    memory = os.memfd_create("agenthost-zygote", 0)
    with open(memory, "wb", closefd=False) as file:
        marshal.dump((sys.path, told), file)
    os.lseek(memory, 0, os.SEEK_SET)
    for descriptor in (memory, link.fileno(), page, host_pidfd):
        os.set_inheritable(descriptor, True)
    flags = util._args_from_interpreter_flags()
    os.execv(sys.executable, [sys.executable, *flags, "-c", _START, str(memory)])
