"""What was seen of an incarnation before it was ended, or before its turn was interrupted: a value, for the record.

How it is found out is in ``examining``; where it is kept is the journal's business. The rule: it is bounded, and what
is not known is said in words, never left out silently.
"""

from __future__ import annotations

from typing import TypedDict

import msgspec

STACK_BYTES = 64 * 1024
"""As UTF-8; what is longer is cut in the middle, which is said there."""
MOST_PROCESSES = 100
"""Of a larger cell so many are told, parents before children, and how many there were."""
MOST_WORDS, LONGEST_WORD = 24, 120
PROCESSES_BYTES = 64 * 1024
"""Of all of them, packed; words beyond that are left out."""
LONGEST_REASON = 4096


class Process(TypedDict):
    """One process of the cell, or of cells in it. Pids are as seen from outside the host, as everywhere for people."""

    pid: int
    ppid: int
    name: str
    """What ``comm`` shows."""
    state: str
    """In words: "running", "sleeping", "in the kernel", "stopped", "ended"."""
    cpu_s: float
    memory_bytes: int
    """Resident."""
    age_s: float
    threads: int
    argv: list[str]
    """At most ``MOST_WORDS`` of at most ``LONGEST_WORD`` characters; what looks like a secret is "***"."""


class Autopsy(msgspec.Struct, frozen=True, kw_only=True):
    """``path``, ``boot`` and ``n`` name the incarnation. ``at_ms`` is since 1970."""

    path: str
    boot: int
    n: int
    at_ms: int
    kind: str
    """As ``core.reason.Kind``: "silent", "no_progress", "turn_timeout", "interrupted", "start_timeout", "killed"."""
    reason: str
    """In words, one line: "its turn took longer than 30 s"."""
    is_end: bool
    """It was looked at because its process is ended; else its turn is interrupted, and the process may go on."""
    turn: int = 0
    """The agent's number of the turn in hand, 0 if the host knew of none."""
    message: int = 0
    attempt: int = 0
    """Of the durable mail that this turn handles, 0 of a call."""
    turn_s: float = 0.0
    """How long that had taken, without the time that it was frozen."""
    stack: str = ""
    """All Python threads, then the async tasks; empty if there is none, and ``stack_means`` says why."""
    stack_means: str = ""
    """How the stack was had, or why not, in words: "its own thread", "py-spy; its async tasks are not known, for it did
    not answer", "none: ..."."""
    processes: list[Process] = []
    processes_in_all: int = 0
    processes_means: str = ""
    """Why they are not told, in words; "" if they are."""
    killed: list[str] = []
    """What is ended with it, main process not counted: "rg (pid 4711)"."""
