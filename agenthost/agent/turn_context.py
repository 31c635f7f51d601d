"""What holds for both kinds of context, :class:`Context` and :class:`AsyncContext`.

A context decides what is the same for all that a turn asks for: deadlines travel, a call to oneself is refused, a turn
that repeats itself is stopped. How a message gets there is the business of its desk (``desks``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agenthost.agent.attempt import FIRST, Attempt
from agenthost.agent.deadlines import DEFAULT_TIMEOUT_S, LONGEST_S, within
from agenthost.agent.progress import steps
from agenthost.errors import AgenthostError, TimedOut, UsageError

if TYPE_CHECKING:
    from agenthost.agent.desks import AnyDesk, Outcome
    from agenthost.agent.loops import Brake
    from agenthost.agent.telling import Stream

D = TypeVar("D", bound="AnyDesk")


class TurnContext(Generic[D]):
    """``path`` and ``incarnation`` are the agent's own; ``deadline`` is the turn's, None if nobody waits for it;
    ``attempt`` says which try of its message it is, and what became of those before."""

    __slots__ = ("_desk", "attempt", "brake", "deadline", "incarnation", "interrupted", "is_over", "path")

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

    def __init__(self, path: str, incarnation: str, deadline: float | None, desk: D, attempt: Attempt = FIRST) -> None:
        self.path, self.incarnation, self.deadline = path, incarnation, deadline
        self.interrupted = self.is_over = False
        self.brake = None
        self._desk, self.attempt = desk, attempt

    @property
    def stopping(self) -> bool:
        """True once the host has asked the agent to stop: a long turn should come to an end."""
        return self._desk.is_stopping()

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
        self._desk.purse(self).spend(tokens_in, tokens_out, model, cost)

    def emit(self, type: str, /, **fields: Any) -> None:
        """An entry of this agent's session log, true with the commit of the turn; who follows the session sees it at
        once. If the turn fails it is kept, marked as broken. ``type`` is yours; "message" and "reply" are what was said
        to the agent and what it has answered.

        Raises ``UsageError`` after the turn, and for more than 16 MiB; ``TypeError`` for what msgpack cannot carry.
        """
        self._desk.account(self).emit(type, fields)

    def stream(self, type: str, /, **fields: Any) -> Stream:
        """An entry that grows: ``with ctx.stream("answer") as out: out.write("text")``, in async handlers too (there is
        nothing to await). Its fields are ``fields`` and ``text``, all that was written. As :meth:`emit`; if the block
        is left by an exception the entry is broken, whatever becomes of the turn.
        """
        return self._desk.account(self).stream(type, fields)

    def checkpoint(self, name: str) -> None:
        """The state as this turn leaves it is kept under ``name`` too, with the turn's commit. One name a turn, 64 of
        an agent; a name that was used before is moved. In async handlers too there is nothing to await."""
        self._desk.keep_checkpoint(self, name)

    def _due(self, wishes: list[tuple[str, Any]], timeout: float | None) -> float:
        if any(path == self.path for path, _ in wishes):
            raise call_to_oneself(self.path)
        return self._limit(timeout)

    def _braking(self) -> Brake | None:
        """Counts what this turn calls; None where nothing is counted. Raises what it has found already."""
        brake = self.brake
        if brake is None or self.is_over:
            return None
        if brake.found is not None:
            brake.check()
        return brake

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


def call_to_oneself(path: str) -> UsageError:
    return UsageError(
        f"cannot call {path} from {path}: an agent handles one message at a time and would wait for itself",
        hint="call the method, or send() the message and handle it in a later turn",
    )


def unwrap(outcome: Outcome) -> Any:
    if isinstance(outcome, AgenthostError):
        raise outcome
    return outcome


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text) if isinstance(value, str) and (not text or any(mark in text for mark in ' ="\n')) else text
