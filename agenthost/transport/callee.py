"""The callee's half of the data plane: who may speak, what is open, what waits for its turn.

Pure: frames in, frames out, ``now`` is an argument; ``data`` owns the socket. Messages go into one bounded queue in the
order of their arrival, whoever sent them. The rule it keeps: every Call that was let in is answered exactly once, and
nothing of a peer without an announced ticket gets past :meth:`Callee.receive`.
"""

from __future__ import annotations

from collections import deque

from agenthost.errors import ProtocolError
from agenthost.protocol import data
from agenthost.protocol.codec import encode, read_from_caller
from agenthost.version import PROTOCOL

Frames = list[bytes]

MAX_QUEUED = 1_000
"""Messages that may wait for their turn; the next one is answered ``overloaded``."""
MAX_QUEUED_BYTES = 256 * 2**20
MAX_TICKETS = 16_384
"""Announced tickets nobody has used yet; the oldest are forgotten."""
MAX_PEERS = 8_192
"""ZeroMQ does not say that a peer has gone; beyond this number the longest silent ones are forgotten."""


_ASLEEP = encode(data.Asleep())

WAITING, IN_HAND, DROPPED = range(3)
"""States of a turn."""


class Peer:
    """One connection that said a good Hello."""

    __slots__ = ("caller", "inc", "last_heard", "open", "ticket")

    def __init__(self, caller: str, inc: str, ticket: bytes) -> None:
        self.caller, self.inc, self.ticket = caller, inc, ticket
        self.open: dict[int, Turn] = {}
        self.last_heard = 0.0


class Turn:
    """A message that waits to be handled, or is. ``routing_id`` leads its answer back."""

    __slots__ = ("body", "deadline", "id", "is_call", "peer", "routing_id", "state")

    def __init__(
        self, peer: Peer, routing_id: bytes, number: int, body: bytes, deadline: float | None, is_call: bool
    ) -> None:
        self.peer, self.routing_id, self.id, self.body = peer, routing_id, number, body
        self.deadline, self.is_call = deadline, is_call
        self.state = WAITING


class Callee:
    """Put what :attr:`out` holds on the socket after every method that says so, and clear it."""

    def __init__(
        self, inc: str, credit: int = 64, max_queued: int = MAX_QUEUED, max_queued_bytes: int = MAX_QUEUED_BYTES
    ) -> None:
        self.inc, self.credit = inc, credit
        self.max_queued, self.max_queued_bytes = max_queued, max_queued_bytes
        self.out: list[Frames] = []
        """Messages to send, each with its routing id in front."""
        self.garbage = 0
        """Messages that were malformed or came from a stranger."""
        self.closing = ""
        """Why nothing is let in any more; empty while open."""
        self._tickets: dict[bytes, tuple[str, str]] = {}
        self._used: dict[bytes, None] = {}
        self._peers: dict[bytes, Peer] = {}
        self._queue: deque[Turn] = deque()
        self._queued = 0
        self._queued_bytes = 0
        self._is_asleep = False

    @property
    def queued(self) -> int:
        """Messages that wait for their turn."""
        return self._queued

    def expect(self, ticket: bytes, caller: str, caller_inc: str) -> None:
        """The host announced a caller. Said twice, it counts once, also when the ticket is already used."""
        if ticket in self._used:
            return
        self._tickets[ticket] = (caller, caller_inc)
        if len(self._tickets) > MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]

    def receive(self, frames: Frames, now: float) -> None:
        """One message of the socket; ``frames[0]`` is the routing id. Fills ``out``."""
        routing_id = frames[0]
        try:
            message = read_from_caller(frames[1] if len(frames) > 1 else b"")
        except ProtocolError as error:
            self._refuse(routing_id, str(error))
            return
        if self._is_asleep:
            self.out.append([routing_id, _ASLEEP])
            return
        peer = self._peers.get(routing_id)
        kind = type(message)
        if kind is data.Hello:
            self._greet(routing_id, message, now)  # type: ignore[arg-type]
            return
        if peer is None:
            self._refuse(routing_id, "the first message must be Hello with a ticket from the host")
            return
        peer.last_heard = now
        if kind is data.Cancel:
            self._cancel(peer, message.id)  # type: ignore[union-attr]
        elif len(frames) != 3:
            self._refuse(routing_id, f"a Call or Cast has one body frame, this has {len(frames) - 2}")
        else:
            self._let_in(peer, routing_id, message, frames[2], now)  # type: ignore[arg-type]

    def take(self, now: float) -> Turn | None:
        """The next message to handle. What was cancelled or is past its deadline is passed over. May fill ``out``."""
        queue = self._queue
        while queue:
            turn = queue.popleft()
            if turn.state is DROPPED:
                continue
            turn.state = IN_HAND
            self._queued -= 1
            self._queued_bytes -= len(turn.body)
            if turn.deadline is not None and turn.deadline <= now:
                self.fail(turn, "timed_out", "its deadline passed before its turn came")
                continue
            return turn
        return None

    def reply(self, turn: Turn, body: bytes) -> None:
        """Answer a Call; for a Cast nothing is said. Fills ``out``."""
        if turn.is_call and turn.peer.open.pop(turn.id, None) is turn:
            self.out.append([turn.routing_id, encode(data.Reply(id=turn.id)), body])

    def fail(self, turn: Turn, code: str, why: str, trace: str = "") -> None:
        """Answer a Call with an error; for a Cast nothing is said. Fills ``out``."""
        if turn.is_call and turn.peer.open.pop(turn.id, None) is turn:
            self._say_error(turn.routing_id, turn.id, code, why, trace, unhandled=turn.state is WAITING)

    def close(self, why: str) -> int:
        """Let nothing in any more and answer what waits. Returns how many Casts were dropped. Fills ``out``."""
        self.closing = why
        lost = 0
        for turn in self._queue:
            if turn.state is WAITING:
                lost += not turn.is_call
                self.fail(turn, "not_running", why)
        self._queue.clear()
        self._queued = self._queued_bytes = 0
        return lost

    def fall_asleep(self) -> None:
        """Let nothing in any more, and tell each peer so. Nothing may wait, or be in hand. Fills ``out``."""
        self.closing, self._is_asleep = "it has fallen asleep", True
        self.out.extend([routing_id, _ASLEEP] for routing_id in self._peers)

    # ---- what the messages do

    def _greet(self, routing_id: bytes, hello: data.Hello, now: float) -> None:
        peer = self._peers.get(routing_id)
        if peer is not None and peer.ticket == hello.ticket:
            pass  # it repeats itself
        elif hello.protocol != PROTOCOL:
            self._refuse(routing_id, f"this is protocol {PROTOCOL}, not {hello.protocol}")
            return
        elif self._tickets.get(hello.ticket) != (hello.caller, hello.inc):
            self._refuse(routing_id, "this ticket was not announced by the host, or is used")
            return
        else:
            del self._tickets[hello.ticket]
            self._used[hello.ticket] = None
            if len(self._used) > MAX_TICKETS:
                del self._used[next(iter(self._used))]
            peer = self._peers[routing_id] = Peer(hello.caller, hello.inc, hello.ticket)
            peer.last_heard = now
            if len(self._peers) > MAX_PEERS:
                self._forget_the_silent()
        self.out.append([routing_id, encode(data.Accepted(inc=self.inc, credit=self.credit))])

    def _let_in(self, peer: Peer, routing_id: bytes, message: data.Call | data.Cast, body: bytes, now: float) -> None:
        number = message.id
        if number in peer.open:
            self._refuse(routing_id, f"message {number} is already open")
            return
        if self.closing:
            self._say_error(routing_id, number, "not_running", self.closing, unhandled=True)
            return
        if len(peer.open) >= self.credit or self._queued >= self.max_queued:
            why = f"{self._queued} messages wait there already"
            self._say_error(routing_id, number, "overloaded", why, unhandled=True)
            return
        if self._queued_bytes + len(body) > self.max_queued_bytes:
            why = f"{self._queued_bytes} bytes wait there already"
            self._say_error(routing_id, number, "overloaded", why, unhandled=True)
            return
        if type(message) is data.Call:
            left_ms = message.left_ms
            turn = Turn(peer, routing_id, number, body, None if left_ms is None else now + left_ms / 1000, True)
            peer.open[number] = turn
        else:
            turn = Turn(peer, routing_id, number, body, None, False)
            self.out.append([routing_id, encode(data.Took(id=number))])
        self._queue.append(turn)
        self._queued += 1
        self._queued_bytes += len(body)

    def _cancel(self, peer: Peer, number: int) -> None:
        turn = peer.open.get(number)
        if turn is not None and self._drop(turn):
            self.fail(turn, "timed_out", "cancelled by its caller")

    def _drop(self, turn: Turn) -> bool:
        """A waiting turn will be passed over; False if it is already in hand."""
        if turn.state is not WAITING:
            return False
        turn.state = DROPPED
        self._queued -= 1
        self._queued_bytes -= len(turn.body)
        turn.body = b""
        if len(self._queue) > 2 * self._queued + 64:
            self._queue = deque(turn for turn in self._queue if turn.state is WAITING)
        return True

    def _refuse(self, routing_id: bytes, why: str) -> None:
        """Answer garbage. A peer that sends it is a stranger from here on: its book-keeping cannot be trusted."""
        self.garbage += 1
        peer = self._peers.pop(routing_id, None)
        if peer is not None:
            for turn in peer.open.values():
                self._drop(turn)
            peer.open.clear()
        self.out.append([routing_id, encode(data.Closed(why=why))])

    def _say_error(
        self, routing_id: bytes, number: int, code: str, why: str, trace: str = "", *, unhandled: bool = False
    ) -> None:
        error = data.Error(id=number, code=code, why=why, trace=trace, unhandled=unhandled)
        self.out.append([routing_id, encode(error)])

    def _forget_the_silent(self) -> None:
        idle = sorted((peer.last_heard, routing_id) for routing_id, peer in self._peers.items() if not peer.open)
        for _, routing_id in idle[: len(idle) // 2]:
            del self._peers[routing_id]
