"""All that an agent is connected to, for the synchronous and the asynchronous desk alike; nothing here blocks.

Control messages are acted on here: Expect opens the door, Found, Refused and Down go to the links, Stop closes the
mailbox and is remembered. When to listen is the desk's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import zmq

from agenthost.errors import ProtocolError
from agenthost.protocol import birth, control
from agenthost.protocol.birth import Certificate
from agenthost.protocol.codec import encode, read_from_host
from agenthost.transport.callee import Callee
from agenthost.transport.caller import Caller
from agenthost.transport.control import ControlSocket
from agenthost.transport.data import Door, Links

if TYPE_CHECKING:
    from agenthost.agent.drowsiness import Drowsiness

_LAST_WORDS_S = 1.0
"""How long a process that ends stays for libzmq to deliver what it has said last."""

READY = "ready"
_LAST_HEARD_S = 5.0
"""How long a process that did not come up waits for the host to have heard why."""
_MOST_OF_TRACE = 32 * 1024
"""Characters, of which UTF-8 makes up to four bytes: the router takes no message of more than 256 KiB."""


class Wires:
    """``doors`` is called once, with the socket, when the first caller is announced."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.control = ControlSocket(certificate.endpoint, context=self.context)
        self.caller = Caller(certificate.path, certificate.inc)
        self.links = Links(self.context, self.caller, self._look, self._say)
        self.callee = Callee(certificate.inc, certificate.credit)
        self.door: Door | None = None
        self.on_door: Callable[[Door], None] = lambda door: None
        self.on_answer: Callable[[control.Response | control.Refused], bool] = lambda message: False
        """Told of the answers to Requests; True if it was one. Whoever asks and monitors sets this and ``on_down``."""
        self.on_down: Callable[[control.Down], None] = lambda message: None
        self.stop: control.Stop | None = None
        self.sleep: control.Sleep | None = None
        """What the host has asked last; the desk answers when it has nothing to do."""
        self.say_birth: Callable[[birth.FromProcess], None] = lambda message: None
        """Over the birth socket."""
        self.drowsiness: Drowsiness | None = None
        """Of an agent that may sleep."""
        self.welcome = False
        """The host has heard Ready, or what was said instead."""
        self.spoke = False
        """Something was said to the host since it was last found silent: that may have swallowed an edge."""
        self.unread = 0
        """Casts that were in the mailbox when the agent was stopped."""
        self.garbled = 0
        """Messages of the host that could not be read, or that it could not read of us."""

    # ---- what is said to the host

    def expect_early(self) -> None:
        """Before Up is said: those who have waited for that may come at once."""
        for one in self.certificate.expected:
            self._opened()
            self.callee.expect(one.ticket, one.caller, one.caller_inc)

    def say_ready(self) -> None:
        """Said until the host welcomes us."""
        ready = control.Ready(inc=self.certificate.inc, token=self.certificate.token)
        self.control.ask(READY, encode(ready))
        self.spoke = True

    def say_ignore(self) -> None:
        self._say_instead(control.Ignore(inc=self.certificate.inc, token=self.certificate.token))

    def say_failed(self, error: str, trace: str) -> None:
        """The end of a long ``trace``; the whole is in the log."""
        certificate, error, trace = self.certificate, error[:_MOST_OF_TRACE], trace[-_MOST_OF_TRACE:]
        self._say_instead(control.Failed(inc=certificate.inc, token=certificate.token, error=error, trace=trace))

    def _say_instead(self, message: control.Ignore | control.Failed) -> None:
        """Instead of Ready. Returns when it was heard: our end, which the kernel tells, must not come before it."""
        self.control.ask(READY, encode(message))
        deadline = time.monotonic() + _LAST_HEARD_S
        while not self.welcome and (left_s := deadline - time.monotonic()) > 0:
            frame = self.control.wait_frame(left_s)
            if frame is not None:
                self._hear(frame)

    def ask(self, number: int, frame: bytes) -> None:
        """Said until it is answered under this number."""
        self.control.ask(number, frame)
        self.spoke = True

    def _look(self, lookup: control.Lookup) -> None:
        self.ask(lookup.id, encode(lookup))

    def _say(self, overdue: control.Overdue) -> None:
        self.control.try_send(encode(overdue))
        self.spoke = True

    # ---- what the host says

    def hear_control(self) -> bool:
        """Act on all that the host has said, until nothing is left. False if it has said nothing."""
        frame = self.control.receive_nowait()
        heard = frame is not None
        while frame is not None:
            self._hear(frame)
            frame = self.control.receive_nowait()
        self.spoke = False
        return heard

    def _hear(self, frame: bytes) -> None:
        try:
            message = read_from_host(frame)
        except ProtocolError:
            self.garbled += 1
        else:
            self._obey(message)

    def _obey(self, message: control.FromHost) -> None:
        if isinstance(message, control.Expect):
            self._expect(message)
        elif isinstance(message, control.Found):
            self.control.answered(message.id)
            self.caller.found(message, time.monotonic())
            self.links.flush()
        elif isinstance(message, control.Refused):
            self.control.answered(message.id)
            if not self.on_answer(message):
                self.caller.refused(message)
                self.links.flush()
        elif isinstance(message, control.Down):
            self.control.try_send(encode(control.Seen(id=message.id)))
            self.links.down(message.path, message.inc, message.reason, time.monotonic(), asleep=message.asleep)
            if not message.asleep:  # who monitors it hears of an end, and that is none
                self.on_down(message)  # after the calls to it: who called knows what it died of
        elif isinstance(message, control.Stop):
            self._begin_stop(message)
        elif isinstance(message, control.Welcome):
            self.control.answered(READY)
            self.welcome = True
        elif isinstance(message, control.Response):
            self.control.answered(message.id)
            self.on_answer(message)
        elif isinstance(message, control.Sleep):
            self.sleep = message
        elif isinstance(message, control.Rest):
            self.control.try_send(encode(control.Seen(id=message.id)))
            self.rest_after(message.after_s)
        else:
            self.garbled += 1

    def rest_after(self, after_s: float) -> None:
        """It may sleep from now on, or may not."""
        if self.drowsiness is not None:
            self.drowsiness.set_after(after_s)
        elif after_s:
            from agenthost.agent.drowsiness import Drowsiness

            self.drowsiness = Drowsiness(after_s, self.say_birth)

    def try_sleep(self, has_work: Callable[[], bool]) -> bool:
        """As the host has asked. True: from here on nothing is let in, and ``stop`` says why."""
        asked, self.sleep = self.sleep, None
        drowsiness = self.drowsiness
        if asked is None or drowsiness is None:
            return False
        self.hear_control()  # who was announced is on the way
        while self.door is not None and not self.callee.queued and self.door.pump(time.monotonic()):
            continue
        if self.callee.queued or has_work():
            drowsiness.stir()
        if not drowsiness.may_sleep(asked.number):
            return False
        self.callee.fall_asleep()
        self.flush_door()
        drowsiness.sleep()
        self.stop = control.Stop(id=0, reason="it falls asleep", grace_s=None)
        return True

    def _expect(self, message: control.Expect) -> None:
        if self.drowsiness is not None:
            self.drowsiness.stir()
        door = self._opened()
        self.callee.expect(message.ticket, message.caller, message.caller_inc)
        expecting = control.Expecting(inc=self.certificate.inc, ticket=message.ticket, address=door.address)
        self.control.try_send(encode(expecting))

    def _opened(self) -> Door:
        if self.door is None:
            address = f"ipc://{self.certificate.data_folder}/d-{self.certificate.inc}"
            self.door = Door(self.context, self.callee, address)
            self.on_door(self.door)
        return self.door

    def _begin_stop(self, message: control.Stop) -> None:
        self.control.try_send(encode(control.Stopping(inc=self.certificate.inc, id=message.id)))
        if self.stop is None:
            self.stop = message
            self.unread = self.callee.close("it is stopping")
            self.flush_door()

    def flush_door(self) -> None:
        if self.door is not None and self.callee.out:
            self.door.flush()

    def close(self) -> None:
        """Deliver what was said last, for at most a second, and close everything."""
        self.flush_door()
        self.links.close()
        if self.door is not None:
            self.door.close()
        self.control.close(_LAST_WORDS_S)
        self.context.term()
