"""A reader of one session of a running host, on the wire (``protocol/sessions.py``): no client of ours between."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from agenthost.errors import AgenthostError
from agenthost.protocol import sessions as say
from agenthost.protocol.frames import Frames, framed
from tests.host.running import PATIENCE_S, Running
from tests.journal.screen import Screen

_encode = msgspec.msgpack.encode
_read = msgspec.msgpack.Decoder(say.ToReader).decode
Fact = TypeVar("Fact")


class Onlooker:
    """What it sees is on its ``screen``; it comes again, from where it was, when its connection ends."""

    def __init__(self, host: Running, path: str, name: str = "") -> None:
        self._host, self._path, self._name = host, path, name
        self.screen = Screen()
        self._sock: socket.socket | None = None
        self.comes = 0

    def say(self, *words: say.FromReader) -> None:
        assert self._sock is not None
        self._sock.sendall(b"".join(framed(_encode(word)) for word in words))

    def wait(self, fact: Callable[[Screen], Fact], what: str) -> Fact:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := fact(self.screen)):
            assert time.monotonic() < deadline, f"not seen: {what}; {self.screen.heard[-5:]}"
            self._look()
        return found

    def wait_entries(self, count: int) -> list[say.Entry]:
        self.wait(lambda screen: len(screen.entries) >= count, f"{count} entries")
        return self.screen.entries

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _look(self) -> None:
        try:
            if self._sock is None:
                self._come()
            assert self._sock is not None
            data = self._sock.recv(1 << 16)
        except TimeoutError:
            return
        except (OSError, AgenthostError):
            data = b""
            time.sleep(0.02)  # there is no journal, or no host
        if not data:
            self.close()
            return
        for frame in self._frames.feed(data):
            self.screen.hear(_read(frame))

    def _come(self) -> None:
        way = self._host.client.request("attach", {"path": self._path}, 5.0)
        self.comes += 1
        self._frames = Frames(say.MESSAGE_BYTES)
        self.screen.parts.clear()
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(0.05)
        self._sock.connect(way["address"])
        self.say(say.Hello(way["ticket"]), say.Follow(1, self._path, self.screen.last_seq, self._name))


def shown(entries: list[say.Entry]) -> list[tuple[str, Any, int, bool]]:
    """(type, fields, attempt, broken)."""
    return [(one.type, msgspec.msgpack.decode(one.body), one.attempt, one.broken) for one in entries]
