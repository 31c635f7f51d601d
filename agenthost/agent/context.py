"""What a handler can do besides computing: :class:`Context` for ``def``, :class:`AsyncContext` for ``async def``.

A context decides what holds for both: deadlines travel, a call to oneself is refused. How a message gets there is the
business of its desk: the real ones are in ``desk`` and ``async_desk``, ``agenthost.testing`` has one without a host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from agenthost.agent.attempt import FIRST, Attempt
from agenthost.agent.later import AsyncLater, AsyncLaterDesk, Later, LaterDesk, Post, Wish
from agenthost.agent.progress import steps
from agenthost.errors import AgenthostError, TimedOut, UsageError
from agenthost.later import checked_key

if TYPE_CHECKING:
    import os

    from agenthost.agent.async_popen import AsyncTool
    from agenthost.agent.children import AsyncChild, Child
    from agenthost.agent.group import AsyncGroup, Group
    from agenthost.agent.kin import Kin
    from agenthost.agent.loops import Brake
    from agenthost.agent.monitor import AsyncMonitor, Monitor
    from agenthost.agent.popen import Tool
    from agenthost.agent.ran import Ran
    from agenthost.agent.scope import AsyncScope, Scope
    from agenthost.agent.telling import Stream, Telling
    from agenthost.agent.tool_pipes import Where
    from agenthost.agent.tools import Argv
    from agenthost.agent.wanted import What

DEFAULT_TIMEOUT_S = 30.0
LONGEST_S = 1e6
"""11 days; a longer timeout, also ``math.inf``, is this one: epoll_wait(2) counts milliseconds in an int."""

within: ContextVar[float | None] = ContextVar("within", default=None)
"""The deadline of the innermost scope that has one; what is sent inside it waits no longer."""

Outcome = Any
"""The decoded reply, or an ``AgenthostError``."""
Tell = Callable[[int, Outcome, bool], None]
"""(place, from 0; outcome; whether the callee may have had it)"""


class Purse(Protocol):
    """Where ``spend`` is booked."""

    def spend(self, tokens_in: int, tokens_out: int, model: str, cost: float | None) -> None: ...


class Desk(LaterDesk, Protocol):
    """Where a synchronous context hands its messages in. Deadlines are on the clock of ``time.monotonic``."""

    def ask(self, path: str, body: Any, deadline: float) -> Outcome:
        """Call one and wait for its outcome."""

    def exchange(self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None) -> list[Outcome]:
        """Call all, in order, and wait until each has its outcome. ``tell`` is told of each at once."""

    def deliver(self, path: str, body: Any, deadline: float) -> None: ...

    def post(self, context: Context, path: str, body: Any, deadline: float) -> None:
        """Durable mail: with the turn of ``context``, at once where that is over."""

    def locate(self, path: str, deadline: float) -> str | None: ...

    def account(self, context: Context) -> Telling:
        """For what the turn of ``context`` tells of itself. ``UsageError`` where that is over."""

    def purse(self, context: Context) -> Purse: ...

    def keep_checkpoint(self, context: Context, name: str) -> None:
        """Of the turn of ``context``; ``UsageError`` where that is over."""

    def roll_back(self, context: Context, name: str, deadline: float) -> None: ...

    def is_stopping(self) -> bool: ...

    def kin(self) -> Kin:
        """For children, scopes, monitors and groups; made when it is first asked for."""


class AsyncDesk(AsyncLaterDesk, Protocol):
    async def ask(self, path: str, body: Any, deadline: float) -> Outcome: ...

    async def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None
    ) -> list[Outcome]: ...

    async def deliver(self, path: str, body: Any, deadline: float) -> None: ...

    async def post(self, context: AsyncContext, path: str, body: Any, deadline: float) -> None: ...

    async def locate(self, path: str, deadline: float) -> str | None: ...

    def account(self, context: AsyncContext) -> Telling: ...

    def purse(self, context: AsyncContext) -> Purse: ...

    def keep_checkpoint(self, context: AsyncContext, name: str) -> None: ...

    async def roll_back(self, context: AsyncContext, name: str, deadline: float) -> None: ...

    def is_stopping(self) -> bool: ...

    def kin(self) -> Kin: ...


class _Base:
    """``path`` and ``incarnation`` are the agent's own; ``deadline`` is the turn's, None if nobody waits for it;
    ``attempt`` says which try of its message it is, and what became of those before."""

    __slots__ = ("attempt", "brake", "deadline", "incarnation", "interrupted", "is_over", "path")

    attempt: Attempt
    brake: Brake | None
    """Stops a turn that repeats itself; None where nothing is counted."""
    path: str
    incarnation: str
    deadline: float | None
    interrupted: bool
    """True once the turn was interrupted: for threads of the author's, which see it nowhere else."""
    is_over: bool
    """True once the turn has ended, and its tools with it."""

    def log(self, text: str, **fields: Any) -> None:
        """One line on stdout, which the host captures: ``text key=value ...``."""
        words = [text, *(f"{key}={_shown(value)}" for key, value in fields.items())]
        try:
            print(" ".join(words).replace("\n", "\\n"), flush=True)
        except OSError:
            pass  # who captures it has gone: a lost line is no reason to crash

    def progress(self) -> None:
        """The turn gets on, though nothing of that is seen: for what takes long and neither tells anything, nor calls
        or runs anything. Where ``turn.progress`` bounds how long it may stand still, that begins anew. From any thread;
        costs nothing."""
        steps.count += 1

    def spend(self, tokens_in: int = 0, tokens_out: int = 0, *, model: str = "", cost: float | None = None) -> None:
        """So much was used, for this turn and its message. What it costs says ``prices`` of the config, by ``model``,
        unless ``cost`` does. It counts whatever becomes of the turn. Where a budget is used up, the turn is interrupted
        a moment later. Never waits; in async handlers too there is nothing to await. ``UsageError`` for what is less
        than nothing."""
        from agenthost.agent.spending import check_spent

        check_spent(tokens_in, tokens_out, model, cost)
        self._purse().spend(tokens_in, tokens_out, model, cost)

    def _purse(self) -> Purse:
        raise UsageError("cannot spend anything without an agent")

    def emit(self, type: str, /, **fields: Any) -> None:
        """An entry of this agent's session log, true with the commit of the turn; who follows the session sees it at
        once. If the turn fails it is kept, marked as broken. ``type`` is yours; "message" and "reply" are what was said
        to the agent and what it has answered.

        Raises ``UsageError`` after the turn, and for more than 16 MiB; ``TypeError`` for what msgpack cannot carry.
        """
        self._account().emit(type, fields)

    def stream(self, type: str, /, **fields: Any) -> Stream:
        """An entry that grows: ``with ctx.stream("answer") as out: out.write("text")``, in async handlers too (there is
        nothing to await). Its fields are ``fields`` and ``text``, all that was written. As :meth:`emit`; if the block
        is left by an exception the entry is broken, whatever becomes of the turn.
        """
        return self._account().stream(type, fields)

    def _account(self) -> Telling:
        raise UsageError("cannot tell anything without an agent")

    def _due(self, wishes: list[tuple[str, Any]], timeout: float | None) -> float:
        if any(path == self.path for path, _ in wishes):
            raise _call_to_oneself(self.path)
        return self._limit(timeout)

    def _brake_at(self, wanted: list[tuple[str, Any]]) -> None:
        """``TurnLooped`` if one of these calls is one too many."""
        if self.brake is not None and not self.is_over:
            for path, body in wanted:
                self.brake.call(path, body)

    def _failed(self, wanted: list[tuple[str, Any]], outcomes: list[Outcome]) -> None:
        """``TurnLooped`` if one of them is an error too many."""
        if self.brake is not None and not self.is_over:
            for (path, _), outcome in zip(wanted, outcomes, strict=True):
                if isinstance(outcome, AgenthostError):
                    self.brake.failed(path, outcome)

    def _check_open(self, what: object) -> None:
        """For what belongs to the turn: a thread may have outlived it, or somebody kept the context."""
        if self.is_over:
            raise UsageError(
                f"cannot run {what!r}: the turn of this ctx is over, and a tool would belong to it",
                hint="run it before the turn ends; what is to outlive the turn is begun in it, by popen(keep=True)",
            )

    def _limit(self, timeout: float | None) -> float:
        now = time.monotonic()
        due = now + (DEFAULT_TIMEOUT_S if timeout is None else min(timeout, LONGEST_S))
        bound = within.get()
        if bound is not None and bound < due:
            if bound <= now:
                raise TimedOut("cannot send anything more in this scope: its time is over")
            due = bound
        if self.deadline is None or due < self.deadline:
            return due
        if self.deadline <= now:
            raise TimedOut("cannot send anything more in this turn: its caller's deadline has passed")
        return self.deadline


class Context(_Base, Later):
    """For a handler that is a plain function. Only for the thread that it was handed to."""

    __slots__ = ("_desk",)

    def __init__(
        self, path: str, incarnation: str, deadline: float | None, desk: Desk, attempt: Attempt = FIRST
    ) -> None:
        self.path, self.incarnation, self.deadline = path, incarnation, deadline
        self.interrupted = self.is_over = False
        self.brake = None
        self._desk, self.attempt = desk, attempt

    def _account(self) -> Telling:
        return self._desk.account(self)

    def _purse(self) -> Purse:
        return self._desk.purse(self)

    @property
    def stopping(self) -> bool:
        """True once the host has asked the agent to stop: a long turn should come to an end."""
        return self._desk.is_stopping()

    def call(self, path: str, body: Any = None, timeout: float | None = None, *, idempotent: bool = False) -> Any:
        """Ask another agent and wait for its reply, for ``timeout`` seconds (30) or as long as our own caller waits.

        In a turn of durable mail it is not made twice: a later attempt gets the reply that an earlier one had, or
        ``OutcomeUnknown`` if it may have been done. With ``idempotent`` such a one is made again.

        Raises ``TimedOut``; ``Down`` with the reason, at once, if it ends meanwhile; ``HandlerFailed`` if it crashed
        over this; ``Refuse`` if it says no; ``Overloaded``; ``NotRunning``; ``UnknownName``; ``UsageError`` for
        oneself.
        """
        if path == self.path:
            raise _call_to_oneself(path)
        due = self._limit(timeout)
        if self.attempt.calls is not None:
            (outcome,) = self._exchange([(path, body)], due, idempotent=idempotent)
        elif (brake := self.brake) is None or self.is_over:
            outcome = self._desk.ask(path, body, due)
        else:
            brake.call(path, body)
            outcome = self._desk.ask(path, body, due)
            if isinstance(outcome, AgenthostError):
                brake.failed(path, outcome)
        if isinstance(outcome, AgenthostError):
            raise outcome
        return outcome

    def gather(
        self,
        wishes: Iterable[tuple[str, Any]],
        timeout: float | None = None,
        *,
        return_errors: bool = False,
        idempotent: bool = False,
    ) -> list[Any]:
        """Call several at once; the replies in the order of ``wishes``. Each is as :meth:`call` has it.

        All are waited for; then the first error is raised, or with ``return_errors`` errors stand among the replies.
        """
        wanted = list(wishes)
        outcomes = self._exchange(wanted, self._due(wanted, timeout), idempotent=idempotent)
        return outcomes if return_errors else [_unwrap(outcome) for outcome in outcomes]

    def _exchange(self, wanted: list[tuple[str, Any]], due: float, *, idempotent: bool) -> list[Outcome]:
        calls = self.attempt.calls
        if calls is None or self.is_over:
            self._brake_at(wanted)
            outcomes = self._desk.exchange(wanted, due)
        else:
            from agenthost.agent.blocking import finish
            from agenthost.agent.tool_calls import Wish

            begun = finish(calls.begin([Wish(path, body) for path, body in wanted], due, idempotent=idempotent))
            now = [wanted[place] for place in begun.wanted]
            outcomes = begun.outcomes(self._desk.exchange(now, due, begun.tell) if now else [])
        self._failed(wanted, outcomes)
        return outcomes

    def send(
        self, path: str, body: Any = None, timeout: float | None = None, *, durable: bool = True, key: str = ""
    ) -> None:
        """Mail for another agent, running or not, or for oneself. It leaves when this turn ends well, together with the
        state and all else that the turn has sent; then it is not lost any more. If the turn fails it was never sent.
        What this agent sends with the same ``key`` is taken once, whichever turn sends it.

        With ``durable=False`` it is put into the memory of a running agent at once, and is lost if that ends.

        Raises ``UnknownName``, ``TimedOut``; of a full mailbox the turn's end tells. Not durable: what :meth:`call`
        raises, and after ``TimedOut`` it may still arrive.
        """
        if key:
            if not durable:
                raise UsageError("cannot send with a key what is not durable: nobody would remember it")
            self._later(Post(path, body, checked_key(key)), timeout)
        elif durable:
            self._desk.post(self, path, body, self._limit(timeout))
        else:
            self._desk.deliver(path, body, self._limit(timeout))

    def checkpoint(self, name: str) -> None:
        """The state as this turn leaves it is kept under ``name`` too, with the turn's commit. One name a turn, 64 of
        an agent; a name that was used before is moved."""
        self._desk.keep_checkpoint(self, name)

    def roll_back(self, name: str, timeout: float | None = None) -> None:
        """``self.state`` is what it was at that checkpoint, from here on; it is kept with the turn. The log, mail and
        what else was done stay. ``UnknownName`` without such a checkpoint."""
        self._desk.roll_back(self, name, self._limit(timeout))

    def _later(self, wish: Wish, timeout: float | None) -> None:
        self._desk.later(self, wish, self._limit(timeout))

    def whereis(self, path: str, timeout: float | None = None) -> str | None:
        """The incarnation that runs at ``path``, None if there is none."""
        return self._desk.locate(path, self._limit(timeout))

    def start(
        self,
        what: What,
        *,
        name: str | None = None,
        args: dict[str, Any] | None = None,
        timeout: float | None = None,
        **keys: Any,
    ) -> Child:
        """Start a child below this agent, and wait until it is ready. It ends with this incarnation, if not before.

        ``what`` is ``module:Class``, a dict with the config's keys of a child, an Agent subclass, or a function of
        (message) or (message, ctx), also a lambda or closure, that handles its messages. ``keys`` are the config's:
        ``restart="permanent"`` (default temporary), ``limits={...}``. Without ``name`` it gets one like "sub-1".

        Raises ``NotPermitted`` (``may`` in the config), ``StartFailed``, ``UsageError`` (what cannot be sent, and
        which variable is to blame), ``TimedOut``: then it is ended.
        """
        from agenthost.agent import children
        from agenthost.agent.blocking import finish
        from agenthost.agent.wanted import wanted

        thing = wanted(what, name, args, keys)
        return children.Child(finish(children.start(self._desk.kin(), thing, timeout)))

    def run(
        self,
        argv: Argv,
        *,
        timeout: float | None = None,
        input: bytes | str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        limits: dict[str, Any] | None = None,
        output_bytes: int = 1024 * 1024,
        check: bool = False,
        idempotent: bool = False,
    ) -> Ran:
        """Run a program below this agent, in a cell of its own, and wait until nothing of it is left.

        ``argv`` is a list of words; no shell is between. What it prints is kept, up to ``output_bytes`` of each stream,
        and goes to this agent's log line by line. It gets ``input`` on its stdin, which is else /dev/null, and this
        agent's environment and folder unless ``env`` and ``cwd`` say otherwise. ``limits`` as in the config. It ends
        with the turn, whatever becomes of that. Its end, good or bad, is told by what is returned.

        Raises ``ToolTimedOut`` after ``timeout`` seconds, or when this turn's caller waits no longer: then it was
        killed. ``ToolFailed`` with ``check``, if it does not end with status 0. ``StartFailed`` for what cannot be run.
        In a turn of durable mail as :meth:`call`: one that ended with status 0 is not run again.
        """
        from agenthost.agent.blocking import finish
        from agenthost.agent.recorded_tools import run

        self._check_open(argv)
        return finish(
            run(
                self.attempt.calls,
                self._desk.kin(),
                argv,
                brake=self.brake,
                timeout=timeout,
                input=input,
                env=env,
                cwd=cwd,
                limits=limits,
                output_bytes=output_bytes,
                check=check,
                idempotent=idempotent,
            )
        )

    def popen(
        self,
        argv: Argv,
        *,
        stdin: Where = "pipe",
        stdout: Where = "pipe",
        stderr: Where = "pipe",
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        limits: dict[str, Any] | None = None,
        keep: bool = False,
        name: str | None = None,
        idempotent: bool = False,
    ) -> Tool:
        """Start a program as :meth:`run` does, and talk to it: what is returned has its streams, ``wait``, ``stop`` and
        ``kill``, and is a context manager that ends it. It ends with the turn; with ``keep`` with this agent.

        Each stream is a "pipe" or "null"; stdout and stderr may be "log", this agent's own.

        In a turn of durable mail one that an earlier attempt has started is ``OutcomeUnknown``, unless it is
        ``idempotent`` or kept: what was said to it is not known.
        """
        from agenthost.agent.blocking import finish
        from agenthost.agent.popen import Tool
        from agenthost.agent.recorded_tools import start

        self._check_open(argv)
        kin = self._desk.kin()
        birth = finish(
            start(
                self.attempt.calls,
                kin,
                argv,
                brake=self.brake,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                limits=limits,
                keep=keep,
                name=name,
                idempotent=idempotent,
            )
        )
        return Tool(kin, birth)

    def scope(self, timeout: float | None = None) -> Scope:
        """``with ctx.scope() as scope``: children that do not outlive the block. After ``timeout`` seconds they are
        killed, whatever this agent does, and the block ends with ``TimedOut``."""
        from agenthost.agent.scope import AsyncScope, Scope

        return Scope(AsyncScope(self._desk.kin(), timeout))

    def monitor(self, path: str) -> Monitor:
        """Hear of the end of the incarnation at ``path``, exactly once: by ``wait()`` or ``ended`` of what is returned,
        or else by the agent's ``on_down(self, down, ctx)`` between two turns. At once if nothing runs there."""
        from agenthost.agent.blocking import finish
        from agenthost.agent.monitor import Monitor

        return Monitor(finish(self._desk.kin().monitor(path)))

    def group(self, name: str) -> Group:
        """All agents with ``group: name`` in the config: send to all, or to the least busy."""
        from agenthost.agent.group import AsyncGroup, Group

        return Group(AsyncGroup(self._desk.kin(), name))


class AsyncContext(_Base, AsyncLater):
    """For a handler that is ``async def``. ``asyncio.gather`` over several calls works."""

    __slots__ = ("_desk",)

    def __init__(
        self, path: str, incarnation: str, deadline: float | None, desk: AsyncDesk, attempt: Attempt = FIRST
    ) -> None:
        self.path, self.incarnation, self.deadline = path, incarnation, deadline
        self.interrupted = self.is_over = False
        self.brake = None
        self._desk, self.attempt = desk, attempt

    def _account(self) -> Telling:
        return self._desk.account(self)

    def _purse(self) -> Purse:
        return self._desk.purse(self)

    @property
    def stopping(self) -> bool:
        """As in :class:`Context`."""
        return self._desk.is_stopping()

    async def call(self, path: str, body: Any = None, timeout: float | None = None, *, idempotent: bool = False) -> Any:
        """As in :class:`Context`."""
        if path == self.path:
            raise _call_to_oneself(path)
        due = self._limit(timeout)
        if self.attempt.calls is not None:
            (outcome,) = await self._exchange([(path, body)], due, idempotent=idempotent)
        elif (brake := self.brake) is None or self.is_over:
            outcome = await self._desk.ask(path, body, due)
        else:
            brake.call(path, body)
            outcome = await self._desk.ask(path, body, due)
            if isinstance(outcome, AgenthostError):
                brake.failed(path, outcome)
        return _unwrap(outcome)

    async def gather(
        self,
        wishes: Iterable[tuple[str, Any]],
        timeout: float | None = None,
        *,
        return_errors: bool = False,
        idempotent: bool = False,
    ) -> list[Any]:
        """As in :class:`Context`."""
        wanted = list(wishes)
        outcomes = await self._exchange(wanted, self._due(wanted, timeout), idempotent=idempotent)
        return outcomes if return_errors else [_unwrap(outcome) for outcome in outcomes]

    async def _exchange(self, wanted: list[tuple[str, Any]], due: float, *, idempotent: bool) -> list[Outcome]:
        calls = self.attempt.calls
        if calls is None or self.is_over:
            self._brake_at(wanted)
            outcomes = await self._desk.exchange(wanted, due)
        else:
            from agenthost.agent.tool_calls import Wish

            begun = await calls.begin([Wish(path, body) for path, body in wanted], due, idempotent=idempotent)
            now = [wanted[place] for place in begun.wanted]
            outcomes = begun.outcomes(await self._desk.exchange(now, due, begun.tell) if now else [])
        self._failed(wanted, outcomes)
        return outcomes

    async def send(
        self, path: str, body: Any = None, timeout: float | None = None, *, durable: bool = True, key: str = ""
    ) -> None:
        """As in :class:`Context`."""
        if key:
            if not durable:
                raise UsageError("cannot send with a key what is not durable: nobody would remember it")
            await self._later(Post(path, body, checked_key(key)), timeout)
        elif durable:
            await self._desk.post(self, path, body, self._limit(timeout))
        else:
            await self._desk.deliver(path, body, self._limit(timeout))

    def checkpoint(self, name: str) -> None:
        """As in :class:`Context`, and no coroutine."""
        self._desk.keep_checkpoint(self, name)

    async def roll_back(self, name: str, timeout: float | None = None) -> None:
        """As in :class:`Context`."""
        await self._desk.roll_back(self, name, self._limit(timeout))

    async def _later(self, wish: Wish, timeout: float | None) -> None:
        await self._desk.later(self, wish, self._limit(timeout))

    async def whereis(self, path: str, timeout: float | None = None) -> str | None:
        """As in :class:`Context`."""
        return await self._desk.locate(path, self._limit(timeout))

    async def start(
        self,
        what: What,
        *,
        name: str | None = None,
        args: dict[str, Any] | None = None,
        timeout: float | None = None,
        **keys: Any,
    ) -> AsyncChild:
        """As in :class:`Context`."""
        from agenthost.agent import children
        from agenthost.agent.wanted import wanted

        return await children.start(self._desk.kin(), wanted(what, name, args, keys), timeout)

    async def run(
        self,
        argv: Argv,
        *,
        timeout: float | None = None,
        input: bytes | str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        limits: dict[str, Any] | None = None,
        output_bytes: int = 1024 * 1024,
        check: bool = False,
        idempotent: bool = False,
    ) -> Ran:
        """As in :class:`Context`."""
        from agenthost.agent.recorded_tools import run

        self._check_open(argv)
        return await run(
            self.attempt.calls,
            self._desk.kin(),
            argv,
            brake=self.brake,
            timeout=timeout,
            input=input,
            env=env,
            cwd=cwd,
            limits=limits,
            output_bytes=output_bytes,
            check=check,
            idempotent=idempotent,
        )

    async def popen(
        self,
        argv: Argv,
        *,
        stdin: Where = "pipe",
        stdout: Where = "pipe",
        stderr: Where = "pipe",
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        limits: dict[str, Any] | None = None,
        keep: bool = False,
        name: str | None = None,
        idempotent: bool = False,
    ) -> AsyncTool:
        """As in :class:`Context`; the streams are those of asyncio."""
        from agenthost.agent.async_popen import AsyncTool
        from agenthost.agent.recorded_tools import start

        self._check_open(argv)
        kin = self._desk.kin()
        birth = await start(
            self.attempt.calls,
            kin,
            argv,
            brake=self.brake,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            limits=limits,
            keep=keep,
            name=name,
            idempotent=idempotent,
        )
        return await AsyncTool(kin, birth).connect()

    def scope(self, timeout: float | None = None) -> AsyncScope:
        """``async with ctx.scope() as scope``; as in :class:`Context`."""
        from agenthost.agent.scope import AsyncScope

        return AsyncScope(self._desk.kin(), timeout)

    async def monitor(self, path: str) -> AsyncMonitor:
        """As in :class:`Context`."""
        return await self._desk.kin().monitor(path)

    def group(self, name: str) -> AsyncGroup:
        """As in :class:`Context`."""
        from agenthost.agent.group import AsyncGroup

        return AsyncGroup(self._desk.kin(), name)


def _call_to_oneself(path: str) -> UsageError:
    return UsageError(
        f"cannot call {path} from {path}: an agent handles one message at a time and would wait for itself",
        hint="call the method, or send() the message and handle it in a later turn",
    )


def _unwrap(outcome: Outcome) -> Any:
    if isinstance(outcome, AgenthostError):
        raise outcome
    return outcome


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text) if isinstance(value, str) and (not text or any(mark in text for mark in ' ="\n')) else text
