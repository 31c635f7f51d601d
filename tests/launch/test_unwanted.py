"""Descriptors from strangers: closing the last of them does not keep the host."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

from agenthost.launch import birth_socket

LINGER_S = 30


def lingering() -> tuple[socket.socket, socket.socket]:
    """Whoever closes the first one last waits ``LINGER_S`` for the second to read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(65536))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
    return ours, theirs


def test_a_socket_that_lingers_does_not_keep_who_did_not_want_it() -> None:
    host, process = birth_socket.pair()
    one, reader = lingering()
    with host, process, reader:
        socket.send_fds(process, [b"x"], [one.fileno()])
        one.close()
        began_at = time.monotonic()
        packet, pid = birth_socket.receive(host)
        assert time.monotonic() - began_at < LINGER_S / 2
    assert (packet, pid) == (b"x", os.getpid())


def test_descriptors_come_with_an_empty_packet_too() -> None:
    host, process = birth_socket.pair()
    with host, process, open(os.devnull) as null:
        socket.send_fds(process, [b""], [null.fileno()] * 20)
        came: list[int] = []
        assert birth_socket.receive(host, came) == (b"", None)
        assert len(came) == 20
        for descriptor in came:
            os.close(descriptor)
