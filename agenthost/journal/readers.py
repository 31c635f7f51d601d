"""Connections of those who follow sessions: who may come in, what they ask, what they have not read yet.

They come by listening sockets that the host has bound and passed on, so a restart of the journal refuses nobody. Who
comes says a ticket of the host's first (``protocol.sessions``). Nobody here is trusted with more than his share: few
words of each are heard in one turn of the loop, who does not read is not read either, and what waits for him is
bounded.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time
import traceback

import msgspec

from agenthost.errors import AgenthostError, NotPermitted, Overloaded, ProtocolError, UnknownName, UsageError
from agenthost.journal.connection import Connection
from agenthost.journal.following import Following
from agenthost.journal.watched import Follow
from agenthost.protocol import sessions as say
from agenthost.protocol.frames import framed
from agenthost.version import PROTOCOL

READ_BYTES = 64 * 1024
WORDS_AT_ONCE = 16
"""Of one connection, in one turn of the loop."""
CONNECTIONS, STRANGERS = 2000, 64
"""At most, and of them such as have not said a ticket; the oldest of these makes room."""
TICKETS = 10_000
PAUSE_S = 1.0
"""No more descriptors are to be had: the listeners wait."""
PATH_BYTES = 1024

_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(say.FromReader).decode


class Readers:
    """``epoll`` is the loop's: it hands in the events of descriptors that ``has``."""

    def __init__(self, epoll: select.epoll, following: Following, boot: int) -> None:
        self._epoll, self._following, self._boot = epoll, following, boot
        self._listeners: dict[int, socket.socket] = {}
        self._connections: dict[int, Connection] = {}
        self._strangers: dict[Connection, None] = {}
        self._tickets: dict[bytes, tuple[str, float]] = {}
        self._talking: dict[Connection, None] = {}
        """Whose words wait to be heard."""
        self._spoken: dict[Connection, None] = {}
        self._paused_until_s = 0.0

    # ---- for the loop

    def has(self, fd: int) -> bool:
        return fd in self._connections or fd in self._listeners

    def listen(self, descriptor: int) -> None:
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        self._listeners[descriptor] = sock
        self._epoll.register(descriptor, select.EPOLLIN)

    def admit(self, ticket: bytes, who: str) -> None:
        while len(self._tickets) >= TICKETS:
            del self._tickets[next(iter(self._tickets))]
        self._tickets[ticket] = who, time.monotonic() + say.TICKET_S

    def ready(self, fd: int, events: int) -> None:
        if fd in self._listeners:
            self._accept(self._listeners[fd])
            return
        one = self._connections[fd]
        if events & select.EPOLLOUT:
            self._flush(one)
        if events & ~select.EPOLLOUT and not one.is_closed:
            self._receive(one)

    def patience_s(self) -> float:
        """How long the loop may wait, as far as they are concerned."""
        if self._following.is_busy or self._talking:
            return 0.0
        due = [one.since_s + say.HELLO_S for one in list(self._strangers)[:1]]
        if self._paused_until_s:
            due.append(self._paused_until_s)
        return max(0.0, min(due) - time.monotonic()) if due else 1e6

    def turn(self) -> None:
        """Once in each turn of the loop."""
        now_s = time.monotonic()
        talking, self._talking = self._talking, {}
        for one in talking:
            self._hear_some(one)
        while self._strangers and (oldest := next(iter(self._strangers))).since_s + say.HELLO_S <= now_s:
            self._close(oldest)
        while self._tickets and next(iter(self._tickets.values()))[1] <= now_s:
            del self._tickets[next(iter(self._tickets))]
        if self._paused_until_s and self._paused_until_s <= now_s:
            self._paused_until_s = 0.0
            for descriptor in self._listeners:
                self._epoll.modify(descriptor, select.EPOLLIN)
        if self._following.is_busy:
            self._following.turn()
        while self._spoken:
            one, _ = self._spoken.popitem()
            if not one.is_closed:
                self._flush(one)

    def close(self) -> None:
        for one in list(self._connections.values()):
            self._close(one)
        for sock in self._listeners.values():
            sock.close()
        self._listeners.clear()

    # ---- coming and going

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(STRANGERS):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                sys.stderr.write(f"journal: cannot take a reader: {error.strerror}\n")
                self._paused_until_s = time.monotonic() + PAUSE_S
                for descriptor in self._listeners:
                    self._epoll.modify(descriptor, 0)
                return
            if len(self._strangers) >= STRANGERS:
                self._close(next(iter(self._strangers)))
            if len(self._connections) >= CONNECTIONS:
                sock.close()
                continue
            sock.setblocking(False)
            one = Connection(sock, time.monotonic(), self._spoken)
            self._connections[sock.fileno()] = one
            self._strangers[one] = None
            self._epoll.register(sock, select.EPOLLIN)
            self._receive(one)  # who has said his ticket already does not have to give way to the next

    def _close(self, one: Connection) -> None:
        if one.is_closed:
            return
        one.is_closed = True
        for follow in list(one.follows.values()):
            self._following.unfollow(follow)
        one.follows.clear()
        self._following.gone(one)
        self._strangers.pop(one, None)
        self._talking.pop(one, None)
        del self._connections[one.sock.fileno()]
        with contextlib.suppress(OSError):
            self._epoll.unregister(one.sock)
        one.sock.close()

    # ---- reading

    def _receive(self, one: Connection) -> None:
        try:
            data = one.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(one)
            return
        try:
            one.words += [_read(frame) for frame in one.frames.feed(data)]
        except (ProtocolError, msgspec.DecodeError) as error:
            self._end(one, ProtocolError(f"cannot understand that: {error}"))
            return
        self._hear_some(one)

    def _hear_some(self, one: Connection) -> None:
        for _ in range(WORDS_AT_ONCE):
            if one.is_closed or not one.words or not one.has_room:
                break
            self._hear(one, one.words.popleft())
        if not one.is_closed:
            if one.words and one.has_room:
                self._talking[one] = None
            self._heed(one)

    def _heed(self, one: Connection) -> None:
        mask = (0 if one.words or not one.has_room else select.EPOLLIN) | (select.EPOLLOUT if one.out else 0)
        if mask != one.mask:
            one.mask = mask
            self._epoll.modify(one.sock, mask)

    def _hear(self, one: Connection, word: say.FromReader) -> None:
        if isinstance(word, say.Hello):
            self._greet(one, word)
            return
        if not one.who:
            self._end(one, ProtocolError("cannot begin with that: say Hello with a ticket first"))
            return
        try:
            self._do(one, word)
        except AgenthostError as error:
            one.say(framed(_encode(say.Refused(word.id, error.code, error.message, error.hint or ""))))
        except Exception as error:  # a mistake of ours costs this reader his connection, and nobody the journal
            sys.stderr.write(f"journal: cannot do {word!r} of a reader:\n{traceback.format_exc()}")
            self._end(one, AgenthostError(f"cannot do that: {type(error).__name__}: {error}"))

    def _greet(self, one: Connection, word: say.Hello) -> None:
        who, until_s = self._tickets.pop(word.ticket, ("", 0.0))
        if one.who or not who or until_s <= time.monotonic():
            error = NotPermitted("cannot come in: this ticket is not valid, or was used", hint="ask the host for one")
            self._end(one, error)
        elif word.protocol != PROTOCOL:
            self._end(one, ProtocolError(f"cannot speak protocol {word.protocol}: the host speaks {PROTOCOL}"))
        else:
            one.who = who
            del self._strangers[one]
            one.say(framed(_encode(say.Welcome(self._boot))))

    def _end(self, one: Connection, error: AgenthostError) -> None:
        one.say(framed(_encode(say.Refused(0, error.code, error.message, error.hint or ""))))
        self._flush(one)
        self._close(one)

    # ---- what they ask

    def _do(self, one: Connection, word: say.FromReader) -> None:
        match word:
            case say.Follow():
                self._follow(one, word)
            case say.Unfollow(id=id):
                self._following.unfollow(self._followed(one, id))
                del one.follows[id]
            case say.Seat(id=id, take=take):
                self._following.seat(self._followed(one, id), take=take)
            case say.GiveSeat(id=id):
                self._following.give_seat(self._followed(one, id))
            case say.Check(id=id):
                self._following.check(self._followed(one, id))

    def _follow(self, one: Connection, word: say.Follow) -> None:
        had = one.follows.get(word.id)
        if word.id < 1 or (had is not None and had.is_followed):
            raise UsageError(f"cannot follow {word.path} as {word.id}: that number is in use, or none")
        if len(one.follows) >= say.FOLLOWED and had is None:
            raise Overloaded(f"cannot follow {word.path}: this connection follows {len(one.follows)} sessions already")
        if len(word.path.encode()) > PATH_BYTES or not word.path.startswith("/"):
            raise UsageError(f"cannot follow {word.path[:80]!r}: it is no path")
        if len(word.name.encode()) > say.NAME_BYTES or not (word.name == "" or word.name.isprintable()):
            raise UsageError(f"cannot be present as {word.name[:80]!r}: a name has at most {say.NAME_BYTES} bytes")
        one.follows[word.id] = self._following.follow(one, word)

    @staticmethod
    def _followed(one: Connection, id: int) -> Follow:
        """``UnknownName``. A session that was removed, or could not be read, is followed no more."""
        follow = one.follows.get(id)
        if follow is None or not follow.is_followed:
            one.follows.pop(id, None)
            raise UnknownName(f"cannot do that to {id}: no session is followed under this number")
        return follow

    # ---- writing

    def _flush(self, one: Connection) -> None:
        had_room = one.has_room
        while one.out:
            try:
                sent = one.sock.send(one.out, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError:
                self._close(one)
                return
            del one.out[:sent]
        if one.has_room:
            if not had_room or not one.out:
                self._following.has_room(one)
            if one.words:
                self._talking[one] = None
        self._heed(one)
