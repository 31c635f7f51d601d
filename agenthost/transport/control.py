"""A peer's end of the control plane: one DEALER, and what it has said that is not yet answered. Blocking or polled.

Leaves the meaning of messages to its owner, who hands in encoded frames under keys of its choosing. Nothing here
blocks but ``wait_frame``. An asyncio owner uses ``make_dealer`` with a context of its own and ``Unanswered``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable

import zmq

from agenthost.protocol.limits import CONTROL_FRAMES, HOST_MESSAGE_BYTES, ROUTING_ID_BYTES
from agenthost.transport.unanswered import Unanswered

_QUEUE = 1000
"""Messages that wait in libzmq while nobody is connected; what does not fit is sent again later."""


def new_routing_id() -> bytes:
    """Random, so that nobody can take it over; the first bit is set because ids that begin with zero are libzmq's."""
    first, *rest = os.urandom(ROUTING_ID_BYTES)
    return bytes([first | 0x80, *rest])


def make_dealer(context: zmq.Context[zmq.Socket[bytes]], identity: bytes | None = None) -> zmq.Socket[bytes]:
    """A DEALER set up for the control plane, not yet connected.

    It keeps its routing id over reconnections, so the host can reach it after a restart of the router without having
    heard from it. IMMEDIATE stays 0: what is said before the connection stands waits in the queue.
    """
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.ROUTING_ID, identity or new_routing_id())
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.setsockopt(zmq.RECONNECT_IVL, 10)
    dealer.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    dealer.setsockopt(zmq.SNDHWM, _QUEUE)
    dealer.setsockopt(zmq.RCVHWM, _QUEUE)
    dealer.setsockopt(zmq.MAXMSGSIZE, HOST_MESSAGE_BYTES)
    return dealer


class ControlSocket:
    """Poll ``socket`` with others, or call ``wait_frame``. ``garbled`` counts messages that were not one frame."""

    def __init__(
        self,
        endpoint: str,
        identity: bytes | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.socket = make_dealer(context or zmq.Context.instance(), identity)
        self.socket.connect(endpoint)
        self.unanswered: Unanswered[Hashable, bytes] = Unanswered()
        self.garbled = 0

    def try_send(self, frame: bytes) -> bool:
        """Send once. False if the queue is full."""
        try:
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def ask(self, key: Hashable, frame: bytes) -> None:
        """Send, and send again by ``resend_due`` until ``answered(key)``."""
        self.unanswered.ask(key, frame, time.monotonic())
        self.try_send(frame)

    def answered(self, key: Hashable) -> bool:
        return self.unanswered.answered(key)

    def resend_due(self) -> float | None:
        """Repeat what is due. Returns the seconds until the next call is, None if nothing is open."""
        next_due = self.unanswered.next_due()
        if next_due is None:
            return None
        now = time.monotonic()
        if next_due <= now:
            for frame in self.unanswered.due(now):
                self.try_send(frame)
            next_due = self.unanswered.next_due() or now
        return max(0.0, next_due - now)

    def receive_nowait(self) -> bytes | None:
        """The next message, None if there is none."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            if len(frames) == CONTROL_FRAMES:
                return frames[0]
            self.garbled += 1

    def wait_frame(self, timeout_s: float | None = None) -> bytes | None:
        """The next message; None if ``timeout_s`` passed first. Repeats what is due meanwhile."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            frame = self.receive_nowait()
            if frame is not None:
                return frame
            pause_s = self.resend_due()
            if deadline is not None:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return None
                pause_s = left_s if pause_s is None else min(pause_s, left_s)
            # rounded up: poll(2) counts in ms, and 0 would spin
            self.socket.poll(None if pause_s is None else int(pause_s * 1000) + 1)

    def close(self, linger_s: float = 0.0) -> None:
        """``linger_s`` is how long libzmq may go on in the background to send what is queued."""
        self.socket.close(linger=int(linger_s * 1000))
