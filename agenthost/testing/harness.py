"""Runs an agent's own methods in the test's process, with the context that they have in a host.

::

    with AgentHarness(Clerk, args={"currency": "EUR"}, answers={"/tools/search": lambda body: {"hits": 3}}) as clerk:
        assert clerk.call({"item": "rope"}) == {"price": 3}
        assert clerk.calls == [("/tools/search", {"q": "rope"})]

No process, no socket, no other agent: calls go to ``answers``. Bodies and replies are packed and unpacked as on the
wire, so what could not be sent fails here too, and a tuple arrives as a list. What a handler raises, the test gets.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from agenthost.agent.agent import IGNORE, Agent, Message, create
from agenthost.agent.context import AsyncContext, Context, Outcome
from agenthost.agent.loading import is_async
from agenthost.errors import AgenthostError, UnknownName
from agenthost.protocol.codec import pack_body, unpack_body

Answer = Callable[[Any], Any]
"""Gets the body of a call and returns the reply, or raises what the caller is to see. For async agents, also async."""


class AgentHarness:
    """``state``, ``calls`` and ``sent`` may be looked at and changed between turns.

    ``ignored`` is True if ``on_start`` returned IGNORE. Set ``stopping`` to let a turn see that it should end.
    """

    def __init__(
        self,
        kind: type[Agent],
        *,
        args: dict[str, Any] | None = None,
        answers: Mapping[str, Answer] | None = None,
        path: str = "/test",
        incarnation: str = "1.1",
    ) -> None:
        self.answers = dict(answers or {})
        self.path, self.incarnation = path, incarnation
        self.calls: list[tuple[str, Any]] = []
        """(path, body) of every call that was made."""
        self.sent: list[tuple[str, Any]] = []
        """(path, body) of every message that was sent."""
        self.stopping = False
        self._runner = asyncio.Runner() if is_async(kind) else None
        self._next_id = 1
        self.agent = create(kind, _travelled(args or {}))
        try:
            self.ignored = self._run(self.agent.on_start, None) is IGNORE
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def state(self) -> dict[str, Any]:
        return self.agent.state

    def call(self, body: Any = None, *, sender: str = "client:0", timeout: float | None = None) -> Any:
        """One turn; returns the reply as its caller would get it."""
        return _travelled(self._turn(body, sender, timeout, "call"))

    def send(self, body: Any = None, *, sender: str = "client:0") -> None:
        """One turn whose reply is dropped."""
        self._turn(body, sender, None, "send")

    def stop(self) -> None:
        """An orderly stop: runs ``on_stop``."""
        self.stopping = True
        self._run(self.agent.on_stop, None)

    def close(self) -> None:
        """End the event loop of an async agent; nothing of the agent's own runs. Safe to call twice."""
        if self._runner is not None:
            self._runner.close()

    def _turn(self, body: Any, sender: str, timeout: float | None, kind: Literal["call", "send"]) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        message = Message(_travelled(body), sender, self._next_id, kind, deadline)
        self._next_id += 1
        return self._run(self.agent.handle, deadline, message)

    def _run(self, method: Callable[..., Any], deadline: float | None, *arguments: Any) -> Any:
        desk = _Desk(self)
        if self._runner is None:
            return method(*arguments, Context(self.path, self.incarnation, deadline, desk))

        async def main() -> Any:
            context = AsyncContext(self.path, self.incarnation, deadline, _AsyncDesk(desk))
            value = method(*arguments, context)
            return await value if inspect.isawaitable(value) else value

        return self._runner.run(main())


class _Desk:
    """Answers from the table."""

    def __init__(self, harness: AgentHarness) -> None:
        self._harness = harness

    def begin(self, path: str, body: Any) -> Any:
        """Call the answer; what it returns may have to be awaited."""
        body = _travelled(body)
        self._harness.calls.append((path, body))
        answer = self._harness.answers.get(path)
        if answer is None:
            raise UnknownName(f"cannot call {path}: the test has no answer for it", hint="add it to answers=")
        return answer(body)

    def ask(self, path: str, body: Any, deadline: float) -> Outcome:
        try:
            return _travelled(self.begin(path, body))
        except AgenthostError as error:
            return error

    def exchange(self, wishes: list[tuple[str, Any]], deadline: float) -> list[Outcome]:
        return [self.ask(path, body, deadline) for path, body in wishes]

    def deliver(self, path: str, body: Any, deadline: float) -> None:
        self._harness.sent.append((path, _travelled(body)))

    def locate(self, path: str, deadline: float) -> str | None:
        known = path in self._harness.answers or path == self._harness.path
        return self._harness.incarnation if known else None

    def is_stopping(self) -> bool:
        return self._harness.stopping


class _AsyncDesk:
    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    async def ask(self, path: str, body: Any, deadline: float) -> Outcome:
        try:
            reply = self._desk.begin(path, body)
            return _travelled(await reply if inspect.isawaitable(reply) else reply)
        except AgenthostError as error:
            return error

    async def exchange(self, wishes: list[tuple[str, Any]], deadline: float) -> list[Outcome]:
        asked: list[Coroutine[Any, Any, Outcome]] = [self.ask(path, body, deadline) for path, body in wishes]
        return list(await asyncio.gather(*asked))

    async def deliver(self, path: str, body: Any, deadline: float) -> None:
        self._desk.deliver(path, body, deadline)

    async def locate(self, path: str, deadline: float) -> str | None:
        return self._desk.locate(path, deadline)

    def is_stopping(self) -> bool:
        return self._desk.is_stopping()


def _travelled(value: Any) -> Any:
    """As it is after a journey over the wire."""
    return unpack_body(pack_body(value))
