"""Where a plain agent waits: one epoll(7) over all that it hears, in an idle agent and in a call alike.

The control plane comes first. epoll over ZeroMQ's descriptors, after a receive that found nothing, is faster than
zmq_poll(3), which asks every socket twice, and than a blocking receive: a round trip of 65 us instead of 105 (pyzmq
27.3, libzmq 4.3.5).
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import zmq

from agenthost.agent.sentry import HOST_GONE, give_streams
from agenthost.agent.wires import Wires
from agenthost.transport.caller import Call, Link
from agenthost.transport.data import Door

if TYPE_CHECKING:
    from agenthost.agent.durable import Durable

ALL = 1000

_Source = Link | Door | Wires | socket.socket | Callable[[], None]


class Listener:
    """``hear_birth`` reads the birth socket, until that is dropped; False if its other end is closed."""

    def __init__(
        self, wires: Wires, birth_socket: socket.socket, durable: Durable, hear_birth: Callable[[], bool]
    ) -> None:
        self._wires, self._birth_socket, self._durable = wires, birth_socket, durable
        self._links, self._hear_birth = wires.links, hear_birth
        self.is_waiting = False
        """In epoll, where an interruption may strike."""
        self.awaited: Call | None = None
        self.at_once = ALL
        """So many messages are let in before the control plane is looked at again."""
        self._epoll = select.epoll()
        self.modify = self._epoll.modify
        self._sources: dict[int, _Source] = {}
        self._listen_to(wires.control.socket, wires)
        self._add(birth_socket.fileno(), birth_socket)
        wires.on_door = lambda door: self._listen_to(door.socket, door)
        wires.links.on_open = self._listen_to
        wires.links.on_close = lambda plug: self._drop(int(plug.get(zmq.FD)))

    def listen(self, seconds: float | None) -> None:
        """Wait until something arrives or is to be repeated, at most ``seconds``, and act on it.

        Before it blocks, every socket that something was sent over has been found empty: the send may have swallowed
        the edge.
        """
        told = self._durable.telling
        if told is not None and told.has_unsaid:
            told.flush()
        wires = self._wires
        repeat_s = wires.control.resend_due() if wires.control.unanswered else None
        if (wires.spoke or repeat_s is not None) and wires.hear_control():
            return
        if self._links.undrained and self._links.drain(time.monotonic(), self.awaited):
            seconds = 0.0
        door = wires.door
        if door is not None and not door.is_drained and door.pump(time.monotonic(), self.at_once):
            seconds = 0.0  # so a flood cannot keep us from the control plane
        if repeat_s is not None and (seconds is None or repeat_s < seconds):
            seconds = repeat_s
        self.is_waiting = True
        ready = self._epoll.poll(seconds)
        self.is_waiting = False
        if len(ready) > 1:
            ready.sort(key=self._is_data)
        for fd, _ in ready:
            source = self._sources.get(fd)
            if type(source) is Link:
                self._links.pump(source, time.monotonic(), self.awaited)
            elif type(source) is Door:
                source.pump_one(time.monotonic())
            elif type(source) is Wires:
                source.hear_control()
            elif type(source) is socket.socket:
                if not self._hear_birth():
                    os._exit(HOST_GONE)
            elif source is not None:
                source()  # type: ignore[operator]  # what is left is the journal's door, or a pipe's

    def drop_birth_socket(self) -> None:
        """Somebody else reads it from now on."""
        self._drop(self._birth_socket.fileno())

    def close(self) -> None:
        self._epoll.close()

    # ---- the journal's door, and pipes of tools

    def attach(self, descriptor: int, wake: Callable[[], None], *, writes: bool = False) -> None:
        self.attach_for(descriptor, wake, select.EPOLLOUT if writes else select.EPOLLIN)

    def attach_for(self, descriptor: int, wake: Callable[[], None], mask: int) -> None:
        """In any thread."""
        self._sources[descriptor] = wake
        self._epoll.register(descriptor, mask)

    def detach(self, descriptor: int) -> None:
        """Before it is closed. Twice does no harm."""
        if descriptor in self._sources:
            self._drop(descriptor)

    def give(self, number: int, descriptors: list[int]) -> None:
        give_streams(self._birth_socket, number, descriptors)

    # ---- sources

    def _is_data(self, event: tuple[int, int]) -> bool:
        """Sorts the control plane first."""
        return type(self._sources.get(event[0])) in (Link, Door)

    def _listen_to(self, plug: zmq.Socket[bytes], source: _Source) -> None:
        self._add(int(plug.get(zmq.FD)), source)

    def _add(self, fd: int, source: _Source) -> None:
        self._sources[fd] = source
        self._epoll.register(fd, select.EPOLLIN)

    def _drop(self, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._sources[fd]
