"""The agents of one test, in its process: the one under test and what it starts, with what they start themselves.

A child is made of what would travel, by name or as code, so what could not be sent fails here too. Time does not kill
here, and a program is not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agenthost.agent import loading, remedying
from agenthost.agent.agent import IGNORE, Agent, Message, create
from agenthost.agent.async_context import AsyncContext
from agenthost.agent.attempt import FIRST, Attempt
from agenthost.agent.blocking import finish
from agenthost.agent.context import Context
from agenthost.agent.loops import after_loop
from agenthost.errors import AgenthostError, HandlerFailed, StartFailed, TurnInterrupted, UnknownName, UsageError
from agenthost.protocol import control, mail, wishes
from agenthost.protocol.codec import pack_body, unpack_body
from agenthost.testing.kin import AsyncDesk, Desk, HarnessKin
from agenthost.testing.later import Later
from agenthost.testing.scrutiny import Scrutiny
from agenthost.testing.shelf import Shelf

Answer = Callable[[Any], Any]
"""Gets the body of a call and returns the reply, or raises what the caller is to see. For async agents, also async."""


def travelled(value: Any) -> Any:
    """As it is after a journey over the wire."""
    return unpack_body(pack_body(value))


class Member:
    """One agent. Its methods are run by :meth:`run`, whose value may have to be awaited."""

    def __init__(
        self, family: Family, kind: type[Agent], spec: dict[str, Any], path: str, incarnation: str, shelf: Shelf
    ) -> None:
        self.family, self.kind, self.spec, self.path, self.incarnation = family, kind, spec, path, incarnation
        self.is_async = loading.is_async(kind)
        self.shelf = shelf
        self.agent = create(kind, travelled(spec.get("args") or {}), shelf)
        self.kin = HarnessKin(self)
        self.deadline: float | None = None
        self._desk = Desk(self.kin)
        self._next_id = 1
        self.scrutiny = Scrutiny(None)
        self.context: Context | AsyncContext = self._new_context(None)

    def run(self, method: Callable[..., Any], deadline: float | None, *arguments: Any) -> Any:
        """A turn: its tools end with it. If it fails the state is as it was before."""
        return self._run(method, deadline, arguments, FIRST)

    def _run(
        self,
        method: Callable[..., Any],
        deadline: float | None,
        arguments: tuple[Any, ...],
        attempt: Attempt,
        remedy: mail.Remedy | None = None,
    ) -> Any:
        self.context = self._new_context(deadline)
        self.context.attempt = attempt
        self.shelf.begin()
        if self.is_async:
            return self._run_async(method, arguments, remedy)
        try:
            try:
                if remedy is not None:
                    finish(remedying.apply(self.shelf, self.kin.until, remedy, attempt))
                value = method(*arguments, self.context)
            finally:
                self.context.is_over = True
                finish(self.kin.end_turn(reaps=False))
            self._commit()
        except BaseException as error:  # as the desks: whatever ends it
            self.shelf.failed(error)
            raise
        return value

    async def _run_async(
        self, method: Callable[..., Any], arguments: tuple[Any, ...], remedy: mail.Remedy | None
    ) -> Any:
        try:
            try:
                if remedy is not None:
                    await remedying.apply(self.shelf, self.kin.until, remedy, self.context.attempt)
                value = method(*arguments, self.context)
                value = await value if isinstance(value, Awaitable) else value
            finally:
                self.context.is_over = True
                await self.kin.end_turn(reaps=False)
            self._commit()
        except BaseException as error:  # as above
            self.shelf.failed(error)
            raise
        return value

    def _commit(self) -> None:
        self.shelf.commit()
        if self.context.attempt is not FIRST:
            self.shelf.acknowledge()

    def turn(self, body: Any, sender: str, deadline: float | None, kind: Any) -> Any:
        message = Message(travelled(body), sender, self._next_id, kind, deadline)
        self._next_id += 1
        attempt = self.shelf.deliver(message) if kind == "send" else FIRST
        return self._run(self._handle, deadline, (message,), attempt)

    def turn_again(self, message: Message, remedy: mail.Remedy | None = None) -> Any:
        return self._run(self._handle, None, (message,), self.shelf.deliver(message), remedy)

    def _handle(self, message: Message, context: Any) -> Any:
        """With what its answer must pass."""
        if self.is_async:
            return self._handle_async(message, context)
        scrutiny, log = self.scrutiny, self.shelf.log
        scrutiny.begin(context)
        try:
            reply = self.agent.handle(message, context)
            finish(scrutiny.examine(self.agent, message, reply, context, log, self._ask_judge))
        except (AgenthostError, TurnInterrupted) as error:
            raise after_loop(error, scrutiny.brake) from error.__cause__
        return reply

    async def _handle_async(self, message: Message, context: Any) -> Any:
        scrutiny, log = self.scrutiny, self.shelf.log
        scrutiny.begin(context)
        try:
            reply = await self.agent.handle(message, context)
            await scrutiny.examine(self.agent, message, reply, context, log, AsyncDesk(self.kin).ask)
        except (AgenthostError, TurnInterrupted) as error:
            raise after_loop(error, scrutiny.brake) from error.__cause__
        return reply

    async def _ask_judge(self, path: str, body: Any, deadline: float) -> Any:
        return self._desk.ask(path, body, deadline)

    def renew(self) -> None:
        """A clean process: a new object with what has survived."""
        boot, _, number = self.incarnation.partition(".")
        self.incarnation = f"{boot}.{int(number) + 1}"
        self.agent = create(self.kind, travelled(self.spec.get("args") or {}), self.shelf)

    def _new_context(self, deadline: float | None) -> Context | AsyncContext:
        if self.is_async:
            return AsyncContext(self.path, self.incarnation, deadline, AsyncDesk(self.kin))
        return Context(self.path, self.incarnation, deadline, self._desk)


class Family:
    """``answers`` and ``groups`` are the test's; ``calls`` and ``sent`` what all members have said."""

    def __init__(self, answers: dict[str, Answer], groups: Mapping[str, list[str]], incarnation: str) -> None:
        self.answers, self.groups, self.incarnation = answers, groups, incarnation
        self.calls: list[tuple[str, Any]] = []
        self.sent: list[tuple[str, Any]] = []
        self.later = Later()
        self.stopping = False
        self.members: dict[str, Member] = {}
        self.news: asyncio.Event | None = None
        """Of an async family: something has come true."""
        self._born = 1
        self._runner: asyncio.Runner | None = None

    # ---- life

    def add(
        self, kind: type[Agent], spec: dict[str, Any], path: str, incarnation: str = "", shelf: Shelf | None = None
    ) -> Member:
        self._born += 1
        incarnation = incarnation or f"{self.incarnation.partition('.')[0]}.{self._born}"
        member = self.members[path] = Member(self, kind, spec, path, incarnation, shelf or Shelf())
        return member

    def begin(self, owner: str, wish: wishes.Begin) -> tuple[Member, Any]:
        """The child, and what its ``on_start`` returns, which may have to be awaited."""
        path = f"{owner.rstrip('/')}/{wish.name}"
        if path in self.members:
            raise UsageError(f"cannot start {path}: there is one already")
        spec = travelled(wish.spec)
        if wish.code:
            from agenthost.agent.sending import unpack_agent

            kind = unpack_agent(wish.code)
        elif "agent" in spec:
            kind = loading.load(spec["agent"])
        else:
            raise UsageError(f"cannot start {path}: a test without a host runs no programs", hint="start an agent")
        member = self.add(kind, spec, path)
        try:
            return member, member.run(member.agent.on_start, None)
        except Exception as error:  # as a host would tell it of the author's start
            del self.members[path]
            raise StartFailed(f"cannot start {path}: {type(error).__name__}: {error}") from error

    def up(self, member: Member, started: Any) -> dict[str, Any]:
        """Answer to Begin."""
        if started is IGNORE:
            self.end(member.path, "had nothing to do", well=True)
            raise StartFailed(f"cannot start {member.path}: it had nothing to do")
        return {"path": member.path, "incarnation": member.incarnation}

    def end(self, path: str, reason: str, *, well: bool) -> None:
        """It has ended, and all below it; whoever monitors it hears of it."""
        for below in [one for one in self.members if one.startswith(path + "/")]:
            self.end(below, "its owner has ended", well=False)
        member = self.members.pop(path, None)
        if member is not None:
            member.kin.bench.close()
        incarnation = member.incarnation if member is not None else self.incarnation
        down = control.Down(id=0, path=path, inc=incarnation, reason=reason, well=well)
        for one in list(self.members.values()):
            one.kin.monitors.down(down)
        self.poke()

    def crashed(self, member: Member, error: BaseException) -> HandlerFailed:
        """What its caller sees. With a restart type other than temporary there is a new one at once."""
        self.end(member.path, "exit status 1", well=False)
        if member.spec.get("restart", "temporary") != "temporary":
            fresh = self.add(member.kind, member.spec, member.path, shelf=member.shelf)
            self.settle(fresh.run(fresh.agent.on_start, None))
        text = f"{type(error).__name__}: {error}"
        return HandlerFailed(f"cannot get an answer from {member.path}: it raised {text}")

    def poke(self) -> None:
        if self.news is not None:
            self.news.set()

    # ---- talk

    def call(self, path: str, body: Any, sender: str, deadline: float | None) -> Any:
        """The reply, which may have to be awaited. Raises what an answer of the test raises."""
        body = travelled(body)
        self.calls.append((path, body))
        member = self.members.get(path)
        if member is not None:
            return member.turn(body, sender, deadline, "call")
        answer = self.answers.get(path)
        if answer is None:
            raise UnknownName(f"cannot call {path}: the test has no answer for it", hint="add it to answers=")
        return answer(body)

    def send(self, path: str, body: Any, sender: str) -> Any:
        body = travelled(body)
        self.sent.append((path, body))
        member = self.members.get(path)
        return None if member is None or path == sender else member.turn(body, sender, None, "send")

    def incarnation_of(self, path: str) -> str:
        """Empty if nothing runs there."""
        member = self.members.get(path)
        if member is not None:
            return member.incarnation
        return self.incarnation if path in self.answers else ""

    # ---- waiting

    def settle(self, value: Any) -> Any:
        """The value of what a plain agent got from an async one."""
        if not isinstance(value, Awaitable):
            return value
        if is_loop_running():
            raise UsageError(
                "cannot run an async agent for a plain one that runs for an async one, without a host",
                hint="make the one in the middle async, or test it alone",
            )
        if self._runner is None:
            self._runner = asyncio.Runner()

        async def main() -> Any:
            return await value

        return self._runner.run(main())

    def close(self) -> None:
        for member in self.members.values():
            member.kin.bench.close()
        if self._runner is not None:
            self._runner.close()


def is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def as_error(member: Member | None, error: Exception, family: Family) -> AgenthostError:
    """What a caller gets for what was raised. An exception in the test's own answer is the test's: it is raised."""
    if isinstance(error, AgenthostError):
        return error
    if member is None:
        raise error
    return family.crashed(member, error)
