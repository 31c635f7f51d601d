"""Says over the birth socket that a long turn is alive, in a thread of its own, and answers probes.

The thread starts with the first turn; from then on the birth socket is its. A short turn costs two assignments: the
timer that wakes the thread is set only if it is not running yet, and is left to run out. So an agent under load wakes
its sentry once in ``beat_s``, an idle one never.

``_since`` and ``_armed`` are shared without a lock. Under the interpreter lock each assignment is seen in order: the
turn sets ``_since`` before it looks at ``_armed``, the sentry clears ``_armed`` before it looks at ``_since``; so
at least one of them sets the timer.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time

from agenthost.agent.timer import clear_timer, make_timer, set_timer
from agenthost.errors import ProtocolError
from agenthost.protocol import birth
from agenthost.protocol.codec import encode, read_to_process

HOST_GONE = 69
"""Exit status of an agent whose host has gone (EX_UNAVAILABLE)."""
_PACKET_BYTES = 64 * 1024


def answer_probe(sock: socket.socket) -> bool:
    """Read one packet of the birth socket and answer it. False if an end of it is closed."""
    try:
        packet = sock.recv(_PACKET_BYTES, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    if not packet:
        return False
    try:
        message = read_to_process(packet)
    except ProtocolError:
        return True  # a newer host may say more than we know
    if isinstance(message, birth.Probe):
        say(sock, birth.Alive(id=message.id))
    return True


def say(sock: socket.socket, message: birth.FromProcess) -> None:
    """Send without ever waiting: a host that does not read loses a beat, not an agent."""
    try:
        sock.send(encode(message), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        pass  # full, or the host is gone: whoever reads the socket will see that


class Sentry:
    """``begin`` and ``end`` around every turn."""

    def __init__(self, sock: socket.socket, beat_s: float) -> None:
        self._socket, self._beat_s = sock, beat_s
        self._since = 0.0
        self._turn = 0
        self._told = 0
        """The turn of which a beat was sent, 0 if none."""
        self._armed = False
        self._timer = -1

    @property
    def is_awake(self) -> bool:
        """True once the thread runs and reads the birth socket."""
        return self._timer >= 0

    def begin(self) -> None:
        self._turn += 1
        self._since = time.monotonic()
        if not self._armed:
            self._arm()

    def end(self) -> None:
        self._since = 0.0
        if self._told:
            self._told = 0
            say(self._socket, birth.Idle(turn=self._turn))

    def _arm(self) -> None:
        self._armed = True
        if self._timer < 0:
            self._timer = make_timer()
            threading.Thread(target=self._watch, name="sentry", daemon=True).start()
        set_timer(self._timer, self._beat_s)

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._timer, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._timer:
                    clear_timer(fd)
                    self._on_timer()
                elif not answer_probe(self._socket):
                    if self._socket.fileno() < 0:
                        return  # our own end: the process is about to end as it will
                    os._exit(HOST_GONE)  # nothing that is still to be said has a hearer

    def _on_timer(self) -> None:
        since, turn = self._since, self._turn
        if since:
            busy_s = time.monotonic() - since
            if busy_s >= self._beat_s:
                self._told = turn
                say(self._socket, birth.Beat(turn=turn, busy_s=busy_s))
                if self._turn != turn or not self._since:
                    # the turn ended between the look and the beat; its end may have missed that it was told
                    self._told = 0
                    say(self._socket, birth.Idle(turn=turn))
                busy_s = 0.0
            set_timer(self._timer, self._beat_s - busy_s)
            return
        self._armed = False
        if self._since and not self._armed:
            self._armed = True
            set_timer(self._timer, self._beat_s)
