"""Talking to a host, and to its agents, from outside: :class:`Client`.

::

    with Client() as client:
        status = client.request("status")
        reply = client.call("/team/planner", {"goal": "..."}, timeout=60)

One thread, no event loop, nothing in the background; a client is for the thread that made it. A host that does not
answer is noticed after ``patience_s``, also in the midst of a request that takes its time: pings go along with it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import zmq
from zmq.backend import zmq_poll

from agenthost.errors import AgenthostError, NoHost, ProtocolError, TimedOut, UnknownName, UsageError, from_wire
from agenthost.later import checked_key, due, in_zone
from agenthost.protocol import control
from agenthost.protocol.codec import encode, pack_body, read_from_host
from agenthost.protocol.limits import PEER_MESSAGE_BYTES
from agenthost.transport.caller import Call, Caller, Link
from agenthost.transport.control import ControlSocket
from agenthost.transport.data import Links, check_size

if TYPE_CHECKING:
    from datetime import datetime

    from agenthost.client.session import Session

DEFAULT_TIMEOUT_S = 30.0
PATIENCE_S = 5.0
SIDE_BY_SIDE = 200
"""So many requests are under way at a time: each is repeated until it is answered, and the router limits rates."""
MAIL_BYTES = PEER_MESSAGE_BYTES - 4096
PING = "ping"
PING_S = 2.0
"""An op that any host answers, if only by refusing it."""


class Client:
    """``endpoint`` is the host's control socket, ``ipc://...``. Without it ``transport.places`` finds the host, named
    ``host`` or the only one that runs; raises ``NoHost`` if there is none. Nothing is said before it is needed."""

    def __init__(self, endpoint: str | None = None, *, host: str | None = None, patience_s: float = PATIENCE_S) -> None:
        if endpoint is None:
            from agenthost.transport.places import find_endpoint

            endpoint = find_endpoint(host=host)
        self.endpoint, self.patience_s = endpoint, patience_s
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._control = ControlSocket(endpoint, context=self._context)
        self._caller = Caller(f"client:{os.getuid()}", "")
        self._links = Links(self._context, self._caller, self._look, self._say)
        self._answers: dict[int, deque[control.Response | control.Refused]] = {}
        self._heard_at = 0.0
        self._pinged_at, self._ping = 0.0, 0
        self.on_delay: Callable[[str], None] = lambda why: None
        """Told, when an answer takes long and the host knows why, what is waited for."""
        self._delayed_by = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Safe to call twice."""
        self._links.close()
        self._control.close()
        self._context.term()

    # ---- the host

    def request(self, op: str, args: dict[str, Any] | None = None, timeout: float | None = DEFAULT_TIMEOUT_S) -> Any:
        """Ask the host for ``op`` of the table in ``protocol/SPEC.md`` and return its result.

        ``timeout`` in seconds, None waits as long as the host is there. Raises ``TimedOut``, ``NoHost``, or what the
        host refuses with. Of an op that answers more than once, the last result; see :meth:`stream`.
        """
        last = deque(self._responses(op, args, timeout), maxlen=1)
        return last[0] if last else None

    def stream(self, op: str, args: dict[str, Any] | None = None, timeout: float | None = None) -> Iterator[Any]:
        """The results of an op that goes on answering, as they come. ``timeout`` is for each of them, None for none.

        The end of the stream carries no result of its own if that is None.
        """
        return self._responses(op, args, timeout)

    def _responses(self, op: str, args: dict[str, Any] | None, timeout: float | None) -> Iterator[Any]:
        number = self._caller.new_id()
        answers = self._answers[number] = deque()
        try:
            self._control.ask(number, _request(number, op, args or {}))
            while True:
                self._wait(lambda: bool(answers), None if timeout is None else time.monotonic() + timeout, op)
                answer = answers.popleft()
                if isinstance(answer, control.Refused):
                    raise from_wire(answer.code, answer.why, answer.hint)
                if answer.more or answer.result is not None:
                    yield answer.result
                if not answer.more:
                    return
        finally:
            self._control.answered(number)
            del self._answers[number]

    def request_each(self, op: str, arguments: Sequence[dict[str, Any]]) -> Iterator[tuple[int, Any | AgenthostError]]:
        """Ask for ``op`` once with each of ``arguments``, side by side, and wait as long as it takes.

        Position and result, or what it was refused with, in the order in which the answers come.
        """
        left = deque(enumerate(arguments))
        asked: dict[int, int] = {}
        try:
            while left or asked:
                while left and len(asked) < SIDE_BY_SIDE:
                    position, args = left.popleft()
                    number = self._caller.new_id()
                    self._answers[number] = deque()
                    asked[number] = position
                    self._control.ask(number, _request(number, op, args))
                self._wait(lambda: any(self._answers[number] for number in asked), None, op)
                for number in [number for number in asked if self._answers[number]]:
                    answer = self._answers.pop(number).popleft()
                    position = asked.pop(number)
                    if isinstance(answer, control.Refused):
                        yield position, from_wire(answer.code, answer.why, answer.hint)
                    else:
                        yield position, answer.result
        finally:
            for number in asked:
                self._control.answered(number)
                del self._answers[number]

    # ---- agents

    def call(self, path: str, body: Any = None, timeout: float | None = DEFAULT_TIMEOUT_S) -> Any:
        """Ask the agent at ``path`` and return its reply. Raises what ``Context.call`` raises, and ``NoHost``."""
        deadline = None if timeout is None else time.monotonic() + timeout
        _check_text(path)
        call = self._caller.call(path, check_size(pack_body(body)), deadline, time.monotonic())
        return self._outcome(call, path, deadline)

    def send(
        self,
        path: str,
        body: Any = None,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        *,
        key: str = "",
        durable: bool = True,
        after_s: float | None = None,
        at: datetime | float | None = None,
    ) -> None:
        """Mail for the agent at ``path``, running or not; returns when it will not be lost any more. The same ``key``
        is taken once, however often it is sent. Up to about 250 KB. It is delivered ``after_s`` seconds from now, or
        ``at`` a time of the clock: a datetime with a zone, or seconds since 1970.

        With ``durable=False`` it is put into the memory of a running agent, and is lost if that ends.
        """
        if durable:
            due_ms, by_clock = (0, False) if after_s is None and at is None else due(after_s, at)
            packed = self._pack(body)
            key = checked_key(key) if key else f"once:{os.urandom(12).hex()}"
            args: dict[str, Any] = {"path": path, "body": packed, "key": key}
            if due_ms:
                args |= {"due_ms": due_ms, "by_clock": by_clock}
            self.request("send", args, timeout)  # the key: this request may be answered by a second life of the host
            return
        if after_s is not None or at is not None:
            raise UsageError("cannot send for later what is not durable: nobody would remember it")
        deadline = None if timeout is None else time.monotonic() + timeout
        _check_text(path)
        call = self._caller.cast(path, check_size(pack_body(body)), time.monotonic())
        self._outcome(call, path, deadline)

    def cancel(self, key: str, timeout: float | None = DEFAULT_TIMEOUT_S) -> bool:
        """What this user has sent with ``key`` is not delivered, if nobody has begun to handle it; then the key may be
        used again. False if there is no such message."""
        try:
            self.request("cancel", {"key": checked_key(key)}, timeout)
        except UnknownName:
            return False
        return True

    def schedule(
        self,
        name: str,
        cron: str,
        path: str,
        body: Any = None,
        *,
        zone: str = "",
        timeout: float | None = DEFAULT_TIMEOUT_S,
    ) -> float:
        """Send ``body`` to the agent at ``path`` whenever the cron expression says, in the time zone ``zone`` (that of
        the host's machine without). What clients have of that name is replaced; the same again changes nothing.
        When it is due next, in seconds since 1970. ``UsageError``, ``UnknownName``."""
        args = {"name": name, "cron": in_zone(cron, zone), "path": path, "body": self._pack(body)}
        return float(self.request("schedule", args, timeout)["next"])

    def unschedule(self, name: str, timeout: float | None = DEFAULT_TIMEOUT_S) -> None:
        """End a periodic message; those of agents are called "/path#name". ``UnknownName`` if there is none."""
        self.request("unschedule", {"name": name}, timeout)

    @staticmethod
    def _pack(body: Any) -> bytes:
        packed = pack_body(body)
        if len(packed) > MAIL_BYTES:
            raise UsageError(
                f"cannot send mail of {len(packed)} bytes: a client may send up to {MAIL_BYTES}",
                hint="write it to a file, call() the agent, or send it with durable=False",
            )
        return packed

    def interrupt(self, path: str, reason: str = "", timeout: float | None = DEFAULT_TIMEOUT_S) -> str:
        """End the turn that the agent at ``path`` has in hand, or those of all agents below a supervisor. Returns when
        that is over, what was interrupted and killed, in words. ``NotRunning`` if no turn is in hand."""
        result = self.request("interrupt", {"path": path, "reason": reason}, timeout)
        return str(result["text"])

    def session(self, path: str, *, name: str = "", patience_s: float | None = 60.0) -> Session:
        """The session of the agent at ``path``, running or not: its log, what it is saying, and saying something."""
        from agenthost.client.session import Session

        return Session(self, path, name=name, patience_s=patience_s)

    def _outcome(self, call: Call, path: str, deadline: float | None) -> Any:
        self._links.flush()
        try:
            self._wait(lambda: call.outcome is not None, deadline, path, call)
        except BaseException as error:  # also Ctrl-C: the agent need not begin what nobody waits for
            why = error if isinstance(error, AgenthostError) else TimedOut("cannot wait any longer: interrupted")
            self._caller.abandon(call, why)
            self._links.flush()
            raise
        outcome = call.decoded()
        if isinstance(outcome, AgenthostError):
            raise outcome
        return outcome

    def _look(self, lookup: control.Lookup) -> None:
        self._control.ask(lookup.id, encode(lookup))

    def _say(self, overdue: control.Overdue) -> None:
        self._control.try_send(encode(overdue))

    # ---- waiting

    def _wait(self, is_there: Callable[[], bool], deadline: float | None, what: str, call: Call | None = None) -> None:
        began = time.monotonic()
        self._delayed_by = ""
        self._heard_at = max(self._heard_at, began)  # its silence counts from the question on
        while not is_there():
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                why = f"; {self._delayed_by}" if self._delayed_by else ""
                raise TimedOut(f"cannot get an answer from {what}: nothing came in {deadline - began:.4g} s{why}")
            if now - self._heard_at >= self.patience_s:
                raise NoHost(
                    f"cannot reach the host at {self.endpoint}: it has not answered for {self.patience_s:g} s",
                    hint="is it running? agenthost status",
                )
            self._ping_if_silent(now)
            next_look = min(self._heard_at + self.patience_s, now + self.patience_s / 4)
            link = None if call is None else call.link  # another, once the callee has slept
            self._listen(next_look if deadline is None else min(next_look, deadline), link)

    def _ping_if_silent(self, now: float) -> None:
        share_s = min(self.patience_s / 4, PING_S)
        if now - self._heard_at >= share_s and now - self._pinged_at >= share_s:
            self._pinged_at, self._ping = now, self._caller.new_id()
            self._control.try_send(encode(control.Request(id=self._ping, op=PING, args={"journal": True})))

    def _pong(self, boot: int, journal: str) -> None:
        """Whom an earlier life of the host had started has ended with it, and nobody could tell. ``journal``: why that
        does not answer."""
        self._delayed_by = f"the host says of its journal: {journal}" if journal else ""
        if journal:
            self.on_delay(self._delayed_by)
        for link in self._caller.of_other_boots(boot):
            self._links.down(link.path, link.inc, "its host has ended, and was started again", self._heard_at)

    def _listen(self, until: float, link: Link | None) -> None:
        """Act on what arrives first, at ``until`` the latest."""
        items: list[tuple[Any, int]] = [(self._control.socket, zmq.POLLIN)]
        plug = self._links.socket(link) if link is not None else None
        if plug is not None:
            items.append((plug, zmq.POLLIN))
        left_s = max(0.0, until - time.monotonic())
        repeat_s = self._control.resend_due()
        if repeat_s is not None:
            left_s = min(left_s, repeat_s)
        # rounded up: poll(2) counts in ms, and 0 would spin
        for source, _ in zmq_poll(items, ceil(left_s * 1000)):
            if source is self._control.socket:
                self._hear_host()
            elif link is not None:
                self._links.pump(link, time.monotonic())

    def _hear_host(self) -> None:
        while (frame := self._control.receive_nowait()) is not None:
            self._heard_at = time.monotonic()
            try:
                message = read_from_host(frame)
            except ProtocolError:
                continue  # of a newer host, perhaps; what matters comes again
            if isinstance(message, control.Response | control.Refused):
                self._control.answered(message.id)
                if message.id in self._answers:
                    self._answers[message.id].append(message)
                elif isinstance(message, control.Refused):
                    self._caller.refused(message)
                elif message.id == self._ping and isinstance(message.result, dict):
                    self._pong(int(message.result.get("boot", 0)), str(message.result.get("journal", "")))
            elif isinstance(message, control.Found):
                self._control.answered(message.id)
                self._caller.found(message, time.monotonic())
            elif isinstance(message, control.Down):
                self._links.down(message.path, message.inc, message.reason, self._heard_at, asleep=message.asleep)
                self._control.try_send(encode(control.Seen(id=message.id)))
        self._links.flush()


def _request(number: int, op: str, args: dict[str, Any]) -> bytes:
    """``UsageError``: words of it can be no name, or no number, of anything; or it is so long that the router would
    cut us off without a word."""
    try:
        request = encode(control.Request(id=number, op=op, args=args))
    except (OverflowError, UnicodeEncodeError) as error:
        raise UsageError(f"cannot ask for {op}: {error}") from None
    if len(request) > PEER_MESSAGE_BYTES:
        raise UsageError(
            f"cannot ask for {op}: that is {len(request)} bytes, and at most {PEER_MESSAGE_BYTES} are taken"
        )
    return request


def _check_text(path: str) -> None:
    """Bytes of a command line that are no UTF-8 (PEP 383) are no path."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"cannot reach {path!a}: {error}") from None
