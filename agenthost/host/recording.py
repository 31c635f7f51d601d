"""The record of what failed, as the host knows it: how a process ended that nobody had asked to, what an attempt that
failed had printed. The journal keeps it (``journal.crashes``), with the attempt that the process ended of.

What is known is said at once; the last lines follow when they are in the log file, a few milliseconds later, read by a
thread. The rule it keeps: nobody waits for any of this, and of more than can be looked into at a time the rest is told
without details, which is said there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agenthost.core.reason import Reason
from agenthost.core.remedy.failure import Failure, of_end
from agenthost.core.remedy.fingerprint import fingerprint
from agenthost.host.incarnation import Incarnation
from agenthost.host.terminal import last_lines
from agenthost.journal import words
from agenthost.observe.record import Record

if TYPE_CHECKING:
    from agenthost.host.autopsy import Autopsy

LINES, LINE_CHARS = 30, 500
TRACE_CHARS = 16 * 1024
LOOKED_INTO = 64
"""At a time."""
SEEN = 1000
"""Autopsies, and ends, that are remembered until the other half is heard of."""
LEFT_BEHIND = 20
PLANNED = frozenset({"shutdown", "killed", "ignore", "asleep", "normal"})
"""Kinds of ends that are no failures: somebody wanted them, or nobody minds."""


UNCLAIMED_S = 10.0
_TOLD = ("", "crash", "refused")
"""Of these there will be another word, or no record."""
_UNWANTED = frozenset({"turn_timeout", "no_progress", "budget", "loop", "silent"})


class Say(Protocol):
    """Reaches the journal; the fields of ``words.Crashed`` but the first."""

    def __call__(self, path: str, boot: int, n: int, cause: str, **more: Any) -> None: ...


class Recording:
    """``logs`` is the folder of captured output; ``present(path)`` the incarnation that runs now."""

    def __init__(self, *, boot: int, logs: str, present: Callable[[str], Incarnation | None], say: Say) -> None:
        self._boot, self._logs, self._present, self._say = boot, logs, present, say
        self.usage_of: Callable[[Incarnation], dict[str, Any]] = _usage
        self._autopsies: OrderedDict[tuple[str, int], dict[str, Any]] = OrderedDict()
        self._ended: OrderedDict[tuple[str, int], tuple[str, dict[str, Any], dict[str, Any]]] = OrderedDict()
        """What was said of ends without one."""
        self._threads = ThreadPoolExecutor(1, "recording")
        self._open = 0

    # ---- what is heard

    def exited(self, path: str, n: int, fields: dict[str, Any]) -> None:
        """The record ``agent.exited``: the main process is gone, what it left behind is not yet."""
        cause = str(fields.get("kind", ""))
        if cause in PLANNED or fields.get("of_turn"):
            self._autopsies.pop((path, n), None)
            return
        details: dict[str, Any] = {}
        incarnation = self._present(path)
        trace, ended = str(fields.get("trace") or ""), str(fields.get("reason", ""))
        failure = of_end(Reason(cause, text=ended))  # type: ignore[arg-type]  # the record's own
        if incarnation is not None and incarnation.n == n:
            details["usage"] = self.usage_of(incarnation)
            details["killed"] = _left_behind(incarnation)
            if incarnation.ended_as is not None:
                failure = of_end(incarnation.ended_as)
            if (crash := incarnation.crash) is not None and cause == "exit":
                trace = trace or crash.trace
                cause, failure = "crash", Failure("crash", crash.type, crash.place)
        details["trace"] = trace[-TRACE_CHARS:]
        said = {"ended": ended, "reason": _last_line(trace), "fingerprint": fingerprint(failure)}
        self._tell(path, n, cause, said, details, is_noted=False)

    def system_exited(self, path: str, fields: dict[str, Any]) -> None:
        """One of the host's own processes."""
        cause, n = str(fields.get("kind", "")), int(fields.get("incarnation", 0))
        if cause not in PLANNED:
            self._say(path, self._boot, n, cause, ended=str(fields.get("reason", "")))

    def examined(self, autopsy: Autopsy) -> None:
        """Before a process is ended, or a turn interrupted: it belongs to what will be heard of that."""
        key, seen = (autopsy.path, autopsy.n), msgspec.to_builtins(autopsy)
        if (ended := self._ended.pop(key, None)) is not None:  # it has ended in the middle of the look
            cause, fields, details = ended
            details["autopsy"] = seen
            self._say(autopsy.path, self._boot, autopsy.n, cause, **fields, details=_packed(details))
            return
        self._autopsies[key] = seen
        while len(self._autopsies) > SEEN:
            self._autopsies.popitem(last=False)
        with contextlib.suppress(RuntimeError):  # no loop: the host leaves
            asyncio.get_running_loop().call_later(UNCLAIMED_S, self._unclaimed, key, seen)

    def _unclaimed(self, key: tuple[str, int], seen: dict[str, Any]) -> None:
        """The turn was nobody's mail, and the process goes on: a record by itself, unless somebody wanted that."""
        if self._autopsies.get(key) is seen:
            if seen["kind"] in _UNWANTED:
                self._tell(*key, seen["kind"], {"reason": seen["reason"]}, {}, is_noted=False)
            else:
                del self._autopsies[key]

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
        self._tell(word.path, word.n, cause, fields, {}, is_noted=True)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ---- what is said

    def _tell(
        self, path: str, n: int, cause: str, fields: dict[str, Any], details: dict[str, Any], *, is_noted: bool
    ) -> None:
        """``is_noted``: the journal has noted it, and lacks only details."""
        if (autopsy := self._autopsies.pop((path, n), None)) is not None:
            details["autopsy"] = autopsy
        elif "ended" in fields:
            self._ended[path, n] = cause, fields, details
            while len(self._ended) > SEEN:
                self._ended.popitem(last=False)
        is_said = self._open >= LOOKED_INTO
        if is_said:
            details["lines_missing"] = f"{self._open} others were being looked into"
        # What is neither an end nor an attempt has no name by which it could be said again.
        if is_said or "ended" in fields or (details and is_noted):
            self._say(path, self._boot, n, cause, **fields, details=_packed(details))
        if is_said:
            return
        self._open += 1
        record = Record(0, time.time(), "", path, {"incarnation": f"{self._boot}.{n}"})
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, last_lines, self._logs, record)
        except RuntimeError:  # closed: the host leaves
            return
        must_say = not is_noted and "ended" not in fields
        reading.add_done_callback(lambda done: self._read(done, path, n, cause, fields, details, must_say=must_say))

    def _read(
        self,
        done: asyncio.Future[list[str]],
        path: str,
        n: int,
        cause: str,
        fields: dict[str, Any],
        details: dict[str, Any],
        *,
        must_say: bool,
    ) -> None:
        self._open -= 1
        if done.cancelled():
            return
        if isinstance(done.exception(), OSError):
            details["lines_missing"] = f"its log cannot be read: {done.exception()}"
        else:
            details["lines"] = [line[:LINE_CHARS] for line in done.result()[-LINES:]]
        if must_say or details.get("lines") or details.get("lines_missing"):
            self._say(path, self._boot, n, cause, **fields, details=_packed(details))


def _last_line(trace: str) -> str:
    """ "ValueError: no JSON", of a traceback; what follows the first line of a long message is left out."""
    lines = trace.rstrip().splitlines()
    while lines and (not lines[-1] or lines[-1][0].isspace()):
        lines.pop()
    return lines[-1] if lines else ""


def _packed(details: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode({name: value for name, value in details.items() if value})


def _usage(incarnation: Incarnation) -> dict[str, Any]:
    """What the kernel has counted for its cell."""
    used = incarnation.cell.usage()
    found: dict[str, Any] = {"lived_s": round(time.monotonic() - incarnation.began_at, 3)}
    if used.cpu_s is not None:
        found["cpu_s"] = round(used.cpu_s, 3)
    return found


def _left_behind(incarnation: Incarnation) -> list[str]:
    """What its main process has left, and is killed now."""
    found = []
    try:
        pids = incarnation.cell.own_members()
    except OSError:
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
