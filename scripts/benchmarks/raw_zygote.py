"""The bare mechanism that starts are measured against: fork, open a blocking DEALER, say hello. Runs as a script.

``raw_zygote.py LINK_FD ENDPOINT sync|async [TASKS]``: each packet on the link is one fork. Children join the cgroup of
TASKS, to have the cpu weight that agents have; else nothing is contained, logged, limited or waited for. A zygote's
child that does less than this cannot be heard over ZeroMQ.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from typing import NoReturn

import zmq


def main() -> None:
    link, endpoint, kind = socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3]
    if kind == "async":
        import asyncio  # noqa: F401  # for the children

        import zmq.asyncio  # noqa: F401
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    gc.collect()
    gc.freeze()
    link.send(b"ready")
    while link.recv(16):
        if os.fork() == 0:
            link.close()
            join(sys.argv[4:])
            if kind == "async":
                be_async(endpoint)
            be_sync(endpoint)


def join(tasks: list[str]) -> None:
    for file in tasks:
        descriptor = os.open(file, os.O_WRONLY)
        os.write(descriptor, b"0")
        os.close(descriptor)


def be_sync(endpoint: str) -> NoReturn:
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.connect(endpoint)
    dealer.send(b"%d" % os.getpid())
    dealer.recv()
    os._exit(0)


def be_async(endpoint: str) -> NoReturn:
    import asyncio

    import zmq.asyncio

    async def live() -> None:
        dealer = zmq.asyncio.Context().socket(zmq.DEALER)
        dealer.connect(endpoint)
        await dealer.send(b"%d" % os.getpid())
        await dealer.recv()

    asyncio.run(live())
    os._exit(0)


if __name__ == "__main__":
    main()
