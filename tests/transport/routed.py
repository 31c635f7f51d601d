"""A real router process for tests, and the host's end of its link, read without an event loop."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from agenthost.transport.framing import LinkEnd
from agenthost.transport.router import Bounds
from tests.waiting import wait_until

_PROGRAM = """
import json, resource, sys
order = json.loads(sys.argv[1])
if order["descriptors"]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (order["descriptors"],) * 2)
from agenthost.transport.router import Bounds, main
main(order["link"], order["endpoints"], Bounds(**order["bounds"]))
"""


class RoutedHost:
    """Plays the host: starts routers, keeps what they say. ``heard`` holds every message of the link."""

    def __init__(self, endpoints: list[tuple[str, int, list[int]]], descriptors: int = 0, **bounds: Any) -> None:
        self.order: dict[str, Any] = {"endpoints": endpoints, "descriptors": descriptors, "bounds": bounds}
        Bounds(**bounds)
        self.heard: list[list[Any]] = []
        self.start()

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            order = json.dumps({**self.order, "link": theirs.fileno()})
            self.process = subprocess.Popen([sys.executable, "-c", _PROGRAM, order], pass_fds=[theirs.fileno()])
        self.link = LinkEnd(ours)
        wait_until(self.is_listening, what="the router listens")

    def is_listening(self) -> bool:
        for path, _, _ in self.order["endpoints"]:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except OSError:
                    return False
        return True

    def read(self) -> list[list[Any]]:
        """Messages that have come since the last call; empty if the router has gone."""
        try:
            messages = self.link.try_receive() or []
        except ConnectionError:
            messages = []
        self.heard += messages
        return messages

    def send(self, peer: bytes, *frames: bytes) -> None:
        self.link.put(["out", peer, list(frames)])
        self.link.try_flush()

    def wait_sent(self) -> None:
        """Until the router has read all that was sent."""

        def sent() -> bool:
            self.link.try_flush()
            return self.link.backlog_bytes == 0

        wait_until(sent, what="the router reads on")

    def said(self, frame: bytes) -> list[Any] | None:
        """The last message of a peer that consists of ``frame``, if it has come."""
        self.read()
        return next((one for one in reversed(self.heard) if one[0] == "in" and one[4] == [frame]), None)

    def wait_said(self, frame: bytes, seconds: float = 40) -> list[Any]:
        return wait_until(lambda: self.said(frame), seconds, f"the host hears {frame!r}") or []

    def wait_word(self, word: str) -> list[Any]:
        def found() -> list[Any] | None:
            self.read()
            return next((one for one in self.heard if one[0] == word), None)

        return wait_until(found, what=f"the router says {word!r}") or []

    def counter(self, name: str) -> int:
        self.read()
        counters = [one[1] for one in self.heard if one[0] == "counters"]
        return int(counters[-1][name]) if counters else 0

    def kill_router(self) -> None:
        self.process.kill()
        self.process.wait()
        self.link.sock.close()

    def close(self) -> None:
        self.link.sock.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def routed(folder: Path, uids: list[int] | None = None, **options: Any) -> Iterator[RoutedHost]:
    """A router with one endpoint, ``folder``/control."""
    uids = [os.getuid()] if uids is None else uids
    host = RoutedHost([(str(folder / "control"), os.getuid(), uids)], **options)
    try:
        yield host
    finally:
        host.close()


@contextmanager
def dealer(path: Path | str, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """A raw DEALER with a context of its own, as a program in another language would have it."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sock = context.socket(zmq.DEALER)
    try:
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RECONNECT_IVL, 10)
        for name, value in options.items():
            sock.setsockopt(getattr(zmq, name), value)
        sock.connect(f"ipc://{path}")
        yield sock
    finally:
        sock.close()
        context.term()


def wait_message(sock: zmq.Socket[bytes], seconds: float = 40) -> bytes:
    assert sock.poll(int(seconds * 1000)), f"no message within {seconds} s"
    return sock.recv()
