"""The host's side of the control plane in one thread, for real agents in real processes.

It speaks the real protocol over a real ROUTER: Ready, Lookup, Expect, Down, Stop, Request. It decides nothing about
supervision, and every test may look at what it was told.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import zmq

from agenthost.errors import ProtocolError
from agenthost.protocol import birth, control
from agenthost.protocol.codec import encode, read_from_peer, read_from_process
from agenthost.protocol.wishes import WISHES
from tests.agent.fake_family import Family
from tests.waiting import wait_until

REPEAT_MS = 250
ROOT = Path(__file__).parents[2]


class Hosted:
    """One agent process and all that the host heard of it."""

    def __init__(
        self, path: str, inc: str, process: subprocess.Popen[bytes], sock: socket.socket, output: tuple[IO[bytes], ...]
    ) -> None:
        self.path, self.inc, self.process, self.sock = path, inc, process, sock
        self.out, self.err = output
        self.pidfd = os.pidfd_open(process.pid)
        self.peer = b""
        self.said: list[Any] = []
        """Control messages, in order."""
        self.packets: list[Any] = []
        """What came over the birth socket."""
        self.watchers: set[bytes] = set()
        self.is_alive = True

    def heard(self, kind: type) -> list[Any]:
        return [message for message in self.said if type(message) is kind]

    def told(self, kind: type) -> list[Any]:
        return [packet for packet in self.packets if type(packet) is kind]

    @property
    def status(self) -> int | None:
        return self.process.returncode

    def stdout(self) -> str:
        return _read(self.out)

    def stderr(self) -> str:
        return _read(self.err)


def _read(file: IO[bytes]) -> str:
    return os.pread(file.fileno(), 1 << 20, 0).decode()


class FakeHost:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint = f"ipc://{folder}/control"
        self.agents: list[Hosted] = []
        self.reason = "killed by the test"
        self.deaf_to: Counter[type] = Counter()
        """So many messages of a kind are not heard."""
        self.seen: list[int] = []
        self.overdue: list[control.Overdue] = []
        self.garbage = 0
        self.requests: list[tuple[bytes, control.Request]] = []
        self.is_silent = False
        """True: nothing is answered."""
        self._unanswered: dict[Any, tuple[bytes, bytes]] = {}
        self._expected: dict[bytes, tuple[bytes, int, Hosted]] = {}
        self._down_ids: dict[int, tuple[bytes, int]] = {}
        self._next_id = 1
        self._spawned = 0
        self.family = Family(self)
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = os.eventfd(0)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._bind()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="fake host")
        self._thread.start()

    # ---- for tests

    def start(
        self,
        agent: str,
        path: str = "/it",
        args: dict[str, Any] | None = None,
        *,
        beat_s: float = 5.0,
        credit: int = 64,
        wait: bool = True,
    ) -> Hosted:
        """Start ``tests.agent.cast:AGENT``, and wait until it is ready."""
        hosted = self.spawn(agent, path, args, beat_s=beat_s, credit=credit)
        self._do(lambda: self.agents.append(hosted))
        if wait:
            wait_until(lambda: hosted.heard(control.Ready) or not hosted.is_alive, what=f"{path} ready")
            assert hosted.heard(control.Ready), hosted.stderr()
        return hosted

    def spawn(
        self,
        agent: str,
        path: str,
        args: dict[str, Any] | None = None,
        *,
        beat_s: float = 5.0,
        credit: int = 64,
        code: bytes = b"",
    ) -> Hosted:
        """Its process, which is not yet listened to."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._spawned += 1
        inc = f"7.{self._spawned}"
        certificate = birth.Certificate(
            path=path,
            inc=inc,
            token=inc.encode().ljust(16, b"."),
            endpoint=self.endpoint,
            data_folder=str(self.folder),
            agent=agent if ":" in agent else f"tests.agent.cast:{agent}",
            args=args or {},
            code=code,
            beat_s=beat_s,
            credit=credit,
        )
        out, err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115  # closed by close()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.agent.born", str(theirs.fileno())],
            stdin=subprocess.PIPE, stdout=out, stderr=err, pass_fds=[theirs.fileno()], cwd=ROOT,
        )  # fmt: skip
        theirs.close()
        hosted = Hosted(path, inc, process, ours, (out, err))
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(encode(certificate))
        return hosted

    def stop(self, hosted: Hosted, grace_s: float | None = 5.0) -> None:
        def order() -> None:
            number = self._number()
            stop = control.Stop(id=number, reason="the test is over", grace_s=grace_s)
            self.say(hosted.peer, stop, repeat=("stop", number))

        self._do(order)

    def kill(self, hosted: Hosted) -> None:
        hosted.process.kill()

    def say_down(self, hosted: Hosted) -> None:
        self._do(lambda: self._down(hosted))

    def wait_end(self, hosted: Hosted) -> int:
        wait_until(lambda: not hosted.is_alive, what=f"end of {hosted.path}")
        assert hosted.status is not None
        return hosted.status

    def probe(self, hosted: Hosted, number: int) -> None:
        hosted.sock.send(encode(birth.Probe(id=number)))

    def restart_router(self) -> None:
        """As a router that died and came again: it knows nobody until they reconnect."""

        def order() -> None:
            self._router.close(0)
            self._router = self._bind()

        self._do(order)

    def close_router(self) -> None:
        self._do(lambda: self._router.close(0))

    def open_router(self) -> None:
        def order() -> None:
            self._router = self._bind()

        self._do(order)

    def say_raw(self, hosted: Hosted, *frames: bytes) -> None:
        self._do(lambda: self._router.send_multipart([hosted.peer, *frames]))

    def close(self) -> None:
        for hosted in self.agents:
            if hosted.is_alive:
                hosted.process.kill()
        wait_until(lambda: not any(hosted.is_alive for hosted in self.agents), what="end of all agents")
        self._do(lambda: setattr(self, "_stopped", True))
        self._thread.join()
        self._router.close(0)
        self._context.term()
        os.close(self._wake)
        for entry in self.folder.iterdir():
            if entry.is_socket():
                entry.unlink()
        for hosted in self.agents:
            hosted.sock.close()
            hosted.out.close()
            hosted.err.close()

    # ---- the thread

    def _do(self, order: Callable[[], object]) -> None:
        done = threading.Event()

        def ordered() -> None:
            order()
            done.set()

        self._orders.put(ordered)
        os.eventfd_write(self._wake, 1)
        assert done.wait(10), "the fake host is stuck"

    def _bind(self) -> zmq.Socket[bytes]:
        router = self._context.socket(zmq.ROUTER)
        router.set(zmq.ROUTER_HANDOVER, 1)
        router.bind(self.endpoint)
        return router

    def _run(self) -> None:
        while not self._stopped:
            poller = zmq.Poller()
            poller.register(self._wake, zmq.POLLIN)
            if not self._router.closed:
                poller.register(self._router, zmq.POLLIN)
            alive = [hosted for hosted in self.agents if hosted.is_alive]
            for hosted in alive:
                poller.register(hosted.sock, zmq.POLLIN)
                poller.register(hosted.pidfd, zmq.POLLIN)
            ready = dict(poller.poll(REPEAT_MS if self._unanswered else None))
            if not ready:
                for peer, frame in list(self._unanswered.values()):
                    self._send(peer, frame)
            if self._wake in ready:
                os.eventfd_read(self._wake)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._orders.get_nowait()()
            for hosted in alive:
                if hosted.sock.fileno() in ready:
                    self._hear_process(hosted)
                if hosted.pidfd in ready:
                    self._bury(hosted)
            if not self._router.closed:
                self._hear_peers()

    def _hear_process(self, hosted: Hosted) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while packet := hosted.sock.recv(65536, socket.MSG_DONTWAIT):
                hosted.packets.append(read_from_process(packet))

    def _bury(self, hosted: Hosted) -> None:
        self._hear_peers()  # its last words come first
        hosted.process.wait()
        os.close(hosted.pidfd)
        for key in [key for key, (peer, _) in self._unanswered.items() if peer == hosted.peer]:
            del self._unanswered[key]
        for ticket in [ticket for ticket, (_, _, callee) in self._expected.items() if callee is hosted]:
            peer, number, _ = self._expected.pop(ticket)
            self.say(peer, control.Refused(id=number, code="not_running", why=f"{hosted.path} has ended"))
        self._down(hosted)
        hosted.is_alive = False
        self.family.buried(hosted)

    def _down(self, hosted: Hosted) -> None:
        for watcher in hosted.watchers:
            number = self._number()
            down = control.Down(id=number, path=hosted.path, inc=hosted.inc, reason=self.reason)
            self.say(watcher, down, repeat=("down", number))
        hosted.watchers = set()

    def _hear_peers(self) -> None:
        if self._router.closed:
            return
        with contextlib.suppress(zmq.Again):
            while True:
                peer, *frames = self._router.recv_multipart(zmq.NOBLOCK)
                if self.is_silent:
                    continue
                try:
                    message = read_from_peer(frames[0])
                except ProtocolError:
                    self.garbage += 1
                    continue
                if self.deaf_to[type(message)] > 0:
                    self.deaf_to[type(message)] -= 1
                    continue
                self._hear(peer, message)

    def _hear(self, peer: bytes, message: Any) -> None:
        if isinstance(message, control.Ready | control.Ignore | control.Failed):
            hosted = next(hosted for hosted in self.agents if hosted.inc == message.inc)
            assert message.token == message.inc.encode().ljust(16, b".")
            hosted.peer = peer
            hosted.said.append(message)
            self.say(peer, control.Welcome(inc=message.inc))
            self.family.ready(hosted, message)
        elif isinstance(message, control.Lookup):
            self._look(peer, message)
        elif isinstance(message, control.Request):
            self._answer(peer, message)
        elif isinstance(message, control.Overdue):
            self.overdue.append(message)
        elif isinstance(message, control.Seen):
            self.seen.append(message.id)
            self._unanswered.pop(("down", message.id), None)
        else:
            hosted = next(hosted for hosted in self.agents if hosted.inc == message.inc)
            hosted.said.append(message)
            if isinstance(message, control.Stopping):
                self._unanswered.pop(("stop", message.id), None)
            elif self._unanswered.pop(("expect", message.ticket), None):
                self._found(message)

    def _look(self, peer: bytes, message: control.Lookup) -> None:
        known = [hosted for hosted in self.agents if hosted.path == message.path]
        alive = [hosted for hosted in known if hosted.is_alive and hosted.peer]
        if not alive:
            code = "not_running" if known else "unknown_name"
            self.say(peer, control.Refused(id=message.id, code=code, why=f"there is no {message.path}"))
            return
        callee = alive[-1]
        me = next((hosted for hosted in self.agents if hosted.inc == message.inc), None)
        caller = me.path if me else f"client:{os.getuid()}"
        ticket = os.urandom(16)
        self._expected[ticket] = (peer, message.id, callee)
        expect = control.Expect(ticket=ticket, caller=caller, caller_inc=message.inc)
        self.say(callee.peer, expect, repeat=("expect", ticket))

    def _found(self, message: control.Expecting) -> None:
        peer, number, callee = self._expected.pop(message.ticket)
        callee.watchers.add(peer)
        found = control.Found(
            id=number, path=callee.path, inc=callee.inc, address=message.address, ticket=message.ticket
        )
        self.say(peer, found)

    def _answer(self, peer: bytes, message: control.Request) -> None:
        self.requests.append((peer, message))
        if message.op == "echo":
            self.say(peer, control.Response(id=message.id, result=message.args))
        elif message.op == "count":
            for number in range(message.args["to"]):
                self.say(peer, control.Response(id=message.id, result=number, more=True))
            self.say(peer, control.Response(id=message.id))
        elif message.op in WISHES:
            self.family.hear(peer, message)
        elif message.op != "never":
            self.say(peer, control.Refused(id=message.id, code="usage", why=f"no such op: {message.op}"))

    def say(self, peer: bytes, message: control.FromHost, repeat: Any = None) -> None:
        frame = encode(message)
        if repeat is not None:
            self._unanswered[repeat] = (peer, frame)
        self._send(peer, frame)

    def _send(self, peer: bytes, frame: bytes) -> None:
        if not self._router.closed:
            self._router.send_multipart([peer, frame])

    def _number(self) -> int:
        self._next_id += 1
        return self._next_id


@contextlib.contextmanager
def fake_host(folder: Path) -> Iterator[FakeHost]:
    host = FakeHost(folder)
    try:
        yield host
    finally:
        host.close()
