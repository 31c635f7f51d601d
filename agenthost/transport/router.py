"""The router process: the control plane's ROUTER sockets and the link to the host. It relays and holds no state.

Peers are checked here by the kernel's word, counted, kept to a budget and to a number of connections; what they say is
not looked into. It may be killed at any moment: peers connect again by themselves, and what must arrive is repeated. It
ends when the host closes the link.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

import zmq

from agenthost import kernel
from agenthost.errors import ProtocolError, StateError
from agenthost.protocol import limits
from agenthost.protocol.codec import encode
from agenthost.protocol.control import Garbled
from agenthost.transport.admission import Admission
from agenthost.transport.budget import Budgets
from agenthost.transport.credentials import Credentials, parse_peer_address
from agenthost.transport.framing import LinkEnd
from agenthost.transport.listener import (
    MONITOR_QUEUE,
    Endpoint,
    Listener,
    connection_owner,
    shut_connection,
)

_REPORT_S = 1.0
_TURN_MESSAGES = 64
_TURN_EVENTS = 512
_MOST_DESCRIPTORS = 65_536
_REMEMBERED = 4096
"""Peers told to be gone or full, and addresses parsed, before the memory of them starts anew."""

_COUNTERS = (
    "connections",  # now; all others count since the start
    "received",
    "sent",
    "gone",
    "full",
    "garbled",
    "flooded",
    "refused_uid",
    "refused_quota",
    "bad_handshakes",
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process may use. A message costs one of ``messages_per_s``, and one more for each 4 KiB."""

    connections_per_process: int = limits.CONNECTIONS_PER_PROCESS
    connections_per_outside_uid: int = limits.CONNECTIONS_PER_OUTSIDE_UID
    messages_per_s: float = limits.MESSAGES_PER_S
    burst_messages: float = limits.BURST_MESSAGES
    link_backlog_bytes: int = 64 * 1024
    """More than this unread by the host, and the router stops reading from peers: they wait, each in a queue of its
    own, and are then read in turn."""
    memory_bytes: int | None = 2 * 1024**3
    """RLIMIT_DATA: a message without end ends with its connection, for libzmq gets no memory for it. None: as it is."""


def main(
    link_socket: socket.socket | int,
    endpoints: Iterable[tuple[str, int, Iterable[int]]],
    bounds: Bounds = Bounds(),
) -> None:
    """The whole process; does not return. ``endpoints``: path of a socket, its owner's uid, the uids allowed there."""
    link = socket.socket(fileno=link_socket) if isinstance(link_socket, int) else link_socket
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ^C is the guardian's to hear
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    kernel.set_process_name("ah-router")
    kernel.try_share_priority()
    descriptors = kernel.claim_descriptors(_MOST_DESCRIPTORS)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))  # libzmq ends by abort(3); peers' words need not lie on disk
    if bounds.memory_bytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = bounds.memory_bytes if hard == resource.RLIM_INFINITY else min(bounds.memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    status = 1
    try:
        wanted = [Endpoint(path, owner, tuple(uids)) for path, owner, uids in endpoints]
        Router(link, wanted, bounds, descriptors).run()
        status = 0
    except ConnectionError:
        status = 0  # the host has gone; so do we
    except (OSError, ProtocolError, StateError, zmq.ZMQError) as error:
        sys.stderr.write(f"router.failed error={error}\n")
    except Exception:  # a bug: _exit must not swallow where it is
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # not sys.exit: closing sockets can wait for the I/O thread, which can wait for us to read the monitor
        os._exit(status)


class Router:
    """The loop. ``descriptors`` is the process's limit."""

    def __init__(self, link: socket.socket, endpoints: list[Endpoint], bounds: Bounds, descriptors: int) -> None:
        self._bounds = bounds
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._zap = self._context.socket(zmq.REP)
        self._zap.bind("inproc://zeromq.zap.01")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, bounds.link_backlog_bytes)
        self._link = LinkEnd(link)
        own = len(os.listdir("/proc/self/fd")) + 32 * len(endpoints)
        capacity = max(descriptors - own - MONITOR_QUEUE * len(endpoints) - 64, descriptors // 8)
        self._admission = Admission(bounds.connections_per_process, bounds.connections_per_outside_uid, capacity)
        self._budgets = Budgets(bounds.messages_per_s, bounds.burst_messages)
        self._credentials: dict[str, Credentials] = {}
        self._unreachable: dict[bytes, None] = {}
        self._listeners = [Listener(self._context, endpoint, number) for number, endpoint in enumerate(endpoints)]
        self._by_prefix = {listener.prefix: listener for listener in self._listeners}
        self._by_domain = {listener.domain: listener for listener in self._listeners}
        self._counters = dict.fromkeys(_COUNTERS, 0)
        self._reported: dict[str, int] = {}
        self._report_at = 0.0
        self._poller = zmq.Poller()
        for sock in (self._zap, *(listener.monitor for listener in self._listeners)):
            self._poller.register(sock, zmq.POLLIN)
        self._hearing = False
        self._set_hearing(True)

    def run(self) -> None:
        """Until the host closes the link. ``OSError`` and ``ProtocolError`` if the link breaks."""
        link_fd = self._link.sock.fileno()
        while True:
            ready = dict(self._poller.poll(self._pause_ms()))
            now = time.monotonic()
            # connections first: descriptors are what this process can die of
            self._follow_connections(ready)
            if self._zap in ready:
                self._answer_zap()
            if link_fd in ready and not self._obey():
                return
            if self._hearing:
                for listener in self._listeners:
                    if listener.router in ready:
                        self._hear(listener, now)
            self._report(now)
            self._link.try_flush()
            self._set_hearing(self._link.backlog_bytes < self._bounds.link_backlog_bytes)

    def _pause_ms(self) -> int | None:
        """None when there is nothing to report: an idle router does not wake."""
        if self._counters == self._reported:
            return None
        return max(0, int((self._report_at - time.monotonic()) * 1000) + 1)

    def _set_hearing(self, hearing: bool) -> None:
        waiting = zmq.POLLOUT if self._link.backlog_bytes else 0
        self._poller.register(self._link.sock.fileno(), zmq.POLLIN | waiting)
        if hearing == self._hearing:
            return
        self._hearing = hearing
        for listener in self._listeners:
            if hearing:
                self._poller.register(listener.router, zmq.POLLIN)
            else:
                self._poller.unregister(listener.router)

    # ---- connections

    def _follow_connections(self, ready: Container[Any]) -> None:
        for listener in self._listeners:
            if listener.monitor not in ready:
                continue
            for _ in range(_TURN_EVENTS):  # and no more: a flood of connections must not hide messages
                event = listener.try_event()
                if event is None:
                    break
                if event.kind == "opened":
                    self._opened(event.fd)
                elif event.kind == "closed":
                    self._admission.closed(event.fd)
                else:
                    self._counters["bad_handshakes"] += 1
        self._counters["connections"] = len(self._admission)

    def _opened(self, fd: int) -> None:
        owner = connection_owner(fd)
        if owner is None:
            return
        doomed = self._admission.opened(fd, owner)
        # asked again, because libzmq may have closed it and reused the number since
        if doomed is not None and connection_owner(doomed) == self._admission.owner(doomed):
            self._counters["refused_quota"] += 1
            shut_connection(doomed)

    def _answer_zap(self) -> None:
        """ZeroMQ RFC 27: the request is version, id, domain, address, routing id, mechanism."""
        while True:
            try:
                request = self._zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            status, text = b"400", b"refused"
            request_id = request[1] if len(request) > 1 else b""
            if len(request) >= 6 and request[0] == b"1.0" and request[5] == b"NULL":
                listener = self._by_domain.get(request[2])
                try:
                    who = parse_peer_address(request[3].decode("ascii", "replace"))
                except ProtocolError:
                    who = None
                if who and listener and who.uid in listener.endpoint.allowed_uids:
                    status, text = b"200", b"OK"
            if status != b"200":
                self._counters["refused_uid"] += 1
            self._zap.send_multipart([b"1.0", request_id, status, text, b"", b""])

    # ---- peers to host

    def _hear(self, listener: Listener, now: float) -> None:
        """A turn's worth. libzmq reads its connections in turn, so one that floods does not hide the others."""
        for _ in range(_TURN_MESSAGES):
            try:
                routing_id, *frames = listener.router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            peer = listener.prefix + routing_id.bytes
            who = self._who(routing_id)
            if self._unreachable:
                self._unreachable.pop(peer, None)
            key = (who.uid, who.pid) if who.pid else peer
            size_bytes = sum(map(len, frames))
            if not self._budgets.take(key, size_bytes, now):
                self._counters["flooded"] += 1
                self._complain(listener, routing_id.bytes, key, "too many messages: slow down", now)
            elif len(frames) != limits.CONTROL_FRAMES:
                self._counters["garbled"] += 1
                self._complain(listener, routing_id.bytes, key, f"a message is one frame, not {len(frames)}", now)
            else:
                self._counters["received"] += 1
                self._link.put(["in", peer, who.uid, who.pid, [frame.bytes for frame in frames]])

    def _who(self, frame: zmq.Frame) -> Credentials:
        address = str(frame.get("Peer-Address"))
        who = self._credentials.get(address)
        if who is None:
            if len(self._credentials) >= _REMEMBERED:
                self._credentials.clear()
            who = self._credentials[address] = parse_peer_address(address)
        return who

    def _complain(self, listener: Listener, routing_id: bytes, key: Any, why: str, now: float) -> None:
        if self._budgets.may_tell(key, now):
            try:
                listener.router.send_multipart([routing_id, encode(Garbled(why=why))], zmq.NOBLOCK)
            except zmq.ZMQError:
                pass  # it does not listen or has gone: then it need not know

    # ---- host to peers

    def _obey(self) -> bool:
        """Carry out what the host has sent. False when it has closed the link."""
        messages = self._link.try_receive()
        if messages is None:
            return False
        for message in messages:
            match message:
                case ["out", bytes(peer), list(frames)]:
                    self._deliver(peer, frames)
                case _:
                    raise ProtocolError(f"cannot use {message[0]!r} from the host: it is no word of the link")
        return True

    def _deliver(self, peer: bytes, frames: list[bytes]) -> None:
        listener = self._by_prefix.get(peer[:2])
        try:
            if listener is None:
                self._tell_unreachable("gone", peer)
                return
            listener.router.send_multipart([peer[2:], *frames], zmq.NOBLOCK)
        except zmq.Again:
            self._tell_unreachable("full", peer)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EINVAL):
                raise
            self._tell_unreachable("gone", peer)
        else:
            self._counters["sent"] += 1
            if self._unreachable:
                self._unreachable.pop(peer, None)

    def _tell_unreachable(self, word: str, peer: bytes) -> None:
        self._counters[word] += 1
        if peer not in self._unreachable:
            if len(self._unreachable) >= _REMEMBERED:
                self._unreachable.clear()
            self._unreachable[peer] = None
            self._link.put([word, peer])

    def _report(self, now: float) -> None:
        if now >= self._report_at and self._counters != self._reported:
            self._report_at = now + _REPORT_S
            self._reported = dict(self._counters)
            self._link.put(["counters", self._reported])
