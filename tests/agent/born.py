"""A newborn agent without a zygote: the certificate on stdin, the birth socket inherited. Run by ``fake_host``."""

from __future__ import annotations

import os
import socket
import sys
import threading

import msgspec

from agenthost.agent.runtime import run
from agenthost.protocol.birth import Certificate


def main() -> None:
    birth_socket = socket.socket(fileno=int(sys.argv[1]))
    certificate = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Certificate)
    status = 70
    try:
        status = run(certificate, birth_socket)
        threading._shutdown()  # type: ignore[attr-defined]  # joins threads that are no daemons, as launch.child does
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


main()
