"""An agent's end of its door to the journal (``protocol.mail``): what is asked there, until it is answered.

The door is asked of the host when it is needed first, or comes by itself because there is mail. When it closes (the
journal has ended) another is asked for, and what was not answered is said again. Whoever reads the birth socket hands
doors in, perhaps in another thread; all else is for the agent's own thread. Nothing here blocks but ``wait``.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from agenthost.agent.receiving import receive
from agenthost.agent.sentry import HOST_GONE, say
from agenthost.errors import JournalUnavailable, ProtocolError
from agenthost.protocol import birth, mail
from agenthost.protocol.codec import read_to_process
from agenthost.protocol.frames import Frames, framed

READ_BYTES = 256 * 1024
_PACKET_BYTES = 64 * 1024

_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(mail.FromJournal).decode


class Asked:
    """A request at the door. ``answer`` is None until there is one."""

    __slots__ = ("answer", "frame", "on_answer")

    def __init__(self, frame: bytes, on_answer: Callable[[Any], None] | None) -> None:
        self.frame, self.on_answer = frame, on_answer
        self.answer: Any = None


class Door:
    """``on_waiting`` is called when the journal says that there is mail. Desks set the callbacks about descriptors."""

    def __init__(self, birth_socket: socket.socket, on_waiting: Callable[[], None]) -> None:
        self._birth_socket, self._on_waiting = birth_socket, on_waiting
        self.sock: socket.socket | None = None
        self._frames = Frames(mail.MESSAGE_BYTES)
        self._out = bytearray()
        self._last_id = 0
        self._open: dict[int, Asked] = {}
        self._number = 0
        self._is_wanted = self._is_cut = False
        self._came: deque[tuple[int, int]] = deque()
        self._arrival = threading.Event()
        self.packets: list[bytes] = []
        """Read from the birth socket before there was anybody else to read it."""
        self.hear_birth: Callable[[], bool] = self._hear_early
        self.is_heard_elsewhere: Callable[[], bool] = lambda: False
        self.on_came: Callable[[int], None] = lambda descriptor: None
        """In the thread of whoever read it: this one can be adopted."""
        self.on_close: Callable[[int], None] = lambda descriptor: None
        self.on_blocked: Callable[[], None] = lambda: None
        """Not all could be sent: ``flush`` when there is room."""
        self.prefaces: list[Callable[[], bytes]] = []
        """What is said first at a new door."""

    # ---- asking

    def ask(self, make: Callable[[int], mail.FromAgent], on_answer: Callable[[Any], None] | None = None) -> Asked:
        self._last_id += 1
        asked = self._open[self._last_id] = Asked(framed(_encode(make(self._last_id))), on_answer)
        if self.sock is None:
            self.want()
        else:
            self._out += asked.frame
            self.flush()
        return asked

    def forget(self, asked: Asked) -> None:
        """It need not be said again; an answer that comes is dropped."""
        for number in [number for number, one in self._open.items() if one is asked]:
            del self._open[number]

    def tell(self, frames: bytes) -> None:
        """What is not answered; nothing where there is no door. Who does nothing else for long sees here that the
        journal has ended, or that a new door has come."""
        if self.sock is not None:
            self._out += frames
            self.flush()
            if self._is_cut:
                self.pump()
        if self._came:
            self.adopt()
        elif self.sock is None:
            self.want()

    @property
    def backlog_bytes(self) -> int:
        """What was said, and not sent yet."""
        return len(self._out)

    @property
    def is_busy(self) -> bool:
        """Something was asked and is not answered, or was said and has not left."""
        return bool(self._open or self._out)

    @property
    def is_blocked(self) -> bool:
        return bool(self._out)

    def want(self) -> None:
        if not self._is_wanted:
            self._is_wanted = True
            say(self._birth_socket, birth.WantDoor(had=self._number))

    # ---- the descriptor

    def came(self, number: int, descriptor: int) -> None:
        """In any thread."""
        self._came.append((number, descriptor))
        self._arrival.set()
        self.on_came(descriptor)

    def adopt(self) -> None:
        """The newest that came takes the place of the one we have; what is open is said there."""
        while self._came:
            number, descriptor = self._came.popleft()
            if number < self._number or any(newer > number for newer, _ in self._came):
                self.on_close(descriptor)
                os.close(descriptor)
                continue
            self._shut()
            self._number, self._is_wanted = number, False
            self.sock = socket.socket(fileno=descriptor)
            self.sock.setblocking(False)
            self._is_cut = False
            self._frames = Frames(mail.MESSAGE_BYTES)
            said_again = [one() for one in self.prefaces] + [asked.frame for asked in self._open.values()]
            self._out = bytearray().join(said_again)
        self.flush()

    def flush(self) -> None:
        while self._out and self.sock is not None:
            try:
                sent = self.sock.send(self._out, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self.on_blocked()
                return
            except OSError:
                self._is_cut = True  # its other end is closed, as reading tells
                return
            del self._out[:sent]

    def pump(self) -> None:
        """Act on what the journal has said."""
        while self.sock is not None:
            try:
                data = self.sock.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lose()
                return
            try:
                messages = [_read(frame) for frame in self._frames.feed(data)]
            except (ProtocolError, msgspec.DecodeError):
                self._lose()
                return
            for message in messages:
                self._hear(message)
            if len(data) < READ_BYTES:
                return

    def _hear(self, message: mail.FromJournal) -> None:
        if isinstance(message, mail.Waiting):
            self._on_waiting()
            return
        asked = self._open.pop(message.id, None)
        if asked is not None:
            asked.answer = message
            if asked.on_answer is not None:
                asked.on_answer(message)

    def _lose(self) -> None:
        self._shut()
        self.want()

    def _shut(self) -> None:
        if self.sock is not None:
            self.on_close(self.sock.fileno())
            self.sock.close()
            self.sock = None

    # ---- waiting

    def wait(self, asked: Asked, deadline: float) -> Any:
        """The answer. Everything else stands still meanwhile. ``JournalUnavailable`` after ``deadline``."""
        while asked.answer is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                self.forget(asked)
                raise JournalUnavailable(
                    "cannot reach the journal: it has not answered in time", hint="try again later"
                )
            elsewhere = self.is_heard_elsewhere()
            if self.sock is None and elsewhere:
                self._arrival.wait(left_s)
                self._arrival.clear()
            else:
                self._poll(left_s, elsewhere=elsewhere)
            if self._came:
                self.adopt()
        return asked.answer

    def _poll(self, left_s: float, *, elsewhere: bool) -> None:
        poll = select.poll()
        if not elsewhere:
            poll.register(self._birth_socket, select.POLLIN)
        if self.sock is not None:
            poll.register(self.sock, select.POLLIN | (select.POLLOUT if self._out else 0))
        for descriptor, events in poll.poll(min(left_s, 1.0 if elsewhere else left_s) * 1000 + 1):
            if descriptor == self._birth_socket.fileno():
                if not self.hear_birth():
                    os._exit(HOST_GONE)
            else:
                if events & select.POLLOUT:
                    self.flush()
                if events & ~select.POLLOUT:
                    self.pump()

    def _hear_early(self) -> bool:
        """Before there is a desk."""
        try:
            flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            packet, descriptors = receive(self._birth_socket, _PACKET_BYTES, flags)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not packet:
            return False
        if descriptors:
            message = read_to_process(packet)
            assert isinstance(message, birth.Door)
            self.came(message.number, descriptors[0])
        else:
            self.packets.append(packet)
        return True
