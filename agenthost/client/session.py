"""A session as a client has it: its log as it grows, what is being said, who else is here, and saying something.

::

    with Client() as client, client.session("/chats/ana") as session:
        session.say("What is left to do?")
        for event in session.events(follow=True, live=True):
            ...

One thread, as everywhere in ``client``. The rule it keeps: a connection that ends, with the journal's or the host's
process, is made anew, and whoever follows sees neither a hole nor anything twice.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agenthost.client.reading_line import Line, Lost
from agenthost.client.reconnecting import Reconnecting
from agenthost.client.updates import Event, Part, Update
from agenthost.errors import AgenthostError, TimedOut

if TYPE_CHECKING:
    from agenthost.client.client import Client

READ_BYTES = 256 * 1024
PATIENCE_S = 60.0
ATTACH_S = 5.0


class Session:
    """``name`` is what others read of who is here (see :meth:`attend`). ``patience_s``: how long the host or the
    journal may be away before that is an error; None for ever."""

    def __init__(self, client: Client, path: str, *, name: str = "", patience_s: float | None = PATIENCE_S) -> None:
        self.path = "/" + path.strip("/")
        self._client = client
        self._again = Reconnecting(self.path, patience_s)
        self._line = Line(self.path, name or f"{os.getuid()}:{os.getpid()}")
        self._sock: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """The agent goes on; a seat is given back. Safe to call twice."""
        self._hang_up("closed")

    # ---- reading

    def events(self, after: int = 0, *, follow: bool = False, live: bool = False) -> Iterator[Event | Part]:
        """Entries numbered above ``after``, in order; to the last one there is, or with ``follow`` without end. With
        ``live`` also what the turn in hand is saying, as Parts. ``UnknownName`` if there is no such agent, or if the
        session is removed; ``NoHost``."""
        for update in self.updates(after, follow=follow, live=live):
            if isinstance(update, Event | Part):
                yield update

    def updates(
        self, after: int = 0, *, follow: bool = True, live: bool = True, attend: bool = False
    ) -> Iterator[Update]:
        """As :meth:`events`, with all that a reader who shows it to somebody needs to know. With ``attend`` who reads
        here is present under the name."""
        follower = self._line.follow(after, live=live, attend=attend)
        try:
            while True:
                while (update := follower.take()) is not None:
                    yield update
                if follower.end is not None:
                    raise follower.end
                if follower.is_full:
                    self._line.make_room(follower)
                elif follower.is_caught_up and not follow:
                    return
                self._pump(lambda: follower.has_updates or follower.end is not None, None)
        finally:
            self._line.leave(follower)
            self._flush()

    # ---- saying

    def say(self, body: Any, *, key: str = "", timeout: float | None = 30.0) -> int:
        """A message in this session, durable: the number of the message. All readers see it. With the same ``key`` it
        is taken once. ``Busy`` if another reader has the writing seat."""
        return int(self._client.request("send", self._line.saying(body, key), timeout)["message"])

    def interrupt(self, reason: str = "", timeout: float | None = 30.0) -> str:
        """End the turn in hand; see ``Client.interrupt``."""
        return self._client.interrupt(self.path, reason, timeout)

    # ---- who is here

    def attend(self, timeout: float | None = 30.0) -> None:
        """Be present under the name. Returns when that is so; from then on ``present`` and ``writer`` are told whenever
        this session is read."""
        self._line.attend()
        self._pump_for(lambda: bool(self._line.present), timeout, "who is here")

    def seat(self, *, take: bool = False, timeout: float | None = 30.0) -> None:
        """The writing seat: nobody else can say anything in this session until it is given back, taken, or the
        connection ends. ``Busy`` if another reader has it, unless ``take``."""
        self._line.want_seat(take)
        self._pump_for(lambda: bool(self._line.seat) or self._line.refused is not None, timeout, "the seat")
        if self._line.refused is not None:
            raise self._line.refused

    def give_seat(self) -> None:
        """Anyone may speak again."""
        self._line.give_seat()
        self._flush()

    @property
    def has_seat(self) -> bool:
        return bool(self._line.seat)

    @property
    def present(self) -> tuple[str, ...]:
        """Names of who was here when this session was read last; empty without :meth:`attend`."""
        return self._line.present

    @property
    def writer(self) -> str:
        """Who had the writing seat then; "" for nobody."""
        return self._line.writer

    # ---- the connection

    def _pump_for(self, is_so: Callable[[], bool], timeout: float | None, what: str) -> None:
        if not self._pump(is_so, None if timeout is None else time.monotonic() + timeout):
            raise TimedOut(f"cannot get {what} in {self.path}: nothing came in {timeout:g} s")

    def _pump(self, is_so: Callable[[], bool], deadline: float | None) -> bool:
        """Read until it is so; False if ``deadline`` came first."""
        self._line.resume(time.monotonic())
        while not is_so():
            try:
                sock = self._sock or self._connect()
                left_s = self._line.tick(time.monotonic())
                self._flush()
                if deadline is not None:
                    left_s = min(left_s, deadline - time.monotonic())
                    if left_s <= 0:
                        return False
                if select.select([sock], [sock] if self._line.out else [], [], left_s)[0]:
                    self._read(sock)
            except (Lost, OSError) as error:
                self._hang_up(str(error))
                self._again.failed(error, time.monotonic())
        return True

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise Lost("the journal has closed the connection")
        self._line.feed(data, time.monotonic())
        if self._line.is_open:
            self._again.succeeded()

    def _connect(self) -> socket.socket:
        """As long as it takes, up to ``patience_s``. What cannot be helped by waiting is raised."""
        while True:
            time.sleep(self._again.pause_s(time.monotonic()))
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                found = self._client.request("attach", {"path": self.path}, timeout=ATTACH_S)
                sock.connect(found["address"])  # at once, or EAGAIN if too many wait: connect(2) of unix(7)
            except (AgenthostError, OSError) as error:
                sock.close()
                self._again.failed(error, time.monotonic())
                continue
            except BaseException:
                sock.close()
                raise
            self._sock = sock
            self._line.connected(found["ticket"], time.monotonic())
            return sock

    def _flush(self) -> None:
        if self._sock is None:
            return
        while self._line.out:
            try:
                sent = self._sock.send(self._line.out, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError as error:
                self._hang_up(str(error))
                return
            del self._line.out[:sent]

    def _hang_up(self, why: str) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
            self._line.lost(why)
