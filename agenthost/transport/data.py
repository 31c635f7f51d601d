"""The sockets of the data plane: :class:`Door` is a callee's ROUTER, :class:`Links` are a caller's DEALERs.

They carry frames between ``zmq`` and the pure halves in ``callee`` and ``caller``, and never block. Who waits for them
to become readable is the business of whoever runs them.

pyzmq's Python layer is stepped over on the hot path: through the compiled base class a send and a receive of two frames
cost 0.5 us instead of 4 (measured, pyzmq 27.3).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import zmq

from agenthost.errors import UsageError
from agenthost.protocol.control import Lookup, Overdue
from agenthost.transport.callee import Callee
from agenthost.transport.caller import Call, Caller, Close, Doubt, Link, Look, Open, Send

MAX_BODY_BYTES = 64 * 2**20
_MAX_FRAMES = 4
"""More than any message has; the rest of a longer one is read and dropped."""
_NOW, _MORE_NOW, _RCVMORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE), int(zmq.RCVMORE)
_BACKLOG = 4096
_LINGER_MS = 1000
"""How long a closed door still delivers its last answers."""
_LAST_WORD_S = 1.0


def check_size(body: bytes) -> bytes:
    if len(body) > MAX_BODY_BYTES:
        raise UsageError(
            f"cannot send a body of {len(body)} bytes: at most {MAX_BODY_BYTES} fit in a message",
            hint="put it into a file and send its path",
        )
    return body


class Plug:
    """A ZeroMQ socket without pyzmq's Python layer."""

    __slots__ = ("_get", "_leads", "_recv", "_send", "socket")

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self._leads = socket.type == zmq.ROUTER  # something follows a routing id in any case: zmq_socket(3)
        compiled: Any = super(zmq.Socket, socket)
        self._send, self._recv, self._get = compiled.send, compiled.recv, compiled.get

    def is_readable(self) -> bool:
        """Cheaper than a receive that finds nothing (1.3 us, not 3: no exception), and says as much."""
        return bool(self._get(zmq.EVENTS) & zmq.POLLIN)

    def try_receive(self) -> list[bytes] | None:
        """The next message, None if there is none now."""
        receive, get = self._recv, self._get
        try:
            frames = [receive(_NOW)]
        except zmq.Again:
            return None
        if self._leads:
            frames.append(receive(_NOW))
        while get(_RCVMORE):
            frame = receive(_NOW)
            if len(frames) < _MAX_FRAMES:
                frames.append(frame)
        return frames

    def try_send(self, frames: list[bytes]) -> bool:
        """False if the peer's queue is full. Credit keeps the queue of an honest peer far from that."""
        send, left = self._send, len(frames)
        try:
            for frame in frames:
                left -= 1
                send(frame, _MORE_NOW if left else _NOW)
        except zmq.Again:
            return False
        return True


def _prepared(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.set(zmq.MAXMSGSIZE, MAX_BODY_BYTES + 65_536)
    socket.set(zmq.SNDHWM, 10_000)
    socket.set(zmq.RCVHWM, 10_000)
    return socket


class Door:
    """Where callers come in."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], callee: Callee, address: str) -> None:
        self.callee, self.address = callee, address
        self.socket = _prepared(context, zmq.ROUTER)
        self.socket.set(zmq.BACKLOG, _BACKLOG)
        self.socket.set(zmq.LINGER, _LINGER_MS)
        self.socket.bind(address)
        self._plug = Plug(self.socket)
        self.is_drained = False
        """Nothing was there to receive after the last send: its descriptor will tell of the next message."""

    def pump(self, now: float, most: int = 1000) -> int:
        """Let in what has arrived, at most ``most`` messages; returns how many."""
        receive, callee = self._plug.try_receive, self.callee
        count = 0
        if not self.is_drained and not self._plug.is_readable():
            self.is_drained = True
            return 0
        while count < most:
            frames = receive()
            if frames is not None:
                callee.receive(frames, now)
                count += 1
            elif callee.out:
                self.flush()
            else:
                self.is_drained = True
                return count
        self.flush()
        return count

    def pump_one(self, now: float) -> None:
        """Let in one message, if there is one."""
        frames = self._plug.try_receive()
        if frames is None:
            self.is_drained = True
            return
        self.is_drained = False
        self.callee.receive(frames, now)
        if self.callee.out:
            self.flush()

    def flush(self) -> None:
        """Say what the callee has to say. To a peer that has gone or reads nothing, nothing is said (zmq_socket(3))."""
        out, send = self.callee.out, self._plug.try_send
        for frames in out:
            send(frames)
        out.clear()
        self.is_drained = False

    def close(self) -> None:
        """libzmq leaves the socket's file behind (4.3.5)."""
        self.socket.close()
        try:
            os.unlink(self.address.removeprefix("ipc://"))
        except OSError:
            pass  # the host was quicker


class Links:
    """The connections of a caller. ``look`` gets a Lookup to send, and again until it is answered; ``say`` what may be
    lost."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        caller: Caller,
        look: Callable[[Lookup], None],
        say: Callable[[Overdue], None],
    ) -> None:
        self.caller = caller
        self.on_open: Callable[[zmq.Socket[bytes], Link], None] = lambda socket, link: None
        self.on_close: Callable[[zmq.Socket[bytes]], None] = lambda socket: None
        self.undrained: set[Link] = set()
        """Something was sent since nothing was left to receive: the descriptor may not tell of what comes next."""
        self._context, self._look, self._say = context, look, say
        self._plugs: dict[Link, Plug] = {}

    def flush(self) -> None:
        """Carry out what the caller wants. What fails, for want of descriptors, is tried again by the next flush."""
        out, done = self.caller.out, 0
        try:
            for action in out:
                if type(action) is Send:
                    self._plugs[action.link].try_send(action.frames)
                    self.undrained.add(action.link)
                elif type(action) is Look:
                    self._look(Lookup(id=action.id, path=action.path, inc=self.caller.inc))
                elif type(action) is Open:
                    self._open(action.link, action.address)
                elif type(action) is Close:
                    self._close(action.link)
                elif type(action) is Doubt:
                    self._say(Overdue(path=action.path, callee=action.inc, inc=self.caller.inc))
                done += 1
        finally:
            del out[:done]  # what was sent is not sent twice

    def pump(self, link: Link, now: float, awaited: Call | None = None) -> bool:
        """Hear what the callee has said, and go on with what that sets free, until nothing is left to receive.

        Whoever waits for one call saves the receive that finds nothing: it ends with the outcome of ``awaited``.
        False if nothing was heard.
        """
        plug = self._plugs.get(link)
        if plug is None:
            return False
        receive, hear, out = plug.try_receive, self.caller.receive, self.caller.out
        heard = False
        while True:
            frames = receive()
            if frames is None:
                self.undrained.discard(link)
                return heard
            heard = True
            hear(link, frames, now)
            if out:
                self.flush()
                if link not in self._plugs:
                    return True  # what it said ended the link
            if awaited is not None and awaited.outcome is not None:
                return True

    def drain(self, now: float, awaited: Call | None = None) -> bool:
        """Pump every link that something was sent over; True if anything was heard."""
        heard = False
        for link in tuple(self.undrained):
            plug = self._plugs.get(link)
            if plug is not None and plug.is_readable():
                heard |= self.pump(link, now, awaited)
            else:
                self.undrained.discard(link)
        return heard

    def down(self, path: str, inc: str, reason: str, now: float, *, asleep: bool = False) -> None:
        """An incarnation has ended. What it said before counts: it is heard first. Of one that has fallen ``asleep``
        that is its last word, which lies in the socket already, but for a peer that had not read for long."""
        link = self.caller.link_to(path, inc)
        if link is not None:
            if link not in self._plugs:
                self.flush()  # Found was heard in the same breath, and its socket is not open yet
            self.pump(link, now)
            if asleep and link in self._plugs:
                self._await_last_word(link)
                if link in self._plugs:
                    self.caller.fell_asleep(link, all_told=False)
                    self.flush()
            elif link in self._plugs:
                self.caller.down(link, reason)
                self.flush()

    def _await_last_word(self, link: Link) -> None:
        """For as long as it takes libzmq's own thread to read it."""
        deadline = time.monotonic() + _LAST_WORD_S
        while any(call.outcome is None for call in link.open.values()):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._plugs[link].socket.poll(int(left_s * 1000) + 1):
                return
            self.pump(link, time.monotonic())
            if link not in self._plugs:
                return

    def socket(self, link: Link) -> zmq.Socket[bytes] | None:
        plug = self._plugs.get(link)
        return plug.socket if plug is not None else None

    def close(self) -> None:
        for plug in self._plugs.values():
            self.on_close(plug.socket)
            plug.socket.close(0)
        self._plugs.clear()

    def _open(self, link: Link, address: str) -> None:
        socket = _prepared(self._context, zmq.DEALER)
        socket.set(zmq.LINGER, 0)
        socket.connect(address)
        self._plugs[link] = Plug(socket)
        self.on_open(socket, link)

    def _close(self, link: Link) -> None:
        plug = self._plugs.pop(link, None)
        self.undrained.discard(link)
        if plug is not None:
            self.on_close(plug.socket)
            plug.socket.close(0)
