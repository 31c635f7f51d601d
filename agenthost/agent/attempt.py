"""``ctx.attempt``: which try of its message a turn is, and what is known of the tries before.

::

    def handle(self, message, ctx):
        if ctx.attempt.open:  # begun before, and nobody knows how it ended
            note = ctx.attempt.what_happened  # one line, for a model
        receipt = ctx.call("/tools/pay", {"order": 7})  # paid before? then this is the receipt of that time

In turns of durable mail it has the calls of earlier attempts (``tool_calls`` keeps them); in all others, and in the
first attempt, there are none. The rule: what may have happened is not repeated by the library, only by its author.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from agenthost.agent.tool_calls import ToolCalls

_MOST_SHOWN, _LONGEST_SHOWN = 8, 160


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of an earlier attempt. ``tool`` is a path, "run" or "popen"; ``arguments`` the body, or a map with
    ``argv``, None where they were larger than 64 KiB; ``at`` is when it began, in seconds since 1970. ``outcome`` is
    the reply, or a ``Ran``; ``error`` why there is none, in words."""

    tool: str
    arguments: Any
    at: float
    attempt: int
    idempotent: bool = False
    outcome: Any = None
    error: str = ""
    key: str = ""
    """Its name in the journal."""

    def words(self) -> str:
        """One line, cut."""
        import json

        arguments = self.arguments.get("argv") if self.tool in ("run", "popen") and self.arguments else self.arguments
        text = "" if arguments is None else json.dumps(arguments, default=_shown, ensure_ascii=False)
        line = f"{self.tool} {text}".rstrip()
        return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 3] + "..."


class Attempt:
    """``number`` counts from 1. ``ended`` says why the attempt before this one ended, "" in the first."""

    __slots__ = ("answer", "answered_by", "calls", "ended", "number", "parameters", "remedy", "rung")

    def __init__(self, number: int = 1, ended: str = "", calls: ToolCalls | None = None) -> None:
        self.number, self.ended = number, ended
        self.rung = self.remedy = ""
        """What was decided after the attempt before: the step, as "vary temperature=0.9", and its kind, "vary"."""
        self.parameters: dict[str, Any] = {}
        """What the remedy says, in ``self.args`` too where it varies those."""
        self.answer = self.answered_by = ""
        """What a person has said who was asked, and which one."""
        self.calls = calls
        """None where calls are not recorded: in turns that no durable mail began."""

    def __repr__(self) -> str:
        return f"<Attempt {self.number}>"

    @property
    def open(self) -> list[ToolCall]:
        """Calls that were begun and may have been done: how they ended is not known. Neither forgotten nor made again
        by this attempt."""
        return [] if self.calls is None else self.calls.open()

    @property
    def done(self) -> list[ToolCall]:
        """Calls whose outcome is known; those with an ``error`` are made again when they are asked for."""
        return [] if self.calls is None else self.calls.done()

    def forget(self, call: ToolCall) -> None:
        """It may be made again, on purpose: one of ``open`` or ``done``."""
        if self.calls is not None:
            self.calls.forget(call)

    @property
    def what_happened(self) -> str:
        """One line for a model, "" in the first attempt."""
        if self.number == 1:
            return ""
        parts = [f"this is attempt {self.number}" + (f"; the one before ended: {self.ended}" if self.ended else "")]
        if self.remedy == "compact":
            parts.append("earlier parts of this conversation were left out since")
        elif self.remedy == "roll_back":
            parts.append("this conversation was taken back to where it was before")
        if self.answer:
            parts.append(f"a person was asked, and says: {self.answer}")
        done = [call for call in self.done if not call.error]
        if done:
            parts.append(f"done before: {_list(done)}")
        if unknown := self.open:
            parts.append(f"begun before, and it is not known whether it was done: {_list(unknown)}")
        return "; ".join(parts).replace("\n", " ")


FIRST = Attempt()
"""Of every turn that no durable mail began."""


def _list(calls: list[ToolCall]) -> str:
    text = ", ".join(call.words() for call in calls[:_MOST_SHOWN])
    return text if len(calls) <= _MOST_SHOWN else f"{text} and {len(calls) - _MOST_SHOWN} more"


def _shown(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)
