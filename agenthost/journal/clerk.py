"""What agents ask at their doors, taken up in order and handed to who carries it out: ends of turns to ``turns``, one
operation of the store to ``replies``, times that repeat to ``timetable``. Here these are put together. No sockets.

Of each path one incarnation is the owner; what an older one asks is refused as ``stale`` by the store itself. A request
that must wait (its incarnation is not owned yet, a receiver is not known yet) holds back those behind it at its door,
nobody else.

The rule it keeps: an answer that something is done is said after the commit; and who has mail hears of it, or the host
does, after every commit that may have brought some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agenthost.errors import AgenthostError
from agenthost.journal import called, ops, words
from agenthost.journal.answers import Answer
from agenthost.journal.attendance import Attendance
from agenthost.journal.budget_questions import BudgetQuestions
from agenthost.journal.due import Due
from agenthost.journal.loading import loaded
from agenthost.journal.meters import Meters
from agenthost.journal.party import Party
from agenthost.journal.replies import Replies
from agenthost.journal.settling import Settling
from agenthost.journal.store import Reader, Store
from agenthost.journal.telling import Telling
from agenthost.journal.timetable import Timetable
from agenthost.journal.turns import Turns, accept
from agenthost.journal.words import Terms
from agenthost.journal.writer import FOR_EVER_MS, PATIENCE_MS, Writer
from agenthost.protocol import mail as say

Token = Callable[[list[Answer] | None, AgenthostError | None], None]


class Clerk:
    """``tell`` reaches the host. ``there`` is who is there, ``due`` what waits for a time."""

    def __init__(self, store: Store, writer: Writer, tell: Callable[[words.FromJournal], None]) -> None:
        self._store, self._writer, self._tell = store, writer, tell
        self._reader: Reader | None = None
        self.telling = Telling(self.reader, self.submit, lambda: not writer.waiting)
        self.there = there = Attendance(self.submit, self.reader, tell, self.telling, self._go_on, self._fail)
        self.due = Due(self.submit, self.reader, there, self._give_up)
        self.settling = Settling(self.submit, self.reader, there.notify, self.due.at, tell, self.telling, there.find)
        self.meters = Meters(self.submit, self.reader, tell, there.notify, there.terms_of)
        self._budget_questions = BudgetQuestions(self.submit, self.reader, self.meters, tell)
        there.is_held = self._budget_questions.holds
        self.settling.meters = self.meters
        self.timetable = Timetable(self.submit, self.reader, there.notify, there.terms_of, tell)
        self._replies = Replies(self.submit, there, self.due.at)
        self._turns = Turns(self.submit, self.reader, self._replies, there, self.telling, self.settling, there.is_held)
        self._say, self._refuse, self._notify = there.say, there.refuse, there.notify

    # ---- for the process

    def opened(self, now_ms: int) -> None:
        """Called when the store can be read for the first time: what waits is told, and when more will."""
        reader = self.reader()
        self.meters.opened(now_ms)
        after = ""
        while page := reader.receivers(after, 1000):
            after = page[-1]
            for path in page:
                self._notify(path)
        after = ""
        while page := reader.holders(after, 1000):  # of an earlier life
            after = page[-1]
            for path in page:
                self._notify(path)
        self.due.opened()
        self.timetable.opened(now_ms)

    def reader(self) -> Reader:
        if self._reader is None:
            self._reader = self._store.reader()
        return self._reader

    def close(self) -> None:
        """Whoever closes the store last makes its WAL part of the database: nobody may read it any more."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def next_tick_ms(self) -> int:
        """0: nothing is due."""
        due = (self.due.next_ms, self.timetable.next_ms(), self.telling.next_ms(), self._budget_questions.next_ms)
        return min(filter(None, due), default=0)

    def clock_set(self, by_ms: int, now_ms: int) -> None:
        """What waits for a span of time waits for the same span."""

        def shifted(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self.due.clock_set(now_ms)
            self.timetable.clock_set(now_ms)

        self.submit((ops.Shift(by_ms),), shifted, now_ms, FOR_EVER_MS)

    def tick(self, now_ms: int) -> None:
        self.due.tick(now_ms)
        self.timetable.tick(now_ms)
        self.telling.tick(now_ms)
        self._budget_questions.tick(now_ms)
        if (trouble := self._writer.trouble) is not None:
            self.there.lose_patience(trouble, now_ms)

    def submit(self, batch: Sequence[ops.Op], token: Token, now_ms: int, patience_ms: int = PATIENCE_MS) -> None:
        token = self.telling.watch(batch, token)
        try:
            self._writer.submit(token, batch, now_ms, patience_ms)
        except AgenthostError as error:
            token(None, error)

    def known(self, path: str, terms: Terms | None, why: str, now_ms: int) -> None:
        """The host's word on a receiver."""
        self.there.known(path, terms, why, now_ms)
        self.timetable.known(path, terms, why, now_ms)

    def _fail(self, *args: Any) -> None:
        self.settling.fail(*args, ended=True)

    def _give_up(self, *args: Any, **how: Any) -> None:
        self.settling.fail(*args, **how)

    # ---- what they ask

    def hear(self, party: Party, message: say.FromAgent, now_ms: int) -> None:
        if isinstance(message, say.Delta):
            self.telling.hear(party.path, party.inc, message)
            return
        party.queue.append(message)
        if len(party.queue) == 1:
            party.since_ms = now_ms
        if len(party.queue) == 1 or party.owned:
            self._go_on(party, now_ms)

    def _go_on(self, party: Party, now_ms: int) -> None:
        queue = party.queue
        while queue and party.owned and not party.wants:
            if (receivers := _receivers(queue[0])) and self.there.lacks(party, receivers):
                return
            message = queue.popleft()
            if isinstance(message, say.Spent):
                self.meters.spent(party.path, party.inc, message, now_ms)
                continue
            if party.is_outdated:
                self._say(party, say.Refused(message.id, say.STALE, f"the session of {party.path} was changed"))
                continue
            try:
                self._do(party, message, now_ms)
            except AgenthostError as error:  # the disk fails in the middle of a look
                self._refuse(party, message.id, error)

    def _do(self, party: Party, message: say.Request, now_ms: int) -> None:
        match message:
            case say.Commit():
                self._turns.commit(party, message, now_ms)
            case say.Take():
                self._turns.take(party, message, now_ms)
            case say.Send(id=id):
                op = accept(party.path, message, self.there.terms_of(message.to))
                self._replies.ask(party, id, op, lambda answer: say.Done(id), now_ms, (message,))
            case say.Cancel(id=id, key=key):
                self._replies.ask_all(party, id, (ops.Cancel(party.path, key),), now_ms)
            case say.Schedule() | say.Unschedule():
                self._schedule(party, message, now_ms)
            case say.Fail():
                self._turns.failed(party, message, now_ms)
            case say.Break():
                self._turns.broken(party, message, now_ms)
            case say.Knows(id=id):
                self._say(party, say.Done(id))
            case say.Load():
                self._say(party, loaded(self.reader(), party.path, message))
            case say.Intend(id=id):
                self._replies.ask_all(party, id, called.intents(party.path, party.inc, message), now_ms)
            case say.Conclude(id=id, message=number, key=key, outcome=outcome):
                self._replies.ask_all(party, id, (ops.Conclude(party.path, party.inc, number, key, outcome),), now_ms)
            case say.Recall():
                self._say(party, called.recalled(self.reader(), party.path, message))

    def _schedule(self, party: Party, message: say.Schedule | say.Unschedule, now_ms: int) -> None:
        if not self.there.is_present(party):
            self._say(party, say.Refused(message.id, say.STALE, f"somebody else has {party.path}"))
            return

        def done(due_ms: int, error: AgenthostError | None) -> None:
            party.open -= 1
            self._replies.done_or_refused(party, message.id, error)

        party.open += 1
        name = f"{party.path}#{message.name}"
        if isinstance(message, say.Schedule):
            what = words.Periodic(name, message.to, message.cron, message.body)
            self.timetable.schedule(what, party.path, done, now_ms)
        else:
            self.timetable.unschedule(name, done, now_ms)


def _receivers(message: say.FromAgent) -> tuple[str, ...]:
    match message:
        case say.Commit(sends=sends):
            return tuple(one.to for one in sends)
        case say.Send(to=to) | say.Schedule(to=to):
            return (to,)
        case say.Knows(path=path):
            return (path,)
    return ()
