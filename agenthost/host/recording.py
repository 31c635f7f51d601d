"""The record of what failed, as the host knows it: how a process ended that nobody had asked to, what an attempt that
failed had printed. The journal keeps it (``journal.crashes``), with the attempt that the process ended of.

What is known is said at once; the last lines follow when they are in the log file, a few milliseconds later, read by a
thread. All words of one record bear its number, so they are one record however often they are said. No text of it shows
a value that was declared to be secret. The rule it keeps: nobody waits for any of this, and of more than can be looked
into at a time the rest is told without details, which is said there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agenthost.core.reason import Reason
from agenthost.core.remedy.failure import Failure, of_end
from agenthost.core.remedy.fingerprint import fingerprint
from agenthost.core.wanted import meaning
from agenthost.errors import ContainmentError
from agenthost.host.awaiting import Awaiting
from agenthost.host.crash_details import packed
from agenthost.host.incarnation import Incarnation
from agenthost.host.private_values import declared_in
from agenthost.host.scrubbing import known_values, without
from agenthost.host.terminal import last_lines
from agenthost.journal import words
from agenthost.observe.record import Record

if TYPE_CHECKING:
    from agenthost.host.autopsy import Autopsy

LINES, LINE_CHARS = 30, 500
TRACE_CHARS = 16 * 1024
LOOKED_INTO = 64
"""At a time."""
SEEN, SEEN_BYTES = 1000, 8 * 1024 * 1024
"""Autopsies, and ends, that are remembered until the other half is heard of."""
TEXT_CHARS = 4096
"""Of what it ended of, and of why."""
LEFT_BEHIND = 20
UNCLAIMED_S = 10.0
"""So long an autopsy waits for what is heard of it; and an end for its autopsy, which takes a few seconds at most."""
_TOLD = ("", "crash", "refused")
"""Of these there will be another word, or no record."""


class Say(Protocol):
    """Reaches the journal; the fields of ``words.Crashed`` but the first."""

    def __call__(self, path: str, boot: int, n: int, cause: str, **more: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class _Told:
    """What all words of one record say. ``known`` are values that no text may show."""

    path: str
    n: int
    number: int
    at_ms: int
    cause: str
    fields: dict[str, Any]
    known: Sequence[str] = ()


class Recording:
    """``logs`` is the folder of captured output; ``present(path)`` the incarnation that runs now."""

    def __init__(self, *, boot: int, logs: str, present: Callable[[str], Incarnation | None], say: Say) -> None:
        self._boot, self._logs, self._present, self._say = boot, logs, present, say
        self.usage_of: Callable[[Incarnation], dict[str, Any]] = _usage
        self._numbers, self._looks = count(1), count(1)
        self._autopsies: Awaiting[tuple[str, int], tuple[int, dict[str, Any]]]
        self._autopsies = Awaiting(SEEN, SEEN_BYTES, 2 * UNCLAIMED_S)
        """With a number each, by which a timer knows one without holding it."""
        self._ended: Awaiting[tuple[str, int], tuple[_Told, dict[str, Any]]] = Awaiting(SEEN, SEEN_BYTES, UNCLAIMED_S)
        """What was said of ends without one."""
        self._threads = ThreadPoolExecutor(1, "recording")
        self._open = 0

    # ---- what is heard

    def exited(self, path: str, n: int, fields: dict[str, Any]) -> None:
        """The record ``agent.exited``: the main process is gone, what it left behind is not yet."""
        cause = str(fields.get("kind", ""))
        if not meaning(cause, late=bool(fields.get("late"))).record or fields.get("of_turn"):
            self._autopsies.pop((path, n))
            return
        details: dict[str, Any] = {}
        incarnation = self._present(path)
        trace, ended = str(fields.get("trace") or ""), str(fields.get("reason", ""))
        failure = of_end(Reason(cause, text=ended))  # type: ignore[arg-type]  # the record's own
        if incarnation is not None and incarnation.n == n:
            with contextlib.suppress(OSError, ContainmentError):  # out of descriptors, or it is being taken apart
                details["usage"] = self.usage_of(incarnation)
            details["killed"] = _left_behind(incarnation)
            if incarnation.ended_as is not None:
                failure = of_end(incarnation.ended_as)
            if (crash := incarnation.crash) is not None and cause == "exit":
                trace = trace or crash.trace
                cause, failure = "crash", Failure("crash", crash.type, crash.place)
        known = _known(incarnation)
        trace = without(trace, known)
        details["trace"] = trace[-TRACE_CHARS:]
        said = {"ended": without(ended, known)[:TEXT_CHARS], "reason": _last_line(trace)[:TEXT_CHARS]}
        said["fingerprint"] = without(fingerprint(failure), known)
        self._tell(self._new(path, n, cause, said, known=known), details, is_noted=False)

    def system_exited(self, path: str, fields: dict[str, Any]) -> None:
        """One of the host's own processes."""
        cause, n = str(fields.get("kind", "")), int(fields.get("incarnation", 0))
        if meaning(cause, late=bool(fields.get("late"))).record:
            self._say_it(self._new(path, n, cause, {"ended": str(fields.get("reason", ""))[:TEXT_CHARS]}), {})

    def examined(self, autopsy: Autopsy) -> None:
        """Before a process is ended, or a turn interrupted: it belongs to what will be heard of that."""
        key, seen = (autopsy.path, autopsy.n), msgspec.to_builtins(autopsy)
        if (ended := self._ended.pop(key)) is not None:  # it has ended in the middle of the look
            told, details = ended
            details["autopsy"] = seen
            self._say_it(told, details)
            return
        look = next(self._looks)
        self._autopsies.put(key, (look, seen), len(msgspec.msgpack.encode(autopsy)))
        with contextlib.suppress(RuntimeError):  # no loop: the host leaves
            asyncio.get_running_loop().call_later(UNCLAIMED_S, self._unclaimed, key, look)

    def _unclaimed(self, key: tuple[str, int], look: int) -> None:
        """The turn was nobody's mail, and the process goes on: a record by itself, unless somebody wanted that."""
        held = self._autopsies.get(key)
        if held is not None and held[0] == look:
            seen = held[1]
            if meaning(seen["kind"]).alone:
                known, fields = _known(self._present(key[0])), {"reason": seen["reason"]}
                told = self._new(*key, seen["kind"], fields, at_ms=seen["at_ms"], known=known)
                self._tell(told, {}, is_noted=False)
            else:
                self._autopsies.pop(key)

    def remedied(self, word: words.Remedied) -> None:
        """An attempt has failed, and the journal has noted that. If its process goes on, there will be no other word
        of it."""
        cause = word.fingerprint.split(" ", 1)[0].rstrip(":")
        incarnation = self._present(word.path)
        goes_on = incarnation is not None and incarnation.n == word.n and not incarnation.exited
        if word.boot != self._boot or not word.failed or not goes_on or word.escalates or cause in _TOLD:
            return
        fields = {"reason": word.reason, "fingerprint": word.fingerprint, "message": word.message}
        fields |= {"attempt": word.attempt, "remedy": word.rung, "why": word.why}
        told = self._new(word.path, word.n, cause, fields, known=_known(incarnation))
        self._tell(told, {}, is_noted=True)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ---- what is said

    def _new(
        self, path: str, n: int, cause: str, fields: dict[str, Any], *, at_ms: int = 0, known: Sequence[str] = ()
    ) -> _Told:
        return _Told(path, n, next(self._numbers), at_ms or round(time.time() * 1000), cause, fields, known)

    def _say_it(self, told: _Told, details: dict[str, Any]) -> int:
        """How many bytes of details that were."""
        data = packed(details)
        keyed = {"number": told.number, "at_ms": told.at_ms}
        self._say(told.path, self._boot, told.n, told.cause, **keyed, **told.fields, details=data)
        return len(data)

    def _tell(self, told: _Told, details: dict[str, Any], *, is_noted: bool) -> None:
        """``is_noted``: the journal has noted it, and lacks only details."""
        key, is_end = (told.path, told.n), "ended" in told.fields
        autopsy = self._autopsies.pop(key)
        if autopsy is not None:
            details["autopsy"] = autopsy[1]
        is_said = self._open >= LOOKED_INTO
        if is_said:
            details["lines_missing"] = f"{self._open} others were being looked into"
        size_bytes = 0
        if is_said or not is_noted or details:
            size_bytes = self._say_it(told, details)
        if autopsy is None and is_end:
            self._ended.put(key, (told, details), size_bytes + LINES * LINE_CHARS)  # which may come yet
        if is_said:
            return
        self._open += 1
        record = Record(0, time.time(), "", told.path, {"incarnation": f"{self._boot}.{told.n}"})
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, last_lines, self._logs, record)
        except RuntimeError:  # closed: the host leaves
            return
        reading.add_done_callback(lambda done: self._read(done, told, details))

    def _read(self, done: asyncio.Future[list[str]], told: _Told, details: dict[str, Any]) -> None:
        self._open -= 1
        if done.cancelled():
            return
        if isinstance(done.exception(), OSError):
            details["lines_missing"] = f"its log cannot be read: {done.exception()}"
        else:
            lines = (without(line, told.known) for line in done.result()[-LINES:])
            details["lines"] = [line[:LINE_CHARS] for line in lines]
        if details.get("lines") or details.get("lines_missing"):
            self._say_it(told, details)


def _known(incarnation: Incarnation | None) -> Sequence[str]:
    return known_values(declared_in(incarnation.private)) if incarnation is not None else ()


def _last_line(trace: str) -> str:
    """ "ValueError: no JSON", of a traceback; what follows the first line of a long message is left out."""
    lines = trace.rstrip().splitlines()
    while lines and (not lines[-1] or lines[-1][0].isspace()):
        lines.pop()
    return lines[-1] if lines else ""


def _usage(incarnation: Incarnation) -> dict[str, Any]:
    """What the kernel has counted for its cell."""
    cpu_s = incarnation.cell.cpu_s()
    found: dict[str, Any] = {"lived_s": round(time.monotonic() - incarnation.began_at, 3)}
    if cpu_s is not None:
        found["cpu_s"] = round(cpu_s, 3)
    return found


def _left_behind(incarnation: Incarnation) -> list[str]:
    """What its main process has left, and is killed now."""
    found = []
    try:
        pids = incarnation.cell.own_members()
    except (OSError, ContainmentError):
        return []
    main = incarnation.born.pid if incarnation.born is not None else 0
    pids = [pid for pid in pids if pid != main]
    for pid in pids[:LEFT_BEHIND]:
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                found.append(f"{file.read().strip()} (pid {pid})")
        except OSError:
            continue  # it has ended
    more = len(pids) - LEFT_BEHIND
    return [*found, f"and {more} more"] if more > 0 else found
