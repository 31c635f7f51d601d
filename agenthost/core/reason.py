"""Why an incarnation ended, as a value and in words (OTP_SEMANTICS section 1)."""

from __future__ import annotations

import signal
from typing import Literal

import msgspec

Kind = Literal[
    "normal",  # exit status 0, nobody had asked
    "shutdown",  # ended after it was asked, in time
    "killed",  # ended by our KILL: the grace ran out, or somebody said kill
    "exit",  # exit status other than 0; detail: the status
    "signal",  # a signal nobody of ours sent; detail: its number
    "out_of_memory",
    "start_timeout",  # not ready in time
    "start_failed",  # not born, or its own start raised
    "bad_code",  # its module does not import: another try cannot help (deviation D12)
    "silent",  # no beat while a turn was in hand
    "interrupted",  # its turn was, and it did not come back in time
    "turn_timeout",  # the same, because the turn took too long
    "no_progress",  # the same, because the turn did not get on
    "budget",  # the same, because its budget is used up
    "not_live",  # a check of a program's liveness or readiness failed
    "gave_up",  # a supervisor bore more restarts than its intensity (deviation D3)
    "ignore",  # it said there is nothing to do here (S3)
    "escalated",  # its work failed, and its ladder says that this is its supervisor's business
    "asleep",  # it had nothing to do for long, and comes back when somebody wants something of it
]

WELL = frozenset({"normal", "shutdown", "ignore", "asleep"})
"""Kinds that a transient child is not restarted for (R2)."""


class Reason(msgspec.Struct, frozen=True):
    """``text`` is for people: what was being tried, the error, who asked. ``trace`` is a traceback, if there is one."""

    kind: Kind
    detail: int | None = None
    text: str = ""
    trace: str = ""
    dumped: bool = False
    """The signal made the kernel write a core (signal(7))."""

    @property
    def well(self) -> bool:
        return self.kind in WELL

    def words(self) -> str:
        """One line: "killed by SIGSEGV", "gave up: 6 restarts in 30 s", "exit status 3", "stopped by uid 1000"."""
        if self.kind == "shutdown" and self.text:
            return self.text
        what = self._what()
        return f"{what}: {self.text}" if self.text else what

    def _what(self) -> str:
        if self.kind == "exit":
            return f"exit status {self.detail}"
        if self.kind == "signal":
            return f"killed by {signal_name(self.detail or 0)}" + (" (core dumped)" if self.dumped else "")
        return {
            "normal": "ended normally",
            "shutdown": "stopped",
            "killed": "killed",
            "out_of_memory": "killed: out of memory",
            "start_timeout": "not ready in time",
            "start_failed": "failed to start",
            "bad_code": "cannot be loaded",
            "silent": "killed: silent",
            "interrupted": "killed",
            "turn_timeout": "killed",
            "no_progress": "killed",
            "budget": "killed",
            "not_live": "unhealthy",
            "gave_up": "gave up",
            "ignore": "had nothing to do",
            "asleep": "fell asleep",
            "escalated": "escalated",
        }[self.kind]


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def from_wait(code: int, *, by_signal: bool, dumped: bool = False) -> Reason:
    """The reason of a process that nobody had asked to end, from waitid(2)'s ``si_status`` and ``si_code``."""
    if by_signal:
        return Reason("signal", code, dumped=dumped)
    return Reason("normal") if code == 0 else Reason("exit", code)
