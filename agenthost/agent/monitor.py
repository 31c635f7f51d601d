"""``ctx.monitor(path)``: DOWN exactly once for the incarnation that was there.

:class:`Monitors` is the book of them, pure. The host says Down at least once and may say it before the answer to the
Monitor request arrives here, when that had to be repeated; so a Down is kept while such a request is open. DOWN is
had once: by whoever asks the monitor, or else by a turn of ``on_down``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agenthost.agent.bell import Bell
from agenthost.agent.progress import steps
from agenthost.errors import AgenthostError
from agenthost.protocol import control, wishes

if TYPE_CHECKING:
    from agenthost.agent.kin import Kin


class Ended(NamedTuple):
    """``reason`` is in words; ``well`` is True for an end that was asked for, or with exit status 0."""

    path: str
    incarnation: str
    reason: str
    well: bool = False


class Watch:
    """One wish to hear of the end at ``path``; ``incarnation`` is known once the host has answered."""

    __slots__ = (
        "bell",
        "ended",
        "error",
        "incarnation",
        "is_answered",
        "is_taken",
        "on_end",
        "path",
        "signal",
        "status",
    )

    def __init__(self, path: str, on_end: Callable[[Ended], None] | None) -> None:
        self.path, self.on_end = path, on_end
        self.incarnation = ""
        self.bell = Bell()
        """Rings when it is answered, and when it has ended."""
        self.is_answered = False
        self.error: AgenthostError | None = None
        self.ended: Ended | None = None
        self.status: int | None = None
        self.signal: int | None = None
        """What its main process ended with, or by, where the host has seen it."""
        self.is_taken = on_end is not None
        """True once it needs no turn of ``on_down`` any more."""


class Monitors:
    """``keeps_untaken``: the agent has an ``on_down``."""

    def __init__(self, *, keeps_untaken: bool) -> None:
        self._keeps_untaken = keeps_untaken
        self._asking: dict[str, int] = {}
        """How many requests are open, by path."""
        self._early: dict[tuple[str, str], control.Down] = {}
        self._watches: dict[tuple[str, str], list[Watch]] = {}
        self._untaken: deque[Watch] = deque()

    def begin(self, watch: Watch) -> None:
        self._asking[watch.path] = self._asking.get(watch.path, 0) + 1

    def answered(self, watch: Watch, outcome: object) -> None:
        """The host has answered the request behind ``watch``."""
        path = watch.path
        watch.is_answered = True
        said = outcome if isinstance(outcome, dict) else {}
        if isinstance(outcome, AgenthostError):
            watch.error = outcome
        elif said.get("incarnation") and not said.get("reason"):
            watch.incarnation = said["incarnation"]
            self._watches.setdefault((path, watch.incarnation), []).append(watch)
            early = self._early.get((path, watch.incarnation))
            if early is not None:
                self._end(early)
        else:
            watch.incarnation = said.get("incarnation", "")
            watch.status, watch.signal = said.get("code"), said.get("signal")
            reason = said.get("reason") or f"not running: nothing runs at {path}"
            self._tell(watch, Ended(path, watch.incarnation, reason, bool(said.get("well"))))
        watch.bell.ring()
        self._asking[path] -= 1
        if not self._asking[path]:
            del self._asking[path]
            for key in [key for key in self._early if key[0] == path]:
                del self._early[key]

    def down(self, message: control.Down) -> None:
        if message.path in self._asking:
            self._early[message.path, message.inc] = message
        self._end(message)

    def join(self, watch: Watch, other: Watch) -> None:
        """``watch`` is for the incarnation that ``other`` is for, which the host tells of already."""
        watch.incarnation, watch.is_answered = other.incarnation, True
        if other.ended is not None:
            self._tell(watch, other.ended)
        else:
            self._watches.setdefault((watch.path, watch.incarnation), []).append(watch)

    def cancel(self, watch: Watch) -> bool:
        """Nobody wants DOWN of ``watch`` any more. True if that was the last one for its incarnation."""
        watch.is_taken = True
        watch.on_end = None
        key = watch.path, watch.incarnation
        others = self._watches.get(key)
        if others is None or watch not in others:
            return False
        others.remove(watch)
        if others:
            return False
        del self._watches[key]
        return True

    def take(self) -> Ended | None:
        """The next DOWN that nobody has had, for ``on_down``."""
        while self._untaken:
            watch = self._untaken.popleft()
            if not watch.is_taken:
                watch.is_taken = True
                return watch.ended
        return None

    @property
    def is_watching(self) -> bool:
        """The agent has an ``on_down``, and somebody is watched for it."""
        return self._keeps_untaken and bool(self._asking or self._watches or self._untaken)

    def _end(self, message: control.Down) -> None:
        ended = Ended(message.path, message.inc, message.reason, message.well)
        for watch in self._watches.pop((message.path, message.inc), ()):
            watch.status, watch.signal = message.code, message.signal
            self._tell(watch, ended)

    def _tell(self, watch: Watch, ended: Ended) -> None:
        watch.ended = ended
        steps.count += 1
        if watch.on_end is not None:
            watch.on_end(ended)
        elif self._keeps_untaken and not watch.is_taken:
            self._untaken.append(watch)
        watch.bell.ring()


class AsyncMonitor:
    """Of an async agent; may be kept over turns."""

    def __init__(self, kin: Kin, watch: Watch) -> None:
        self._kin, self._watch = kin, watch

    @property
    def path(self) -> str:
        return self._watch.path

    @property
    def incarnation(self) -> str:
        """Whose end is awaited; empty if nothing ran at the path."""
        return self._watch.incarnation

    @property
    def ended(self) -> Ended | None:
        """DOWN, if it has come; then ``on_down`` does not get it."""
        if self._watch.ended is not None:
            self._watch.is_taken = True
        return self._watch.ended

    async def wait(self, timeout: float | None = None) -> Ended | None:
        """Until it has ended; None if ``timeout`` seconds, or the time of this turn's caller, pass first."""
        watch = self._watch
        await self._kin.until(lambda: watch.ended is not None, self._kin.patience(timeout), watch.bell)
        return self.ended

    def cancel(self) -> None:
        """No DOWN of this monitor any more. What has come already stays in ``ended``."""
        if self._kin.monitors.cancel(self._watch):
            self._kin.request(wishes.Forget(path=self._watch.path, incarnation=self._watch.incarnation))


class Monitor:
    """Of an agent whose handler is a plain function; may be kept over turns."""

    def __init__(self, twin: AsyncMonitor) -> None:
        self._twin = twin

    @property
    def path(self) -> str:
        return self._twin.path

    @property
    def incarnation(self) -> str:
        """As in :class:`AsyncMonitor`."""
        return self._twin.incarnation

    @property
    def ended(self) -> Ended | None:
        """As in :class:`AsyncMonitor`. Looks whether there is news from the host."""
        self._twin._kin.look()
        return self._twin.ended

    def wait(self, timeout: float | None = None) -> Ended | None:
        """As in :class:`AsyncMonitor`."""
        from agenthost.agent.blocking import finish

        return finish(self._twin.wait(timeout))

    def cancel(self) -> None:
        """As in :class:`AsyncMonitor`."""
        self._twin.cancel()
