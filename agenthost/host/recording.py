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
from collections.abc import Callable
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
from agenthost.host.remains import left_behind, usage
from agenthost.host.scrubbing import NONE_KNOWN, Known
from agenthost.host.sightings import Sighting, Sightings
from agenthost.host.terminal import last_lines
from agenthost.journal import words
from agenthost.observe.record import Record

if TYPE_CHECKING:
    from agenthost.host.autopsy import Autopsy
    from agenthost.protocol.birth import CallFailed

LINES, LINE_CHARS, LOOKED_THROUGH = 30, 500, 4096
"""Of a line so much is looked through for what is to be hidden, and then cut."""
TRACE_CHARS = 16 * 1024
LOOKED_INTO = 64
"""At a time."""
ENDS, ENDS_BYTES = 1000, 8 * 1024 * 1024
"""Ends that are remembered until what was seen before them is heard of."""
TEXT_CHARS = 4096
"""Of what it ended of, and of why."""
UNCLAIMED_S = 10.0
"""So long an end waits for what was seen before it, which takes a few seconds at most."""
LOOK_AGAIN_S = 1.0
"""So often it is looked whether the turn of a call that was interrupted is over."""
ALIKE_S = 10.0
"""Of calls that fail in the same way one in so long is told: a thousand a second would leave room for nothing else."""
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
    known: Known = NONE_KNOWN


class Recording:
    """``logs`` is the folder of captured output; ``present(path)`` the incarnation that runs now."""

    def __init__(self, *, boot: int, logs: str, present: Callable[[str], Incarnation | None], say: Say) -> None:
        self._boot, self._logs, self._present, self._say = boot, logs, present, say
        self._numbers = count(1)
        self._sightings = Sightings()
        self._ended: Awaiting[tuple[str, int], tuple[_Told, dict[str, Any]]] = Awaiting(ENDS, ENDS_BYTES, UNCLAIMED_S)
        """What was said of ends before which nothing was seen."""
        self._alike: Awaiting[tuple[str, str], float] = Awaiting(ENDS, ENDS_BYTES, ALIKE_S)
        """When a call that failed so was told of."""
        self._threads = ThreadPoolExecutor(1, "recording")
        self._open = 0

    # ---- what is heard

    def exited(self, path: str, n: int, fields: dict[str, Any]) -> None:
        """The record ``agent.exited``: the main process is gone, what it left behind is not yet."""
        cause = str(fields.get("kind", ""))
        incarnation = self._present(path)
        if incarnation is not None and incarnation.n != n:
            incarnation = None
        seen, of_others = self._sightings.take_all(n, 0 if incarnation is None else incarnation.turn.cut_off)
        for other in of_others:
            self._tell_alone(other)
        if not meaning(cause, late=bool(fields.get("late"))).record or fields.get("of_turn"):
            return
        details: dict[str, Any] = {}
        trace, ended = str(fields.get("trace") or ""), str(fields.get("reason", ""))
        failure = of_end(Reason(cause, text=ended))  # type: ignore[arg-type]  # the record's own
        if incarnation is not None:
            with contextlib.suppress(OSError, ContainmentError):  # out of descriptors, or it is being taken apart
                details["usage"] = usage(incarnation)
            details["killed"] = left_behind(incarnation)
            if incarnation.ended_as is not None:
                failure = of_end(incarnation.ended_as)
            if (crash := incarnation.crash) is not None and cause == "exit":
                trace = trace or crash.trace
                cause, failure = "crash", Failure("crash", crash.type, crash.place)
        known = _known(incarnation)
        trace = known.hidden_in(trace)
        details["trace"] = trace[-TRACE_CHARS:]
        said = {"ended": known.hidden_in(ended)[:TEXT_CHARS], "reason": _last_line(trace)[:TEXT_CHARS]}
        said["fingerprint"] = known.hidden_in(fingerprint(failure))
        self._tell(self._new(path, n, cause, said, known=known), details, seen)

    def system_exited(self, path: str, fields: dict[str, Any]) -> None:
        """One of the host's own processes."""
        cause, n = str(fields.get("kind", "")), int(fields.get("incarnation", 0))
        if meaning(cause, late=bool(fields.get("late"))).record:
            self._say_it(self._new(path, n, cause, {"ended": str(fields.get("reason", ""))[:TEXT_CHARS]}), {})

    def examined(self, autopsy: Autopsy) -> None:
        """Before a process is ended, or a turn interrupted: it belongs to what will be heard of that."""
        if (ended := self._ended.pop((autopsy.path, autopsy.n))) is not None:  # it has ended in the middle of the look
            told, details = ended
            details["autopsy"] = msgspec.to_builtins(autopsy)
            self._say_it(told, details)
            return
        look = self._sightings.put(autopsy)
        if not autopsy.message:
            self._look_again(autopsy.n, look)

    def _look_again(self, n: int, look: int) -> None:
        with contextlib.suppress(RuntimeError):  # no loop: the host leaves
            asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._unclaimed, n, look)

    def _unclaimed(self, n: int, look: int) -> None:
        """The turn was nobody's mail, and the process goes on: a record by itself, unless somebody wanted that."""
        seen = self._sightings.look(n, look)
        if seen is None:
            return
        incarnation = self._present(seen.autopsy.path)
        if incarnation is not None and incarnation.n == n and incarnation.turn.number == seen.autopsy.turn > 0:
            self._look_again(n, look)  # it has not come back yet
            return
        self._sightings.drop(n, look)
        self._tell_alone(seen)

    def _tell_alone(self, seen: Sighting) -> None:
        autopsy = seen.autopsy
        if autopsy.message or seen.is_end or not meaning(autopsy.kind).alone:
            return
        known = _known(self._present(autopsy.path))
        fields = {"reason": autopsy.reason, "fingerprint": fingerprint(Failure(autopsy.kind))}
        told = self._new(autopsy.path, autopsy.n, autopsy.kind, fields, at_ms=autopsy.at_ms, known=known)
        self._tell(told, {}, seen)

    def call_failed(self, incarnation: Incarnation, said: CallFailed) -> None:
        """Its answer was rejected, or it went round in circles: who has called knows, and the process goes on."""
        known = _known(incarnation)
        failure = Failure(said.kind, said.type, said.place, said.tool, known.hidden_in(said.why))
        mark = fingerprint(failure)
        alike, now = (incarnation.path, mark), time.monotonic()
        if now - (self._alike.get(alike) or -ALIKE_S) < ALIKE_S:
            return
        self._alike.put(alike, now, len(mark))
        fields = {"reason": failure.text[:TEXT_CHARS], "fingerprint": mark}
        self._tell(self._new(incarnation.path, incarnation.n, failure.kind, fields, known=known), {})

    def remedied(self, word: words.Remedied) -> None:
        """An attempt has failed, and the journal has noted that. If its process goes on, there will be no other word
        of it."""
        cause = word.fingerprint.split(" ", 1)[0].rstrip(":")
        if word.boot != self._boot or not word.failed:
            return
        seen = self._sightings.of_attempt(word.n, word.message, word.attempt)
        if seen is not None and word.escalates:
            self._sightings.will_end(word.n, seen.look)
        incarnation = self._present(word.path)
        goes_on = incarnation is not None and incarnation.n == word.n and not incarnation.exited
        if not goes_on or word.escalates or cause in _TOLD:
            return
        if seen is not None:
            self._sightings.drop(word.n, seen.look)
        fields = {"reason": word.reason, "fingerprint": word.fingerprint, "message": word.message}
        fields |= {"attempt": word.attempt, "remedy": word.rung, "why": word.why}
        told = self._new(word.path, word.n, cause, fields, known=_known(incarnation))
        self._tell(told, {}, seen, is_noted=True)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ---- what is said

    def _new(
        self, path: str, n: int, cause: str, fields: dict[str, Any], *, at_ms: int = 0, known: Known = NONE_KNOWN
    ) -> _Told:
        return _Told(path, n, next(self._numbers), at_ms or round(time.time() * 1000), cause, fields, known)

    def _say_it(self, told: _Told, details: dict[str, Any]) -> int:
        """How many bytes of details that were."""
        data = packed(details)
        keyed = {"number": told.number, "at_ms": told.at_ms}
        self._say(told.path, self._boot, told.n, told.cause, **keyed, **told.fields, details=data)
        return len(data)

    def _tell(
        self, told: _Told, details: dict[str, Any], seen: Sighting | None = None, *, is_noted: bool = False
    ) -> None:
        """``is_noted``: the journal has noted it, and lacks only details."""
        is_end = "ended" in told.fields
        if seen is not None:
            details["autopsy"] = msgspec.to_builtins(seen.autopsy)
        is_said = self._open >= LOOKED_INTO
        if is_said:
            details["lines_missing"] = f"{self._open} others were being looked into"
        size_bytes = 0
        if is_said or not is_noted or details:
            size_bytes = self._say_it(told, details)
        if seen is None and is_end:
            size_bytes += LINES * LINE_CHARS + told.known.size_chars
            self._ended.put((told.path, told.n), (told, details), size_bytes)  # which may come yet
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
            lines = (told.known.hidden_in(line[:LOOKED_THROUGH]) for line in done.result()[-LINES:])
            details["lines"] = [line[:LINE_CHARS] for line in lines]
        if details.get("lines") or details.get("lines_missing"):
            self._say_it(told, details)


def _known(incarnation: Incarnation | None) -> Known:
    return incarnation.private.declared if incarnation is not None else NONE_KNOWN


def _last_line(trace: str) -> str:
    """ "ValueError: no JSON", of a traceback; what follows the first line of a long message is left out."""
    lines = trace.rstrip().splitlines()
    while lines and (not lines[-1] or lines[-1][0].isspace()):
        lines.pop()
    return lines[-1] if lines else ""
