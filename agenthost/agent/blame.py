"""What failed, as the journal is told: the kind of an error, its type, the place in the author's code.

The rule it keeps: nothing in it differs from one time or machine to the next (``core.remedy.fingerprint``). A place is
the file's name, the function and the line counted from where that begins. Imported when something has failed.
"""

from __future__ import annotations

import os
import time
from types import CodeType, TracebackType
from typing import Any

from agenthost.core.remedy.failure import Failure
from agenthost.errors import (
    AgenthostError,
    AnswerRejected,
    ProtocolError,
    Refuse,
    TurnFailed,
    TurnInterrupted,
    TurnLooped,
)

_LIBRARY = os.path.dirname(os.__file__)
_DEEPEST_CAUSE = 8


class Inapplicable(Exception):
    """The remedy that was decided cannot be applied; the text says why."""


def failure_of(error: BaseException) -> Failure:
    """Without its text."""
    kind, what = "crash", type(error).__name__
    if isinstance(error, TurnInterrupted):
        return Failure(error.kind)
    if isinstance(error, Refuse):
        kind, what = "refused", ""
    elif isinstance(error, ProtocolError):
        kind, what = "unreadable", ""
    elif isinstance(error, AnswerRejected | TurnLooped) and error.by:  # ours: no line of the author's is to blame
        return Failure(error.kind, error.by, getattr(error, "place", ""), error.tool, "", error.retry_after_s)
    elif isinstance(error, TurnFailed):
        kind, what = error.kind, error.code if type(error) is TurnFailed else what
    elif isinstance(error, AgenthostError):
        kind, what = "error", error.code
    status = _first(error, "status_code", "status")
    what = f"{what} {status}" if isinstance(status, int) and status else what
    return Failure(kind, what, place_of(error), getattr(error, "tool", "") or "", "", retry_after_s(error))


def place_of(error: BaseException) -> str:
    """ "planner:Planner.handle+12": where the author's code was left; "" if that was not in it."""
    found: tuple[CodeType, int] | None = None
    step: TracebackType | None = error.__traceback__
    while step is not None:
        frame = step.tb_frame
        if not str(frame.f_globals.get("__name__", "")).startswith("agenthost.") and _is_authors(frame.f_code):
            found = frame.f_code, step.tb_lineno
        step = step.tb_next
    if found is None:
        return ""
    code, line = found
    file = os.path.splitext(os.path.basename(code.co_filename))[0]
    return f"{file}:{code.co_qualname}+{line - code.co_firstlineno}"


def _is_authors(code: CodeType) -> bool:
    file = code.co_filename
    if file.startswith("<") and not file.startswith("<string"):
        return False
    return not (file.startswith(_LIBRARY) or "site-packages" in file or "dist-packages" in file)


def retry_after_s(error: BaseException) -> float:
    """How long whoever refused wants to be left alone, 0 if that is not said: ``retry_after_s`` or ``retry_after`` of
    the error or of what caused it, or the header Retry-After of its ``response`` (RFC 9110 10.2.3)."""
    for one in _causes(error):
        for name in ("retry_after_s", "retry_after"):
            value = getattr(one, name, None)
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                return float(value)
        headers = getattr(getattr(one, "response", one), "headers", None)
        get = getattr(headers, "get", None)
        value = get("retry-after") or get("Retry-After") if callable(get) else None
        if isinstance(value, str) and (seconds := _seconds(value)) > 0:
            return seconds
    return 0.0


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
        return seconds if 0 < seconds < float("inf") else 0.0
    except ValueError:
        pass
    import email.utils

    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


def _first(error: BaseException, *names: str) -> Any:
    for one in _causes(error):
        for holder in (one, getattr(one, "response", None)):
            for name in names:
                value = getattr(holder, name, None)
                if isinstance(value, int) and not isinstance(value, bool):
                    return value
    return None


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and len(found) < _DEEPEST_CAUSE and one not in found:
        found.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return found
