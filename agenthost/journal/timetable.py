"""Periodic messages: which is due when, sent once for each time. No sockets in here, and no clock.

The store holds them, with the time that each is due next; ``Fire`` sends one and sets the next time in one commit, so
none is sent twice, whoever is killed when. The next time is always after the present: of times that passed while nobody
could send, one is made up for. If the clock is set back, what was sent is not sent again, unless it was set back by so
much that it had been wrong (``BACK_MS``, as Debian's cron has it); then times are counted from the new one.

Names: ``/path#name`` are those of an agent, ``config:/path#name`` those of the config, others are of clients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from agenthost.cron import Cron
from agenthost.errors import AgenthostError, Overloaded, UsageError, from_wire
from agenthost.journal import ops, words
from agenthost.journal.answers import Accepted, Answer, Rejected
from agenthost.journal.store import Reader
from agenthost.journal.words import Terms
from agenthost.journal.writer import FOR_EVER_MS

SCHEDULES = 10_000
"""Of one host."""
BACK_MS = 3 * 3_600_000
AGAIN_MS = 1000
PAGE = 16
"""Their bodies may be long."""
CONFIG = "config:"

Submit = Callable[..., None]
Done = Callable[[int, AgenthostError | None], None]
"""The time that it is due next, or why not."""


@dataclass(slots=True)
class _Entry:
    """``due_ms`` 0: what becomes of it is under way. ``look_ms``: when it is looked at next."""

    cron: Cron
    receiver: str
    due_ms: int
    look_ms: int


class Timetable:
    """``submit(batch, token, now_ms, patience_ms)`` and ``notify(receiver)`` are the clerk's; ``terms_of`` says how the
    mail of a receiver is treated, None if the host has to be asked; ``tell`` reaches the host."""

    def __init__(
        self,
        submit: Submit,
        reader: Callable[[], Reader],
        notify: Callable[[str], None],
        terms_of: Callable[[str], Terms | None],
        tell: Callable[[words.FromJournal], None],
    ) -> None:
        self._submit, self._reader, self._notify = submit, reader, notify
        self._terms_of, self._tell = terms_of, tell
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[int, str]] = []
        self._asked: dict[str, list[str]] = {}
        """Receivers that the host was asked about, with the names of what is due for them."""
        self._wanted: tuple[words.Periodic, ...] | None = None
        self._is_open = False

    def opened(self, now_ms: int) -> None:
        """The store can be read."""
        after = ""
        while page := self._reader().crons(after, PAGE):
            after = page[-1].name
            for one in page:
                self._enter(one.name, one.cron, one.receiver, one.due_ms, now_ms)
        self._is_open = True
        self._check_clock(now_ms)
        self._compare(now_ms)

    def next_ms(self) -> int:
        """0: nothing is due."""
        return self._heap[0][0] if self._heap else 0

    def tick(self, now_ms: int) -> None:
        while self._heap and self._heap[0][0] <= now_ms:
            look_ms, name = heappop(self._heap)
            entry = self._entries.get(name)
            if entry is None or not entry.due_ms or entry.look_ms != look_ms:
                continue  # it has another time by now
            terms = self._terms_of(entry.receiver)
            if terms is not None:
                self._fire(name, entry, terms, now_ms)
            elif entry.receiver in self._asked:
                self._asked[entry.receiver].append(name)
            else:
                self._asked[entry.receiver] = [name]
                self._tell(words.Knows(entry.receiver))

    def known(self, path: str, terms: Terms | None, why: str, now_ms: int) -> None:
        """The host's word on a receiver."""
        for name in self._asked.pop(path, ()):
            entry = self._entries.get(name)
            if entry is None or not entry.due_ms or entry.receiver != path:
                continue
            if terms is not None:
                self._fire(name, entry, terms, now_ms)
            else:
                self._tell(words.Unfired(path, name, why))
                self._skip(name, entry, now_ms)

    def clock_set(self, now_ms: int) -> None:
        self._check_clock(now_ms)

    # ---- making and unmaking

    def schedule(self, one: words.Periodic, sender: str, done: Done, now_ms: int) -> None:
        """Keep it, or replace the one of that name; the same again changes nothing."""
        try:
            cron = Cron(one.cron, now_ms)
            if one.name not in self._entries and len(self._entries) >= SCHEDULES:
                raise Overloaded(f"cannot schedule {one.name!r}: there are {SCHEDULES} periodic messages already")
            stored = self._reader().cron(one.name)
        except AgenthostError as error:
            done(0, error)
            return
        if stored is not None and (stored.cron, stored.receiver, stored.body) == (one.cron, one.receiver, one.body):
            done(stored.due_ms, None)
            return
        due_ms = cron.next_ms(now_ms)

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if (why := error or _refused(answers)) is None:
                self._enter(one.name, one.cron, one.receiver, due_ms, now_ms)
            done(due_ms, why)

        op = ops.Schedule(one.name, one.receiver, sender, one.cron, one.body, due_ms)
        self._submit((op,), token, now_ms)

    def unschedule(self, name: str, done: Done, now_ms: int) -> None:
        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            why = error or _refused(answers)
            if why is None or why.code == "unknown_name":
                self._entries.pop(name, None)
            done(0, why)

        self._submit((ops.Unschedule(name),), token, now_ms)

    def forget_sender(self, path: str, now_ms: int) -> None:
        """Whoever had this name is gone for good; what is sent to that name the store has removed."""
        for name in [name for name in self._entries if name.startswith(f"{path}#")]:
            self.unschedule(name, lambda due_ms, error: None, now_ms)

    def want(self, wanted: Sequence[words.Periodic], now_ms: int) -> None:
        """All that the config has."""
        self._wanted = tuple(wanted)
        if self._is_open:
            self._compare(now_ms)

    def _compare(self, now_ms: int) -> None:
        if self._wanted is None:
            return
        names = {one.name for one in self._wanted}
        for name in [name for name in self._entries if name.startswith(CONFIG) and name not in names]:
            self.unschedule(name, lambda due_ms, error: None, now_ms)
        for one in self._wanted:
            self.schedule(one, "config", self._complaint(one), now_ms)

    def _complaint(self, one: words.Periodic) -> Done:
        def done(due_ms: int, error: AgenthostError | None) -> None:
            if error is not None:
                self._tell(words.Unfired(one.receiver, one.name, str(error)))

        return done

    # ---- times

    def _enter(self, name: str, text: str, receiver: str, due_ms: int, now_ms: int) -> None:
        try:
            cron = Cron(text, now_ms)
        except UsageError as error:  # its zone was removed from the machine, say
            self._tell(words.Unfired(receiver, name, str(error)))
            return
        self._entries[name] = entry = _Entry(cron, receiver, due_ms, due_ms)
        self._look_at(name, entry, due_ms)

    def _look_at(self, name: str, entry: _Entry, look_ms: int) -> None:
        entry.look_ms = look_ms
        heappush(self._heap, (look_ms, name))

    def _fire(self, name: str, entry: _Entry, terms: Terms, now_ms: int) -> None:
        due_ms, entry.due_ms = entry.due_ms, 0
        next_ms = entry.cron.next_ms(now_ms)

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if not self._settled(name, entry, answers, error, due_ms, next_ms, now_ms):
                return
            assert answers is not None
            if isinstance(answers[0], Accepted):
                self._notify(entry.receiver)
            elif isinstance(answers[0], Rejected):
                self._tell(words.Unfired(entry.receiver, name, answers[0].why))

        self._submit((ops.Fire(name, due_ms, next_ms, terms.limit),), token, now_ms, FOR_EVER_MS)

    def _skip(self, name: str, entry: _Entry, now_ms: int) -> None:
        due_ms, entry.due_ms = entry.due_ms, 0
        next_ms = entry.cron.next_ms(now_ms)

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self._settled(name, entry, answers, error, due_ms, next_ms, now_ms)

        self._submit((ops.Skip(name, due_ms, next_ms),), token, now_ms, FOR_EVER_MS)

    def _settled(
        self,
        name: str,
        entry: _Entry,
        answers: list[Answer] | None,
        error: AgenthostError | None,
        was_ms: int,
        next_ms: int,
        now_ms: int,
    ) -> bool:
        """It is due next at ``next_ms``; False if it was not due at ``was_ms`` any more, or could not be written."""
        if self._entries.get(name) is not entry:
            return False  # replaced or taken back meanwhile
        if error is not None:  # the database is damaged: nothing will ever be written
            entry.due_ms = was_ms
            return False
        answer = answers[0] if answers else None
        if isinstance(answer, Rejected) and answer.code == "stale":
            del self._entries[name]  # it was removed with its receiver
            return False
        if isinstance(answer, Rejected) and answer.code == "failed":  # a mistake of ours: not again at once
            entry.due_ms = was_ms
            self._look_at(name, entry, now_ms + AGAIN_MS)
            return False
        entry.due_ms = next_ms
        if next_ms:
            self._look_at(name, entry, next_ms)
        else:
            del self._entries[name]
        return True

    def _check_clock(self, now_ms: int) -> None:
        for name, entry in list(self._entries.items()):
            if entry.due_ms > now_ms and now_ms < entry.cron.last_ms(entry.due_ms) - BACK_MS:
                self._skip(name, entry, now_ms)


def _refused(answers: list[Answer] | None) -> AgenthostError | None:
    answer = answers[0] if answers else None
    if not isinstance(answer, Rejected):
        return None
    return from_wire({"unknown": "unknown_name", "removed": "unknown_name"}.get(answer.code, "usage"), answer.why)
