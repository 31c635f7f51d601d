"""Where an agent with asyncio hears: its loop has all descriptors, and what they tell is acted on in one place.

ZeroMQ's descriptors are edge-triggered: they tell of a change once, and any send or receive may swallow it
(zmq_getsockopt(3), ZMQ_FD). So after a descriptor woke us, and after everything we send, :meth:`AsyncListener._settle`
receives from every socket until nothing is left.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable

import zmq

from agenthost.agent.sentry import HOST_GONE, give_streams
from agenthost.agent.turn import exit_status
from agenthost.agent.wires import Wires
from agenthost.transport.caller import Link
from agenthost.transport.data import Door

_MOST = 1000
"""Messages let in before the turn gets its share of the loop again."""


class AsyncListener:
    """``hear_birth``: as in the plain one."""

    def __init__(self, wires: Wires, birth_socket: socket.socket, hear_birth: Callable[[], bool]) -> None:
        self._wires, self._birth_socket, self._hear_birth = wires, birth_socket, hear_birth
        self._links, self._loop = wires.links, asyncio.get_running_loop()
        self.news = asyncio.Event()
        """Set when there may be a message in the mailbox, an answered look-up, or a Stop."""
        self._fds: dict[zmq.Socket[bytes], int] = {}
        self._links_by_socket: dict[zmq.Socket[bytes], Link] = {}
        self._readable: set[zmq.Socket[bytes]] = set()
        self._is_settling = self.is_closed = self._hears_birth = False
        self._repeat: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._listen_to(self._wires.control.socket)
        self._wires.on_door = self._on_door
        self._links.on_open = self._on_link
        self._links.on_close = self._on_link_closed
        self._loop.add_reader(self._birth_socket, self._on_birth_socket)
        self._hears_birth = True

    async def wait_news(self) -> None:
        await self.news.wait()
        self.news.clear()

    def flush(self) -> None:
        self._links.flush()
        self.settle_soon()

    def settle_soon(self) -> None:
        if not self._is_settling:
            self._is_settling = True
            self._loop.call_soon(self._settle)

    def drop_birth_socket(self) -> None:
        """Somebody else reads it from now on."""
        self._hears_birth = False
        self._loop.remove_reader(self._birth_socket)

    def close(self) -> None:
        self.is_closed = True
        if self._repeat is not None:
            self._repeat.cancel()
        for fd in self._fds.values():
            self._loop.remove_reader(fd)
        self._fds.clear()
        self._links.on_close = lambda plug: None
        if self._hears_birth:
            self.drop_birth_socket()

    # ---- pipes of tools

    def attach(self, descriptor: int, wake: Callable[[], None], *, writes: bool = False) -> None:
        (self._loop.add_writer if writes else self._loop.add_reader)(descriptor, wake)

    def detach(self, descriptor: int) -> None:
        """As in the plain desk."""
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)

    def give(self, number: int, descriptors: list[int]) -> None:
        give_streams(self._birth_socket, number, descriptors)

    # ---- sources

    def _on_door(self, door: Door) -> None:
        self._listen_to(door.socket)

    def _on_link(self, plug: zmq.Socket[bytes], link: Link) -> None:
        self._links_by_socket[plug] = link
        self._listen_to(plug)

    def _on_link_closed(self, plug: zmq.Socket[bytes]) -> None:
        self._links_by_socket.pop(plug, None)
        self._loop.remove_reader(self._fds.pop(plug))

    def _listen_to(self, plug: zmq.Socket[bytes]) -> None:
        fd = self._fds[plug] = int(plug.get(zmq.FD))
        self._loop.add_reader(fd, self._on_readable, plug)
        self.settle_soon()

    def _on_readable(self, plug: zmq.Socket[bytes]) -> None:
        self._readable.add(plug)
        self.settle_soon()

    def _on_birth_socket(self) -> None:
        if not self._hear_birth():
            os._exit(HOST_GONE)

    def _settle(self) -> None:
        self._is_settling = False
        if self.is_closed:
            return  # it was called for before the sockets were closed
        try:
            self._receive_all()
        except Exception as error:  # no descriptors for a socket, say: asyncio would log it, and a turn would wait on
            os._exit(exit_status(error))
        self.news.set()
        self._repeat_later()

    def _receive_all(self) -> None:
        wires = self._wires
        now = time.monotonic()
        wires.hear_control()
        readable, self._readable = self._readable, set()
        for plug in readable:
            if plug in self._links_by_socket:
                self._links.pump(self._links_by_socket[plug], now)
        self._links.drain(now)
        if wires.door is not None:
            wires.door.pump(now, _MOST)
            if not wires.door.is_drained:
                self.settle_soon()
        wires.control.resend_due()
        wires.hear_control()  # after all that was sent over it

    def _repeat_later(self) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None
        after_s = self._wires.control.resend_due()
        if after_s is not None:
            self._repeat = self._loop.call_later(after_s + 0.001, self._settle)
