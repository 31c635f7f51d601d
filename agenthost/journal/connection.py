"""A reader's connection: what was read of it and not heard, what it was told and has not read."""

from __future__ import annotations

import select
import socket
from collections import deque

from agenthost.journal.watched import Follow
from agenthost.protocol import sessions as say
from agenthost.protocol.frames import Frames

ROOM_BYTES = 1024 * 1024
"""Who has not read so much gets no more until he has read it."""


class Connection:
    """``who`` is empty until a ticket was said. ``words`` were read, and are not heard yet. ``spoken`` collects
    connections that have something to send."""

    __slots__ = ("follows", "frames", "is_closed", "mask", "out", "since_s", "sock", "spoken", "who", "words")

    def __init__(self, sock: socket.socket, now_s: float, spoken: dict[Connection, None]) -> None:
        self.sock, self.since_s, self.spoken = sock, now_s, spoken
        self.frames = Frames(say.READER_BYTES)
        self.words: deque[say.FromReader] = deque()
        self.out = bytearray()
        self.who = ""
        self.follows: dict[int, Follow] = {}
        self.mask = select.EPOLLIN
        self.is_closed = False

    @property
    def has_room(self) -> bool:
        return len(self.out) < ROOM_BYTES and not self.is_closed

    def say(self, frame: bytes) -> None:
        if not self.is_closed:
            self.out += frame
            self.spoken[self] = None
