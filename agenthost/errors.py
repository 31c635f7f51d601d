"""Every error agenthost raises, on the wire and on the command line.

::

    AgenthostError                 code             exit status
    |- UsageError                  usage             2   the words of a command or call are off
    |- NotRunning                  not_running       3   the named agent has no process
    |- UnknownName                 unknown_name      4   no such path, agent type or host
    |- NoHost                      no_host          69   no host answers
    |- Busy                        busy             75   not now; try again
    |  |- BudgetExhausted          budget_exhausted 75   its budget is used up, and nobody has granted more
    |  |- Overloaded               overloaded       75   the receiver's mailbox or credit is full
    |  `- JournalUnavailable       journal_unavailable  75   nothing was written: locked, read-only, failing
    |     `- JournalFull           journal_full     75   nothing was written: the disk is full
    |- NotPermitted                not_permitted    77   the kernel says you are somebody else
    |- ConfigError                 bad_config       78   the config file; carries its problems
    |- TimedOut                    timed_out       124   a deadline passed
    |  `- ToolTimedOut             tool_timed_out  124   a tool took too long and was killed
    |- ToolFailed                  tool_failed       1   a tool ended badly, and ``check`` was asked for
    |- Down                        down              1   the agent that was called has ended
    |- HandlerFailed               handler_failed    1   the agent that was called raised
    |- Interrupted                 interrupted       1   the turn that was to answer was interrupted
    |- OutcomeUnknown              outcome_unknown   1   an earlier attempt may have done it, so it is not done again
    |- Refuse                      refused           1   the agent that was called says no; it is well
    |- TurnFailed                  turn_failed       1   the turn's work failed; its process is well
    |  |- AnswerRejected           rejected          1   its answer was no good: ``check``, schema or judge said so
    |  `- TurnLooped               loop              1   the same call, error or answer again and again
    |- StartFailed                 start_failed      1   a process was not born or did not get ready
    |- ProtocolError               protocol          1   somebody said something malformed
    |- ContainmentError            containment       1   the kernel refused a wall
    `- StateError                  state             1   the state folder is locked, foreign or unwritable
       |- JournalForeign           journal_foreign   1   not our database, or one of a newer version
       `- JournalDamaged           journal_damaged   1   the database does not read as it was written

A message says "cannot X: why; do Y". The same ``code`` stands in Python, on the wire
(``protocol/SPEC.md``) and decides the exit status of the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agenthost.agent.attempt import ToolCall
    from agenthost.agent.ran import Ran


class AgenthostError(Exception):
    """The root of the tree. ``code`` names the kind on the wire, ``exit_code`` on the command line."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(AgenthostError):
    code, exit_code = "usage", 2


class NotRunning(AgenthostError):
    code, exit_code = "not_running", 3


class UnknownName(AgenthostError):
    code, exit_code = "unknown_name", 4


class NoHost(AgenthostError):
    code, exit_code = "no_host", 69


class Busy(AgenthostError):
    code, exit_code = "busy", 75


class Overloaded(Busy):
    code = "overloaded"


class BudgetExhausted(Busy):
    """The agent that was called may begin no turn, or not go on with it, before somebody has granted more."""

    code = "budget_exhausted"


class NotPermitted(AgenthostError):
    code, exit_code = "not_permitted", 77


class ConfigError(AgenthostError):
    code, exit_code = "bad_config", 78


class TimedOut(AgenthostError):
    code, exit_code = "timed_out", 124


class ToolTimedOut(TimedOut):
    """``ran`` has what the tool had printed until then; None where the error has travelled over the wire."""

    code = "tool_timed_out"

    def __init__(self, message: str, *, ran: Ran | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.ran = ran


class ToolFailed(AgenthostError):
    """``ctx.run(..., check=True)`` of a tool that did not end with status 0. ``ran`` as in ``ToolTimedOut``."""

    code = "tool_failed"

    def __init__(self, message: str, *, ran: Ran | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.ran = ran


class Down(AgenthostError):
    """The callee ended while the call was open. ``path`` and ``incarnation`` say who, ``reason`` why."""

    code = "down"

    def __init__(
        self, message: str, *, path: str = "", incarnation: str = "", reason: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path, self.incarnation, self.reason = path, incarnation, reason


class HandlerFailed(AgenthostError):
    """The callee's handler raised. ``trace`` is its traceback as text, for a log, not for a model."""

    code = "handler_failed"

    def __init__(self, message: str, *, trace: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.trace = trace


class Interrupted(AgenthostError):
    """The callee's turn was interrupted: by an operator, by whoever started it, or because it took too long."""

    code = "interrupted"


class OutcomeUnknown(AgenthostError):
    """A call that an earlier attempt of this message has begun, and whose end is not known: nothing was called now.
    ``call`` is that one; None where the error has travelled over the wire."""

    code = "outcome_unknown"

    def __init__(self, message: str, *, call: ToolCall | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.call = call


class Refuse(AgenthostError):
    """Raised by a handler for a failure it expects: the caller gets it as it is, the agent goes on."""

    code = "refused"


class TurnFailed(AgenthostError):
    """Raised by a handler whose work failed though its process is well: the caller gets it, the agent goes on, and what
    becomes of a durable message says ``recovery`` in the config. ``retry_after_s``: not before, says who refused.
    ``tool``: what was called, if that is what failed."""

    code = "turn_failed"
    kind = "error"
    """As in ``core.remedy.failure``."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0, tool: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s, self.tool = retry_after_s, tool


class AnswerRejected(TurnFailed):
    """The answer of a turn was no good. ``by``: "check", "schema", "judge", or "judge_silent" where that said neither
    yes nor no; "" if a handler has raised it. ``place``: what of the schema it is about."""

    code, kind = "rejected", "rejected"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float = 0.0,
        tool: str = "",
        hint: str | None = None,
        by: str = "",
        place: str = "",
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, tool=tool, hint=hint)
        self.by, self.place = by, place


class TurnLooped(TurnFailed):
    """A turn repeats itself. ``by``: "same_call", "same_error" or "same_answer", "" if a handler has raised it."""

    code, kind = "loop", "loop"

    def __init__(
        self, message: str, *, retry_after_s: float = 0.0, tool: str = "", hint: str | None = None, by: str = ""
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, tool=tool, hint=hint)
        self.by = by


class StartFailed(AgenthostError):
    """``permanent`` is True where another try cannot help (the module does not import)."""

    code = "start_failed"

    def __init__(self, message: str, *, trace: str = "", permanent: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.trace, self.permanent = trace, permanent


class ProtocolError(AgenthostError):
    code = "protocol"


class ContainmentError(AgenthostError):
    code = "containment"


class StateError(AgenthostError):
    code = "state"


class JournalUnavailable(Busy):
    """A whole batch was not written, nothing of it. The same batch may succeed later."""

    code = "journal_unavailable"


class JournalFull(JournalUnavailable):
    code = "journal_full"


class JournalForeign(StateError):
    code = "journal_foreign"


class JournalDamaged(StateError):
    """Nothing was overwritten, and nothing will be written until somebody has looked at it."""

    code = "journal_damaged"


class TurnInterrupted(BaseException):
    """Raised in a handler that is a plain function when its turn is interrupted; the text says by whom. It is no
    ``Exception``, so that ``except Exception`` does not swallow it. Clean up and let it pass, soon. ``kind``: as in
    ``core.remedy.failure``, what it was interrupted for."""

    def __init__(self, why: str = "", *, kind: str = "interrupted") -> None:
        super().__init__(why)
        self.kind = kind


def _tree(kind: type[AgenthostError]) -> list[type[AgenthostError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _tree(child))]


BY_CODE: dict[str, type[AgenthostError]] = {kind.code: kind for kind in _tree(AgenthostError)}


def from_wire(code: str, message: str, hint: str | None = None) -> AgenthostError:
    """The error that ``code`` names on the wire; an unknown code gives the root, with the code in its text."""
    kind = BY_CODE.get(code)
    return kind(message, hint=hint) if kind else AgenthostError(f"{code}: {message}", hint=hint)
