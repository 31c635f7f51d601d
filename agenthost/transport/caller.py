"""The caller's half of the data plane: look-ups, greetings, credit, and calls that wait for their outcome.

Pure: what arrives comes in by methods, what is to be done lies in :attr:`Caller.out`; ``links`` owns the sockets. There
is one :class:`Link` per callee, made by the first message to it, gone when the callee has ended. The rules it keeps:
every Call gets exactly one outcome, and messages to one callee leave in the order in which they were asked for.
A deadline that passes is a fact of whoever waits: it says :meth:`Caller.abandon`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from agenthost.errors import AgenthostError, Down, HandlerFailed, ProtocolError, TimedOut, from_wire
from agenthost.protocol import control, data
from agenthost.protocol.codec import encode, read_from_callee, unpack_body

LOOKING, GREETING, OPEN, ENDED = range(4)
"""States of a link: asked the host; said Hello; accepted; the callee or the connection is gone."""

MAX_LINKS = 256
"""Each costs two descriptors, of which there often are 1,024. Beyond this number the link that was used longest ago and
has nothing open is closed; while all have, further look-ups wait."""

EARLY_CREDIT = 1
"""Messages that may be sent before the callee has said Accepted."""
_FOR_EVER_S = 1e9
"""A deadline that is so far away, also ``math.inf``, is none; an integer of MessagePack has 64 bits."""

TOOK: Final = b"\xc0"
"""The outcome of a Cast that is in the callee's mailbox: nil as a body."""


class Call:
    """One message and what became of it. ``outcome`` is None, the reply's body (``TOOK`` for a Cast), or an error."""

    __slots__ = ("body", "deadline", "id", "is_call", "is_had", "link", "on_outcome", "outcome")

    def __init__(
        self, number: int, link: Link, body: bytes, deadline: float | None, is_call: bool, on_outcome: OnOutcome
    ) -> None:
        self.id, self.link, self.body, self.deadline, self.is_call = number, link, body, deadline, is_call
        self.outcome: bytes | AgenthostError | None = None
        self.is_had = False
        """The callee may have had it: it has left, and was not given back."""
        self.on_outcome = on_outcome

    def decoded(self) -> Any:
        """The outcome with its body decoded; errors, also those of decoding, are returned."""
        outcome = self.outcome
        if isinstance(outcome, bytes):
            try:
                return unpack_body(outcome)
            except ProtocolError as error:
                return error
        return outcome


OnOutcome = Callable[[Call], None] | None


class Link:
    """The way to one incarnation of one callee."""

    __slots__ = ("credit", "inc", "last_id", "lookup", "open", "path", "state", "waiting")

    def __init__(self, path: str, lookup: int) -> None:
        self.path, self.lookup = path, lookup
        self.inc = ""
        self.state = LOOKING
        self.credit = 0
        self.last_id = 0
        self.open: dict[int, Call] = {}
        """Sent and not answered; an abandoned call stays until its answer gives its credit back."""
        self.waiting: deque[Call] = deque()
        """Not sent yet, for want of an address or of credit."""


# What is to be done, in order.


class Look(msgspec.Struct, frozen=True):
    """Ask the host for ``path``, and again until it answers ``id``."""

    id: int
    path: str


class Open(msgspec.Struct, frozen=True):
    link: Link
    address: str


class Send(msgspec.Struct, frozen=True):
    link: Link
    frames: list[bytes]


class Close(msgspec.Struct, frozen=True):
    link: Link


class Doubt(msgspec.Struct, frozen=True):
    """Tell the host that this incarnation has let a deadline pass."""

    path: str
    inc: str


Action = Look | Open | Send | Close | Doubt


class Caller:
    """``me`` and ``inc`` are what Hello says: the caller's path and incarnation ("client:UID" and "" for a client)."""

    def __init__(self, me: str, inc: str) -> None:
        self.me, self.inc = me, inc
        self.out: list[Action] = []
        self.late = 0
        """Answers to calls that nobody waited for any more."""
        self.garbage = 0
        self._links: dict[str, Link] = {}
        self._lookups: dict[int, Link] = {}
        self._held: deque[Link] = deque()
        """Links that will be looked up when there is room."""
        self._next_id = 1

    def new_id(self) -> int:
        """A number for a message to the host that no look-up has."""
        number = self._next_id
        self._next_id = number + 1
        return number

    # ---- wishes

    def call(self, path: str, body: bytes, deadline: float | None, now: float, on_outcome: OnOutcome = None) -> Call:
        return self._ask(path, body, deadline, now, True, on_outcome)

    def cast(self, path: str, body: bytes, now: float, on_outcome: OnOutcome = None) -> Call:
        return self._ask(path, body, None, now, False, on_outcome)

    def look(self, path: str) -> Link:
        """The link to ``path``, begun if there is none; its state tells what became of it."""
        return self._links.get(path) or self._begin(path)

    def open_to(self, path: str) -> int:
        """Messages to ``path`` that are sent and not answered, or wait to be sent."""
        link = self._links.get(path)
        return 0 if link is None else len(link.open) + len(link.waiting)

    def last_to(self, path: str) -> int:
        """Number of the last message to ``path``, 0 without a link."""
        link = self._links.get(path)
        return 0 if link is None else link.last_id

    def abandon(self, call: Call, error: AgenthostError) -> None:
        """Nobody waits for ``call`` any more. Nothing happens if it has its outcome already."""
        if call.outcome is not None:
            return
        link = call.link
        if call.id not in link.open:
            link.waiting.remove(call)  # or they would pile up while the callee does not even greet
        elif call.is_call:
            self.out.append(Send(link, [encode(data.Cancel(id=call.id))]))
        if link.state is not LOOKING and isinstance(error, TimedOut):
            self.out.append(Doubt(link.path, link.inc))
        _finish(call, error)

    # ---- what arrives

    def found(self, message: control.Found, now: float | None = None) -> None:
        """``now``: what waits first may follow Hello at once."""
        link = self._lookups.pop(message.id, None)
        if link is None:
            return  # a repetition
        link.inc = message.inc
        link.state = GREETING
        self.out.append(Open(link, message.address))
        self.out.append(Send(link, [encode(data.Hello(ticket=message.ticket, caller=self.me, inc=self.inc))]))
        if now is not None:
            link.credit = EARLY_CREDIT
            self._send_waiting(link, now)
            link.credit = 0

    def refused(self, message: control.Refused) -> None:
        link = self._lookups.pop(message.id, None)
        if link is not None:
            self._end(link, lambda: from_wire(message.code, message.why, message.hint))

    def link_to(self, path: str, inc: str) -> Link | None:
        """The open link to this incarnation: what it has already said must be received before :meth:`down`."""
        link = self._links.get(path)
        return link if link is not None and link.state is not LOOKING and link.inc == inc else None

    def of_other_boots(self, boot: int) -> list[Link]:
        """Links to incarnations, "boot.n", of a life of the host that has ended."""
        return [
            link
            for link in self._links.values()
            if link.state is not LOOKING and link.inc.partition(".")[0] != str(boot)
        ]

    def down(self, link: Link, reason: str) -> None:
        """The callee has ended: all that is not answered fails now."""
        path, inc = link.path, link.inc
        words = f"cannot get an answer from {path}: it has ended ({reason})"
        self._end(link, lambda: Down(words, path=path, incarnation=inc, reason=reason))

    def fell_asleep(self, link: Link, *, all_told: bool) -> None:
        """The callee has ended, and will be there again: what it has not begun is asked of its next incarnation.
        ``all_told``: its last word was heard, so that is whatever has no outcome. Without it, what was sent and not
        answered may have been begun, and fails."""
        path, inc = link.path, link.inc
        unread = link.state is GREETING  # it would have said Accepted first
        again = [call for call in link.open.values() if call.outcome is None] if all_told or unread else []
        again += [call for call in link.waiting if call.outcome is None]
        for call in again:
            link.open.pop(call.id, None)
        link.waiting.clear()
        words = f"cannot get an answer from {path}: it has fallen asleep, and what it said last was lost"
        self._end(link, lambda: Down(words, path=path, incarnation=inc, reason="fell asleep"))
        if again:
            next_link = self._links.get(path) or self._begin(path)
            for call in again:
                call.link, call.is_had = next_link, False
                next_link.waiting.append(call)
                next_link.last_id = max(next_link.last_id, call.id)

    def receive(self, link: Link, frames: list[bytes], now: float) -> None:
        """One message of the callee."""
        try:
            message = read_from_callee(frames[0])
        except ProtocolError:
            self.garbage += 1
            return
        kind = type(message)
        if kind is data.Reply:
            if len(frames) != 2:
                self.garbage += 1
                return
            call = self._answered(link, message.id)  # type: ignore[union-attr]
            if call is not None:
                _finish(call, frames[1])
        elif kind is data.Took:
            call = self._answered(link, message.id)  # type: ignore[union-attr]
            if call is not None:
                _finish(call, TOOK)
        elif kind is data.Error:
            call = self._answered(link, message.id)  # type: ignore[union-attr]
            if call is not None:
                call.is_had = not message.unhandled  # type: ignore[union-attr]
                _finish(call, _error(link.path, message))  # type: ignore[arg-type]
        elif kind is data.Accepted:
            if link.state is GREETING:
                link.state = OPEN
                link.credit = message.credit - len(link.open)  # type: ignore[union-attr]
                self._close_if_held_up(link)
        elif kind is data.Asleep:
            if link.state is not ENDED:
                self.fell_asleep(link, all_told=True)
            return
        elif link.state is not ENDED:
            why = message.why  # type: ignore[union-attr]
            words = f"cannot talk to {link.path}: it closed the connection: {why}"
            self._end(link, lambda: ProtocolError(words, hint="call again, it will be looked up anew"))
        if link.waiting and link.credit > 0:
            self._send_waiting(link, now)

    # ---- inside

    def _ask(
        self, path: str, body: bytes, deadline: float | None, now: float, is_call: bool, on_outcome: OnOutcome
    ) -> Call:
        link = self._links.get(path) or self._begin(path)
        number = self._next_id
        self._next_id = number + 1
        call = Call(number, link, body, deadline, is_call, on_outcome)
        link.last_id = number
        if link.credit > 0 and not link.waiting:
            self._send(link, call, now)
        else:
            link.waiting.append(call)
        return call

    def _begin(self, path: str) -> Link:
        link = Link(path, self.new_id())
        if len(self._links) - len(self._held) >= MAX_LINKS and not self._close_unused():
            self._held.append(link)
        else:
            self._look_up(link)
        self._links[path] = link
        return link

    def _look_up(self, link: Link) -> None:
        self._lookups[link.lookup] = link
        self.out.append(Look(link.lookup, link.path))

    def _close_unused(self) -> bool:
        """Make room. False if every link is in use."""
        unused = [link for link in self._links.values() if link.state is OPEN and not link.open and not link.waiting]
        if not unused:
            return False
        self._close(min(unused, key=lambda link: link.last_id))
        return True

    def _close_if_held_up(self, link: Link) -> None:
        """``link`` has become unused, and another waits for its place."""
        if self._held and not link.open and not link.waiting:
            self._close(link)

    def _close(self, link: Link) -> None:
        self._end(link, lambda: Down("closed", path=link.path))  # nothing is open, nobody sees the error

    def _send(self, link: Link, call: Call, now: float) -> None:
        if call.is_call:
            deadline = call.deadline
            left_s = _FOR_EVER_S if deadline is None else deadline - now
            left_ms = max(0, int(left_s * 1000)) if left_s < _FOR_EVER_S else None
            header = encode(data.Call(id=call.id, left_ms=left_ms))
        else:
            header = encode(data.Cast(id=call.id))
        link.credit -= 1
        link.open[call.id] = call
        call.is_had = True
        self.out.append(Send(link, [header, call.body]))

    def _send_waiting(self, link: Link, now: float) -> None:
        waiting = link.waiting
        while waiting and link.credit > 0:
            self._send(link, waiting.popleft(), now)

    def _answered(self, link: Link, number: int) -> Call | None:
        """The call that ``number`` answers, if somebody still waits for it. Its credit is back in any case."""
        call = link.open.pop(number, None)
        if call is None:
            self.garbage += 1
            return None
        link.credit += 1
        self._close_if_held_up(link)
        if call.outcome is not None:
            self.late += 1
            return None
        return call

    def _end(self, link: Link, error: Callable[[], AgenthostError]) -> None:
        if link.state is not LOOKING:
            self.out.append(Close(link))
        link.state = ENDED
        link.credit = 0
        if self._links.get(link.path) is link:
            del self._links[link.path]
        if self._held:
            self._look_up(self._held.popleft())
        unanswered = [*link.open.values(), *link.waiting]
        link.open.clear()
        link.waiting.clear()
        for call in unanswered:
            if call.outcome is None:
                _finish(call, error())


def _finish(call: Call, outcome: bytes | AgenthostError) -> None:
    call.outcome = outcome
    call.body = b""
    if call.on_outcome is not None:
        call.on_outcome(call)


def _error(path: str, message: data.Error) -> AgenthostError:
    if message.code == HandlerFailed.code:
        return HandlerFailed(f"cannot get an answer from {path}: it raised {message.why}", trace=message.trace)
    return from_wire(message.code, f"cannot get an answer from {path}: {message.why}")
