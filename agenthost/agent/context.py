"""What a handler that is a plain function can do besides computing. ``async_context`` has it for ``async def``,
``turn_context`` what is the same for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agenthost.agent.alike import like
from agenthost.agent.below import Below
from agenthost.agent.later import Later, Post, Wish
from agenthost.agent.turn_context import call_to_oneself, unwrap
from agenthost.errors import AgenthostError, UsageError
from agenthost.later import checked_key

if TYPE_CHECKING:
    from agenthost.agent.children import Child
    from agenthost.agent.desks import Desk, Outcome  # noqa: F401  # one stands in quotes
    from agenthost.agent.group import Group
    from agenthost.agent.monitor import Monitor
    from agenthost.agent.popen import Tool
    from agenthost.agent.ran import Ran
    from agenthost.agent.scope import Scope


class Context(Below["Desk"], Later):
    """For a handler that is a plain function. Only for the thread that it was handed to."""

    __slots__ = ()

    def call(self, path: str, body: Any = None, timeout: float | None = None, *, idempotent: bool = False) -> Any:
        """Ask another agent and wait for its reply, for ``timeout`` seconds (30) or as long as our own caller waits.

        In a turn of durable mail it is not made twice: a later attempt gets the reply that an earlier one had, or
        ``OutcomeUnknown`` if it may have been done. With ``idempotent`` such a one is made again.

        Raises ``TimedOut``; ``Down`` with the reason, at once, if it ends meanwhile; ``HandlerFailed`` if it crashed
        over this; ``Refuse`` if it says no; ``Overloaded``; ``NotRunning``; ``UnknownName``; ``UsageError`` for
        oneself.
        """
        if path == self.path:
            raise call_to_oneself(path)
        due = self._limit(timeout)
        if self.attempt.calls is not None:
            (outcome,) = self._exchange([(path, body)], due, idempotent=idempotent)
        else:
            brake = self._braking()
            outcome = self._desk.ask(path, body, due, brake)
            if brake is not None and isinstance(outcome, AgenthostError):
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
        return outcomes if return_errors else [unwrap(outcome) for outcome in outcomes]

    def _exchange(self, wanted: list[tuple[str, Any]], due: float, *, idempotent: bool) -> list[Outcome]:
        calls = self.attempt.calls
        if calls is None or self.is_over:
            outcomes = self._desk.exchange(wanted, due, brake=self._braking())
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

    def roll_back(self, name: str, timeout: float | None = None) -> None:
        """``self.state`` is what it was at that checkpoint, from here on; it is kept with the turn. The log, mail and
        what else was done stay. ``UnknownName`` without such a checkpoint."""
        self._desk.roll_back(self, name, self._limit(timeout))

    def _later(self, wish: Wish, timeout: float | None) -> None:
        self._desk.later(self, wish, self._limit(timeout))

    def whereis(self, path: str, timeout: float | None = None) -> str | None:
        """The incarnation that runs at ``path``, None if there is none."""
        return self._desk.locate(path, self._limit(timeout))

    @like(Below._start)
    def start(self, *what: Any, **how: Any) -> Child:
        from agenthost.agent.blocking import finish
        from agenthost.agent.children import Child

        return Child(finish(self._start(*what, **how)))

    @like(Below._run)
    def run(self, *what: Any, **how: Any) -> Ran:
        from agenthost.agent.blocking import finish

        return finish(self._run(*what, **how))

    @like(Below._begin_tool)
    def popen(self, *what: Any, **how: Any) -> Tool:
        from agenthost.agent.blocking import finish
        from agenthost.agent.popen import Tool

        return Tool(*finish(self._begin_tool(*what, **how)))

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
