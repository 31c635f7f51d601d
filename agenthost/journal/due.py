"""What waits for a time: delayed mail, attempts that back off, questions that nobody has answered. When the next of it
is due, and what is done then. What is sent at times that repeat is ``timetable``'s.

The rule it keeps: nothing that is due is forgotten; should the disk fail in the middle of a look, it looks again soon.
"""

from __future__ import annotations

from collections.abc import Callable

from agenthost.journal import ops
from agenthost.journal.answers import Answer
from agenthost.journal.attendance import Attendance
from agenthost.journal.store import Reader
from agenthost.journal.values import Mail
from agenthost.journal.writer import FOR_EVER_MS

LAPSED_AGAIN_MS = 1000
"""When a question that nobody has answered is looked at again, if nothing could be done about it."""


class Due:
    """``submit`` is the clerk's, ``fail`` is ``Settling.fail``."""

    def __init__(
        self,
        submit: Callable[..., None],
        reader: Callable[[], Reader],
        there: Attendance,
        fail: Callable[..., None],
    ) -> None:
        self._submit, self._reader, self._there, self._fail = submit, reader, there, fail
        self.next_ms = 0
        """0: nothing is due."""

    def at(self, due_ms: int) -> None:
        """Something is due then that was not before."""
        self.next_ms = min(self.next_ms or due_ms, due_ms)

    def opened(self) -> None:
        self.next_ms = self._reader().next_due_ms()

    def clock_set(self, now_ms: int) -> None:
        """What waits has been shifted in the store."""
        self.at(now_ms + LAPSED_AGAIN_MS)  # should the disk fail in the middle of a look
        self.next_ms = self._reader().next_due_ms()

    def tick(self, now_ms: int) -> None:
        if self.next_ms and self.next_ms <= now_ms:
            self.next_ms = 0
            self._submit((ops.Ripen(),), lambda answers, error: self._ripened(answers, now_ms), now_ms, FOR_EVER_MS)

    def _ripened(self, answers: list[Answer] | None, now_ms: int) -> None:
        self.at(now_ms + LAPSED_AGAIN_MS)  # should the disk fail in the middle of a look
        if answers is None:
            return
        for path in getattr(answers[0], "receivers", ()):
            self._there.notify(path)
        reader = self._reader()
        self.next_ms = 1 if getattr(answers[0], "more", False) else reader.next_due_ms()
        if lapsed := reader.lapsed(now_ms):
            self.next_ms = max(self.next_ms, now_ms + LAPSED_AGAIN_MS)
            for one in lapsed:
                self._lapse(one, now_ms)

    def _lapse(self, parked: Mail, now_ms: int) -> None:
        """Nobody has answered. Its next rung is of the ladder of whoever has it; the host is asked for that if need
        be."""
        terms = self._there.terms_of(parked.receiver)
        if terms is not None:
            why = "nobody has answered in time"
            self._fail(parked.receiver, parked, None, terms, lambda error: None, now_ms, why=why)
        else:
            self._there.look_up(parked.receiver)
