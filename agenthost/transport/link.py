"""The host's end of the link to its router, in asyncio. Never blocks the loop.

A turn of the loop delivers at most ``_PER_TURN`` messages, so a burst from the router does not hold up deaths and
timers. A router that does not read is a lost router: what waits for it is bounded. Losing the link loses messages, and
that is all: what must arrive is sent again (``unanswered``).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from agenthost.errors import ProtocolError
from agenthost.transport.framing import LinkEnd

_PER_TURN = 64
BACKLOG_BYTES = 64 * 1024 * 1024


class RouterLink:
    """Make it inside a running loop; it owns ``sock`` from then on.

    ``on_message(peer, uid, pid, frames)``: uid and pid are the kernel's. ``on_gone(peer)``: a message to ``peer`` could
    not be delivered because nobody of that id is connected now; told once until it is heard or reached again. It is no
    death: after a restart of the router every peer is gone for some milliseconds. ``on_full(peer)``: the same for a
    peer that does not read. ``on_counters(counters)``. ``on_lost(why)`` comes once, from the loop, never from within
    ``send``; ``close`` suppresses it.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[bytes, int, int, list[bytes]], None],
        on_gone: Callable[[bytes], None],
        on_counters: Callable[[dict[str, int]], None],
        on_lost: Callable[[str], None],
        on_full: Callable[[bytes], None] | None = None,
        *,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self._end = LinkEnd(sock)
        self._fd = sock.fileno()
        self._on_message, self._on_gone, self._on_counters = on_message, on_gone, on_counters
        self._on_lost, self._on_full = on_lost, on_full or on_gone
        self._max_backlog_bytes = backlog_bytes
        self._arrived: deque[list[Any]] = deque()
        self._reading = True
        self._writing = False
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    @property
    def is_open(self) -> bool:
        return self._open

    def send(self, peer: bytes, frames: list[bytes]) -> None:
        """Give ``frames`` to the router for ``peer``. A lost link drops them; ``ProtocolError``: too long."""
        if not self._open:
            return
        self._end.put(["out", peer, frames])
        if not self._writing:
            self._flush()
        if self._end.backlog_bytes > self._max_backlog_bytes:
            self._lose(f"the router has not read {self._end.backlog_bytes} bytes")

    def close(self) -> None:
        """End the link; the router ends with it."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._end.sock.close()

    def _flush(self) -> None:
        try:
            self._end.try_flush()
        except OSError as error:
            self._lose(f"cannot write to the router: {error}")
            return
        waiting = self._end.backlog_bytes > 0
        if waiting != self._writing:
            self._writing = waiting
            if waiting:
                self._loop.add_writer(self._fd, self._flush)
            else:
                self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        try:
            messages = self._end.try_receive()
        except (OSError, ProtocolError) as error:
            self._lose(f"cannot read from the router: {error}")
            return
        if messages is None:
            self._lose("the router has closed the link")
            return
        self._arrived.extend(messages)
        if len(self._arrived) > _PER_TURN:
            self._reading = False  # until _deliver has caught up; the router waits meanwhile
            self._loop.remove_reader(self._fd)
        self._deliver()

    def _deliver(self) -> None:
        for _ in range(min(_PER_TURN, len(self._arrived))):
            if not self._open:
                return
            message = self._arrived.popleft()
            try:
                self._dispatch(message)
            except Exception as error:  # a callback's bug must not cost the control plane
                self._loop.call_exception_handler(
                    {"message": "cannot handle a message of the router", "exception": error}
                )
        if self._open and self._arrived:
            self._loop.call_soon(self._deliver)
        elif self._open and not self._reading:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _dispatch(self, message: list[Any]) -> None:
        match message:
            case ["in", bytes(peer), int(uid), int(pid), list(frames)]:
                self._on_message(peer, uid, pid, frames)
            case ["gone", bytes(peer)]:
                self._on_gone(peer)
            case ["full", bytes(peer)]:
                self._on_full(peer)
            case ["counters", dict(counters)]:
                self._on_counters(counters)
            case _:
                raise ProtocolError(f"cannot use {message[0]!r} from the router: it is no word of the link")

    def _lose(self, why: str) -> None:
        if self._open:
            self.close()
            self._loop.call_soon(self._on_lost, why)
