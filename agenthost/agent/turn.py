"""What a turn's end means, for both desks: a reply, an error that the agent survives, or a crash."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agenthost.agent.agent import Message
from agenthost.errors import (
    AgenthostError,
    AnswerRejected,
    BudgetExhausted,
    HandlerFailed,
    Interrupted,
    TurnInterrupted,
    TurnLooped,
)
from agenthost.protocol.codec import pack_body, unpack_body
from agenthost.transport.callee import Callee, Turn
from agenthost.transport.data import check_size

if TYPE_CHECKING:
    from agenthost.agent.interruption import Interruption

CRASHED = 1
"""Exit status of an agent that crashed."""
_MOST_OF_TRACE = 16 * 1024


def _nobody(error: BaseException, trace: str) -> None:
    """Who hears of a crash outside of a host."""


_tell: Callable[[BaseException, str], None] = _nobody


def tell_crashes(tell: Callable[[BaseException, str], None]) -> None:
    """``tell`` is called with what this process ends of, and its traceback, or the end of that; and with what was wrong
    with the turn of a call, whose process goes on, and ""."""
    global _tell
    _tell = tell


class Undone(BaseException):
    """The turn in hand counts for nothing: one that it was begun upon is not true, or its message is not ours
    (``ahead``)."""


def open_message(turn: Turn) -> Message:
    """Raises ``ProtocolError`` if the body is no msgpack."""
    return Message(unpack_body(turn.body), turn.peer.caller, turn.id, "call" if turn.is_call else "send", turn.deadline)


def pack_reply(turn: Turn, reply: Any) -> bytes:
    """Raises what the reply's body is refused for."""
    return check_size(pack_body(reply)) if turn.is_call else b""


def fail(callee: Callee, turn: Turn, error: BaseException) -> int | None:
    """Answer the caller. Returns the status to exit with, None if the agent goes on."""
    if isinstance(error, TurnInterrupted):
        code = BudgetExhausted.code if error.kind == "budget" else Interrupted.code
        callee.fail(turn, code, words_of(error))
        return None
    if isinstance(error, AgenthostError):
        callee.fail(turn, error.code, words_of(error), getattr(error, "trace", ""))
        if isinstance(error, AnswerRejected | TurnLooped):
            _tell(error, "")
        return None
    trace = trace_of(error)
    callee.fail(turn, HandlerFailed.code, one_line(error), trace)
    return exit_status(error, trace)


def status_after(error: BaseException) -> int | None:
    """Of a turn that nobody waits for; as ``fail`` without the answer."""
    return None if isinstance(error, AgenthostError | TurnInterrupted) else exit_status(error)


def after_interruption(error: BaseException, one: Interruption | None) -> BaseException:
    """What a turn ends with that ``one`` has struck. What the author's code has to say to its caller after that is the
    interruption; a crash stays one."""
    return one.error() if one is not None and isinstance(error, AgenthostError) else error


def exit_status(error: BaseException, trace: str = "") -> int:
    """The status that ``error`` ends the process with, its traceback on stderr unless it is a plain exit."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr, flush=True)
        return CRASHED
    trace = trace or trace_of(error)
    _tell(error, trace[-_MOST_OF_TRACE:])
    print(trace, end="", file=sys.stderr, flush=True)
    return CRASHED


def words_of(error: BaseException) -> str:
    """What it says, as it can be sent: an author's may be no UTF-8 (surrogateescape, PEP 383), or raise."""
    try:
        return sendable(str(error))
    except Exception:  # of its __str__, which is the author's
        return f"a {type(error).__name__} that cannot say why"


def trace_of(error: BaseException) -> str:
    return sendable("".join(traceback.format_exception(error)))


def sendable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def one_line(error: BaseException) -> str:
    text = words_of(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
