"""Says over the birth socket that a long turn is alive, in a thread of its own; answers probes; interrupts the turn.

The thread starts with the first turn; from then on the birth socket is its. A short turn costs a few assignments: the
timer that wakes the thread is set only if it is not running yet, and is left to run out. So an agent under load wakes
its sentry once in ``beat_s``, an idle one never.

``_since``, ``_hand``, ``_armed`` and ``_open`` are shared without a lock. Under the interpreter lock each assignment is
seen in order. The turn sets ``_since`` before it looks at ``_armed``, the sentry clears ``_armed`` before it looks at
``_since``: so at least one of them sets the timer. The turn's end clears ``_since`` before it looks at ``_open``, the
sentry adds to ``_open`` before it looks at ``_since`` again: so each interruption is answered by one of them, and by
one only, for taking it out of the list is one step. A turn is known by its context, so no other can be hit.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable

from agenthost.agent.interruption import FIRST_AGAIN_MS, LAST_AGAIN_MS, Interruptible, Interruption
from agenthost.agent.progress import steps
from agenthost.agent.receiving import receive
from agenthost.agent.timer import clear_timer, make_timer, set_timer
from agenthost.errors import Overloaded, ProtocolError
from agenthost.protocol import birth
from agenthost.protocol.codec import encode, read_to_process

HOST_GONE = 69
"""Exit status of an agent whose host has gone (EX_UNAVAILABLE)."""
NO_MAIL = 0, 0
_PACKET_BYTES = 64 * 1024
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC


def say(sock: socket.socket, message: birth.FromProcess) -> None:
    """Send without ever waiting: a host that does not read loses a beat, not an agent."""
    try:
        sock.send(encode(message), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        pass  # full, or the host is gone: whoever reads the socket will see that


def give_streams(sock: socket.socket, number: int, descriptors: list[int]) -> None:
    """``Overloaded`` if the host does not take them now: its buffer is full, or too many descriptors are on their way
    (unix(7), ETOOMANYREFS)."""
    try:
        packet = encode(birth.Streams(id=number))
        socket.send_fds(sock, [packet], descriptors, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError as error:
        raise Overloaded(f"cannot give a tool its streams: {error.strerror}", hint="try again later") from None


class Sentry:
    """``begin`` and ``end`` around every turn. ``strike`` is called in the sentry's thread, until ``has_struck``."""

    def __init__(self, sock: socket.socket, beat_s: float, strike: Callable[[Interruption], None]) -> None:
        self._socket, self._beat_s, self._strike = sock, beat_s, strike
        self._since = 0.0
        self._hand: Interruptible | None = None
        """The context of the turn in hand, or of the last one."""
        self._turn = 0
        self._of: tuple[int, int] = NO_MAIL
        self._told = 0
        """The turn of which a beat was sent, 0 if none."""
        self._armed = False
        self._timer = -1
        self._open: list[Interruption] = []
        """Not answered yet."""
        self._is_reading = False
        """The thread has a packet in hand, or looks for one."""
        self.on_door: Callable[[int, int], None] = lambda number, descriptor: os.close(descriptor)
        """Gets the doors to the journal, in the thread that reads the birth socket."""
        self.on_budget: Callable[[birth.Budget], None] = lambda message: None
        """In the same thread."""

    @property
    def turn(self) -> int:
        """The number of the turn in hand, or of the last one."""
        return self._turn

    @property
    def has_told(self) -> bool:
        """A beat was sent of the turn in hand."""
        return self._told != 0

    @property
    def is_awake(self) -> bool:
        """True once the thread runs and reads the birth socket."""
        return self._timer >= 0

    # ---- the turn

    def begin(self, context: Interruptible, of: tuple[int, int] = NO_MAIL) -> None:
        """``of``: message and attempt of durable mail."""
        self._of = of
        self._turn += 1
        self._hand = context
        self._since = time.monotonic()
        if not self._armed:
            self._arm()

    def end(self) -> None:
        self._since = 0.0
        if self._told:
            self._told = 0
            say(self._socket, birth.Idle(turn=self._turn))
        while self._open:
            self._answer_one()

    def to_strike(self) -> Interruption | None:
        """What may strike the turn in hand now. To be called in the turn's own thread."""
        if self._since:
            for one in tuple(self._open):
                if one.context is self._hand and not one.has_struck:
                    return one
        return None

    def struck(self, one: Interruption) -> None:
        """It has, and all others of that turn with it."""
        for other in tuple(self._open):
            if other.context is one.context:
                other.has_struck = True

    def struck_by(self) -> Interruption | None:
        """What has struck the turn in hand."""
        return next((one for one in tuple(self._open) if one.has_struck and one.context is self._hand), None)

    def check(self) -> None:
        """``TurnInterrupted``: the author's code has returned though it was interrupted."""
        if (one := self.struck_by()) is not None:
            raise one.error()

    def catch_up(self) -> None:
        """``TurnInterrupted`` if an interruption of the turn in hand has come and has not struck. Its tools are killed
        right after it was sent, so what the handler ended with may be about them alone. Not over an exit."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while poll.poll(0) and self.hear():
            pass
        while self._is_reading:
            time.sleep(0.0002)  # the other thread has the packet, and needs the interpreter to act on it
        one = self.to_strike()
        if one is not None and not isinstance(sys.exception(), SystemExit | KeyboardInterrupt):
            self.struck(one)
            raise one.error() from None

    # ---- the birth socket

    def hear(self) -> bool:
        """Read one packet of the birth socket and act on it. False if an end of it is closed."""
        try:
            packet, descriptors = receive(self._socket, _PACKET_BYTES, _FLAGS)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not packet:
            return False
        self.obey(packet, descriptors)
        return True

    def obey(self, packet: bytes, descriptors: list[int]) -> None:
        try:
            message = read_to_process(packet)
        except ProtocolError:
            for descriptor in descriptors:
                os.close(descriptor)
            return  # a newer host may say more than we know
        if isinstance(message, birth.Door):
            self.on_door(message.number, descriptors[0])
        elif isinstance(message, birth.Probe):
            say(self._socket, birth.Alive(id=message.id))
        elif isinstance(message, birth.WantStack):
            from agenthost.agent.stack import all_stacks

            say(self._socket, birth.Stack(id=message.id, text=all_stacks()))
        elif isinstance(message, birth.Interrupt):
            self._interrupt(message)
        elif isinstance(message, birth.Budget):
            self.on_budget(message)
        elif isinstance(message, birth.Pace):
            self._beat_s = message.beat_s
            if self._since and self._armed:
                set_timer(self._timer, self._beat_s)

    def _interrupt(self, asked: birth.Interrupt) -> None:
        hand, since, turn = self._hand, self._since, self._turn
        if hand is None or not since or hand is not self._hand or asked.turn not in (0, turn):
            say(self._socket, birth.Interrupted(id=asked.id, in_turn=False))
            return
        one = Interruption(asked.id, asked.why, hand, since, asked.kind)
        self._open.append(one)
        if not self._is_in_hand(one):
            while self._open:  # its end may have missed it
                self._answer_one()
            return
        hand.interrupted = True
        self._strike(one)

    def _is_in_hand(self, one: Interruption) -> bool:
        return bool(self._since) and self._hand is one.context

    def _answer_one(self) -> None:
        try:
            one = self._open.pop(0)
        except IndexError:
            return  # the other thread was quicker
        busy_s = time.monotonic() - one.since
        say(self._socket, birth.Interrupted(id=one.id, in_turn=True, busy_s=busy_s, by_itself=not one.has_struck))

    # ---- the thread

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
        again_ms = FIRST_AGAIN_MS
        while True:
            waiting = self._first_waiting() if self._open else None
            if waiting is None:
                again_ms = FIRST_AGAIN_MS
            ready = poll.poll(None if waiting is None else again_ms)
            for fd, _ in ready:
                if fd == self._timer:
                    clear_timer(fd)
                    self._on_timer()
                elif not self._hear_here():
                    if self._socket.fileno() < 0:
                        return  # our own end: the process is about to end as it will
                    os._exit(HOST_GONE)  # nothing that is still to be said has a hearer
            if waiting is not None and not ready:
                again_ms = min(2 * again_ms, LAST_AGAIN_MS)
                if not waiting.has_struck and self._is_in_hand(waiting):
                    self._strike(waiting)

    def _hear_here(self) -> bool:
        self._is_reading = True
        try:
            return self.hear()
        finally:
            self._is_reading = False

    def _first_waiting(self) -> Interruption | None:
        return next((one for one in tuple(self._open) if not one.has_struck), None)

    def _on_timer(self) -> None:
        since, turn, of = self._since, self._turn, self._of
        if since:
            busy_s = time.monotonic() - since
            if busy_s >= self._beat_s:
                self._told = turn
                about = {"message": of[0], "attempt": of[1]}
                say(self._socket, birth.Beat(turn=turn, busy_s=busy_s, steps=steps.count, **about))
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
