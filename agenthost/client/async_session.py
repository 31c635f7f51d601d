"""A session as an asyncio program has it; the same words as ``session``.

::

    async with AsyncSession("/chats/ana") as session:
        await session.say("What is left to do?")
        async for event in session.events(follow=True, live=True):
            ...

What is asked of the host goes through a ``Client`` in a thread of its own; what is followed comes over a socket of the
loop. The rule it keeps: as ``session``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from agenthost.client.client import Client
from agenthost.client.reading_line import Line, Lost
from agenthost.client.reconnecting import Reconnecting
from agenthost.client.session import ATTACH_S, PATIENCE_S, READ_BYTES
from agenthost.client.updates import Event, Part, Update
from agenthost.errors import AgenthostError, TimedOut, UsageError

FULL_S = 0.05
"""How long a wish waits that did not fit into the socket: they are few and short, so hardly ever."""


class AsyncSession:
    """``endpoint`` and ``host`` as of ``Client``, the rest as of ``Session``. Used as ``async with``."""

    def __init__(
        self,
        path: str,
        *,
        endpoint: str | None = None,
        host: str | None = None,
        name: str = "",
        patience_s: float | None = PATIENCE_S,
    ) -> None:
        self.path = "/" + path.strip("/")
        self._client = Client(endpoint, host=host)
        self._thread = ThreadPoolExecutor(1, "agenthost-client")
        self._line = Line(self.path, name or f"{os.getuid()}:{os.getpid()}")
        self._again = Reconnecting(self.path, patience_s)
        self._sock: socket.socket | None = None
        self._reading: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        """Set, and replaced, whenever something has come."""
        self._error: BaseException | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """The agent goes on; a seat is given back. Safe to call twice."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None
        self._hang_up("closed")
        self._error = self._error or UsageError(f"cannot use the session {self.path}: it was closed")
        self._tell()
        if not self._is_closed:
            self._is_closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._client.close)
            self._thread.shutdown(wait=False)

    # ---- reading

    async def events(self, after: int = 0, *, follow: bool = False, live: bool = False) -> AsyncIterator[Event | Part]:
        """As ``Session.events``."""
        async for update in self.updates(after, follow=follow, live=live):
            if isinstance(update, Event | Part):
                yield update

    async def updates(
        self, after: int = 0, *, follow: bool = True, live: bool = True, attend: bool = False
    ) -> AsyncIterator[Update]:
        """As ``Session.updates``."""
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
                await self._until(lambda: follower.has_updates or follower.end is not None)
        finally:
            self._line.leave(follower)
            self._flush()

    # ---- saying

    async def say(self, body: Any, *, key: str = "", timeout: float | None = 30.0) -> int:
        """As ``Session.say``."""
        return int((await self.request("send", self._line.saying(body, key), timeout))["message"])

    async def interrupt(self, reason: str = "", timeout: float | None = 30.0) -> str:
        """As ``Session.interrupt``."""
        found = await self.request("interrupt", {"path": self.path, "reason": reason}, timeout)
        return str(found["text"])

    async def request(self, op: str, args: dict[str, Any] | None = None, timeout: float | None = 30.0) -> Any:
        """As ``Client.request``, one after the other."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._client.request, op, args, timeout)

    # ---- who is here

    async def attend(self, timeout: float | None = 30.0) -> None:
        """As ``Session.attend``."""
        self._line.attend()
        await self._until_within(lambda: bool(self._line.present), timeout, "who is here")

    async def seat(self, *, take: bool = False, timeout: float | None = 30.0) -> None:
        """As ``Session.seat``."""
        self._line.want_seat(take)
        is_answered = lambda: bool(self._line.seat) or self._line.refused is not None  # noqa: E731
        await self._until_within(is_answered, timeout, "the seat")
        if self._line.refused is not None:
            raise self._line.refused

    def give_seat(self) -> None:
        """As ``Session.give_seat``."""
        self._line.give_seat()
        self._flush()

    @property
    def has_seat(self) -> bool:
        return bool(self._line.seat)

    @property
    def present(self) -> tuple[str, ...]:
        """As ``Session.present``, and always up to date."""
        return self._line.present

    @property
    def writer(self) -> str:
        """As ``Session.writer``."""
        return self._line.writer

    # ---- the connection

    async def _until_within(self, is_so: Callable[[], bool], timeout: float | None, what: str) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._until(is_so)
        except TimeoutError:
            raise TimedOut(f"cannot get {what} in {self.path}: nothing came in {timeout:g} s") from None

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if self._error is not None:
                raise self._error
            if self._reading is None:
                self._reading = asyncio.get_running_loop().create_task(self._read())
            self._flush()
            await self._heard.wait()

    def _tell(self) -> None:
        self._heard.set()
        self._heard = asyncio.Event()

    async def _read(self) -> None:
        """For as long as the session is open."""
        try:
            while True:
                try:
                    await self._read_one(self._sock or await self._connect())
                except (Lost, OSError) as error:
                    self._hang_up(str(error))
                    self._tell()
                    self._again.failed(error, time.monotonic())
        except Exception as error:  # whoever waits for something gets it
            self._error = error
            self._hang_up(str(error))
            self._tell()

    async def _read_one(self, sock: socket.socket) -> None:
        left_s = self._line.tick(time.monotonic())
        self._flush()
        try:
            async with asyncio.timeout(min(left_s, FULL_S) if self._line.out else left_s):
                data = await asyncio.get_running_loop().sock_recv(sock, READ_BYTES)
        except TimeoutError:
            return
        if not data:
            raise Lost("the journal has closed the connection")
        self._line.feed(data, time.monotonic())
        if self._line.is_open:
            self._again.succeeded()
        self._tell()
        await asyncio.sleep(0)  # who follows takes it, before there is more

    async def _connect(self) -> socket.socket:
        while True:
            await asyncio.sleep(self._again.pause_s(time.monotonic()))
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                found = await self.request("attach", {"path": self.path}, ATTACH_S)
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
        """What fits; the reading task comes back to the rest."""
        if self._sock is None or not self._line.out:
            return
        try:
            sent = self._sock.send(self._line.out, socket.MSG_NOSIGNAL)
        except (BlockingIOError, OSError):
            return  # a connection that has ended is found by who reads it
        del self._line.out[:sent]

    def _hang_up(self, why: str) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
            self._line.lost(why)
