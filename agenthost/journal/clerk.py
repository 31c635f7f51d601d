"""What agents ask at their doors, carried out: loads, sends, takes, the ends of turns, failures. No sockets in here.

Of each path one incarnation is the owner; what an older one asks is refused as ``stale`` by the store itself. Requests
of one door are taken up in order. One that must wait (its incarnation is not owned yet, a receiver is not known yet)
holds back those behind it, nobody else.

The rule it keeps: an answer that something is done is said after the commit; and who has mail hears of it, or the host
does, after every commit that may have brought some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agenthost.errors import AgenthostError, JournalUnavailable
from agenthost.journal import called, ops, words
from agenthost.journal.answers import Answer, Committed, Leased, Rejected
from agenthost.journal.attendance import Attendance
from agenthost.journal.meters import Meters
from agenthost.journal.parts import Part
from agenthost.journal.party import Party
from agenthost.journal.remedies import turns_kept
from agenthost.journal.settling import Settling, leased, state_before, whole
from agenthost.journal.store import Reader, Store
from agenthost.journal.telling import Telling, entries_of
from agenthost.journal.timetable import Timetable
from agenthost.journal.values import Mail
from agenthost.journal.words import Terms
from agenthost.journal.writer import FOR_EVER_MS, PATIENCE_MS, Writer
from agenthost.protocol import mail as say

LEASE_MS = 86_400_000
"""A lease ends with its holder; this only says since when it would be worth a look."""
LAPSED_AGAIN_MS = 1000
"""When a question that nobody has answered is looked at again, if nothing could be done about it."""

Token = Callable[[list[Answer] | None, AgenthostError | None], None]
_CODES = {
    "removed": "unknown_name",
    "overloaded": "overloaded",
    "too_large": "usage",
    "too_many": "usage",
    "stale": say.STALE,
}


class Clerk:
    """``tell`` reaches the host. ``there`` is who is there."""

    def __init__(self, store: Store, writer: Writer, tell: Callable[[words.FromJournal], None]) -> None:
        self._store, self._writer, self._tell = store, writer, tell
        self._reader: Reader | None = None
        self._due_ms = 0
        self.telling = Telling(self.reader, self.submit, lambda: not writer.waiting)
        self.there = there = Attendance(self.submit, self.reader, tell, self.telling, self._go_on, self._fail)
        self.settling = Settling(self.submit, self.reader, there.notify, self.due_at, tell, self.telling, there.find)
        self.meters = Meters(self.submit, self.reader, tell, there.notify, there.terms_of)
        there.is_held = self.meters.holds
        self.settling.meters = self.meters
        self.timetable = Timetable(self.submit, self.reader, there.notify, there.terms_of, tell)
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
        self._due_ms = reader.next_due_ms()
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
        return min(filter(None, (self._due_ms, self.timetable.next_ms(), self.telling.next_ms())), default=0)

    def due_at(self, due_ms: int) -> None:
        """Something is due then that was not before."""
        self._due_ms = min(self._due_ms or due_ms, due_ms)

    def clock_set(self, by_ms: int, now_ms: int) -> None:
        """What waits for a span of time waits for the same span."""

        def shifted(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self.due_at(now_ms + LAPSED_AGAIN_MS)  # should the disk fail in the middle of a look
            self._due_ms = self.reader().next_due_ms()
            self.timetable.clock_set(now_ms)

        self.submit((ops.Shift(by_ms),), shifted, now_ms, FOR_EVER_MS)

    def tick(self, now_ms: int) -> None:
        if self._due_ms and self._due_ms <= now_ms:
            self._due_ms = 0
            self.submit((ops.Ripen(),), lambda answers, error: self._ripened(answers, now_ms), now_ms, FOR_EVER_MS)
        self.timetable.tick(now_ms)
        self.telling.tick(now_ms)
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
                self._commit(party, message, now_ms)
            case say.Take(id=id) if self.meters.holds(party.path):
                party.hinted = False
                self._say(party, say.Leased(id))
            case say.Take(id=id, show=show):
                party.hinted = False
                op = ops.Lease(party.path, party.inc, now_ms + LEASE_MS, self._shown(party, show))
                self._ask(party, id, op, lambda answer: self._leased(party, id, answer), now_ms)
            case say.Send(id=id):
                self._ask(party, id, self._accept(party, message), lambda answer: say.Done(id), now_ms, (message,))
            case say.Cancel(id=id, key=key):
                self._ask_all(party, id, (ops.Cancel(party.path, key),), now_ms)
            case say.Schedule() | say.Unschedule():
                self._schedule(party, message, now_ms)
            case say.Fail():
                self._failed(party, message, now_ms)
            case say.Break(id=id, turn=turn, part=last):
                parts = self.telling.broken_up_to(party.path, party.inc, last)
                self._break(party, id, parts, turn, now_ms)
            case say.Knows(id=id):
                self._say(party, say.Done(id))
            case say.Load():
                self._say(party, self._loaded(party.path, message))
            case say.Intend(id=id):
                self._ask_all(party, id, called.intents(party.path, party.inc, message), now_ms)
            case say.Conclude(id=id, message=number, key=key, outcome=outcome):
                self._ask_all(party, id, (ops.Conclude(party.path, party.inc, number, key, outcome),), now_ms)
            case say.Recall():
                self._say(party, called.recalled(self.reader(), party.path, message))

    def _leased(self, party: Party, id: int, answer: Any, known: int = 0) -> say.Leased:
        """With what the path repeats, once for each door."""
        repeats = b""
        if isinstance(answer, Leased) and not party.knows_repeats:
            repeats = self.reader().repeats(party.path)
            party.knows_repeats = True
        return leased(self.reader, id, answer, known, repeats)

    def _repeated(self, party: Party, message: say.Commit | say.Fail, now_ms: int) -> None:
        """Kept beside what is said with it: should this be lost, a count is."""
        if message.loops is not None:
            party.knows_repeats = True
            op = ops.Repeated(party.path, party.inc, message.loops)
            self.submit((op,), lambda answers, error: None, now_ms)

    def _commit(self, party: Party, message: say.Commit, now_ms: int) -> None:
        self._repeated(party, message, now_ms)
        if message.take:
            party.hinted = False
        terms = self.there.terms_of(party.path) or party.terms
        op = ops.CommitTurn(
            party.path,
            party.inc,
            message.message,
            message.attempt,
            message.state,
            message.state_version,
            tuple(self._accept(party, one) for one in message.sends),
            cancels=message.cancels,
            checkpoint=message.checkpoint or self.settling.kept_as(party.path, message, terms),
            lease_until_ms=now_ms + LEASE_MS if message.take and not self.meters.holds(party.path) else 0,
            entries=entries_of(message),
            turn=message.turn,
            show=self._shown(party, message.show),
            upon=message.upon,
        )

        def answer(answer: Answer) -> say.FromJournal:
            found = answer.next if isinstance(answer, Committed) else None
            if message.entries and isinstance(answer, Committed):
                self.telling.committed(party.path, message, answer.last_seq, twice=answer.twice)
            try:
                return self._leased(party, message.id, found, message.next)
            except AgenthostError:  # the disk fails in the middle of a look: it is true all the same
                self._say(party, say.Waiting())
                return say.Leased(message.id)

        self._ask(party, message.id, op, answer, now_ms, message.sends, say.UNDONE if message.upon else say.STALE)

    def _shown(self, party: Party, wanted: int) -> int:
        """How many messages it may begin with before the turns before them are committed. None where a turn's commit
        depends on what those before it have left."""
        return 0 if turns_kept(self.there.terms_of(party.path) or party.terms) else wanted

    def _accept(self, party: Party, one: say.Sending | say.Send) -> ops.Accept:
        terms = self.there.terms_of(one.to) or Terms()
        return ops.Accept(
            one.to,
            party.path,
            one.body,
            key=one.key,
            due_ms=one.due_ms,
            limit=terms.limit,
            when_full=terms.when_full,
            by_clock=one.by_clock,
        )

    def _schedule(self, party: Party, message: say.Schedule | say.Unschedule, now_ms: int) -> None:
        if not self.there.is_present(party):
            self._say(party, say.Refused(message.id, say.STALE, f"somebody else has {party.path}"))
            return

        def done(due_ms: int, error: AgenthostError | None) -> None:
            party.open -= 1
            if error is None:
                self._say(party, say.Done(message.id))
            else:
                self._refuse(party, message.id, error)

        party.open += 1
        name = f"{party.path}#{message.name}"
        if isinstance(message, say.Schedule):
            what = words.Periodic(name, message.to, message.cron, message.body)
            self.timetable.schedule(what, party.path, done, now_ms)
        else:
            self.timetable.unschedule(name, done, now_ms)

    def _ask(
        self,
        party: Party,
        id: int,
        op: ops.Op,
        answered: Callable[[Any], say.FromJournal],
        now_ms: int,
        sends: Iterable[say.Sending | say.Send] = (),
        stale: str = say.STALE,
    ) -> None:
        """One operation, and what is said when it is committed, or was refused; ``stale`` is the code for that."""

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            party.open -= 1
            if answers is None:
                self._refuse(party, id, error or JournalUnavailable("cannot write the journal"))
                return
            (answer,) = answers
            if isinstance(answer, Rejected):
                code = stale if answer.code == "stale" else _CODES.get(answer.code, "error")
                self._say(party, say.Refused(id, code, answer.why))
                return
            try:
                self._say(party, answered(answer))
            except AgenthostError as error:  # asked again, it is answered
                self._refuse(party, id, error)
            for one in sends:
                if one.due_ms > now_ms:
                    self.due_at(one.due_ms)
                else:
                    self._notify(one.to)

        party.open += 1
        self.submit((op,), token, now_ms)

    def _ask_all(self, party: Party, id: int, batch: Sequence[ops.Op], now_ms: int) -> None:
        """Done when all of them are; what was done before, or is not wanted any more, counts as done."""

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            party.open -= 1
            if answers is None:
                self._refuse(party, id, error or JournalUnavailable("cannot write the journal"))
                return
            refused = [one for one in answers if isinstance(one, Rejected) and one.code not in ("conflict", "unknown")]
            if refused:
                self._say(party, say.Refused(id, _CODES.get(refused[0].code, "error"), refused[0].why))
            else:
                self._say(party, say.Done(id))

        party.open += 1
        self.submit(batch, token, now_ms)

    def _loaded(self, path: str, message: say.Load) -> say.FromJournal:
        if message.back:
            return state_before(self.reader(), path, message)
        found = self.reader().state(path, message.checkpoint)
        if found is not None:
            return say.State(message.id, found.state, found.state_version)
        if not message.checkpoint:
            return say.State(message.id)
        names = [one.name for one in self.reader().checkpoints(path)]
        if message.checkpoint in names:
            return say.State(message.id)  # it was made before there was a state
        why = f"cannot go back to {message.checkpoint!r}: {path} has no such checkpoint"
        hint = f"it has {', '.join(names[:8])}" if names else "it has none; ctx.checkpoint makes one"
        return say.Refused(message.id, "unknown_name", why, hint)

    def _break(self, party: Party, id: int, parts: list[Part], turn: int, now_ms: int) -> None:
        """Of a turn whose failure is no business of the mail's."""
        batch = self.telling.append(party.path, party.inc, parts, turn)

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self.telling.broke(party.path, parts, answers)
            if error is None:
                self._say(party, say.Done(id))
            else:
                self._refuse(party, id, error)

        if batch:
            self.submit(batch, token, now_ms)
        else:
            self._say(party, say.Done(id))

    def _failed(self, party: Party, message: say.Fail, now_ms: int) -> None:
        held = self.reader().held(party.path)
        parts = self.telling.broken(party.path, party.inc, message=message.message, attempt=message.attempt)
        if held is None or (held.id, held.attempt, held.incarnation) != (message.message, message.attempt, party.inc):
            self.telling.forget(party.path, parts)
            self._say(party, say.Done(message.id))  # said before, and done
            return
        self._repeated(party, message, now_ms)

        def then(error: AgenthostError | None) -> None:
            if error is None:
                self._say(party, say.Done(message.id))
            else:
                self._refuse(party, message.id, error)

        if message.unused:
            release = ops.Release(held.id, held.attempt, message.why)
            self.submit((release,), lambda answers, error: then(error), now_ms)
        else:
            failure = None if message.skipped else whole(message.failure, message.why)
            terms = self.there.terms_of(party.path) or party.terms
            self.settling.fail(party.path, held, failure, terms, then, now_ms, parts, message.why, final=message.final)

    def _ripened(self, answers: list[Answer] | None, now_ms: int) -> None:
        self.due_at(now_ms + LAPSED_AGAIN_MS)  # should the disk fail in the middle of a look
        if answers is None:
            return
        for path in getattr(answers[0], "receivers", ()):
            self._notify(path)
        reader = self.reader()
        self._due_ms = 1 if getattr(answers[0], "more", False) else reader.next_due_ms()
        if lapsed := reader.lapsed(now_ms):
            self._due_ms = max(self._due_ms, now_ms + LAPSED_AGAIN_MS)
            for one in lapsed:
                self._lapse(one, now_ms)

    def _lapse(self, parked: Mail, now_ms: int) -> None:
        """Nobody has answered. Its next rung is of the ladder of whoever has it; the host is asked for that if need
        be."""
        terms = self.there.terms_of(parked.receiver)
        if terms is not None:
            why = "nobody has answered in time"
            self.settling.fail(parked.receiver, parked, None, terms, lambda error: None, now_ms, why=why)
        else:
            self.there.look_up(parked.receiver)


def _receivers(message: say.FromAgent) -> tuple[str, ...]:
    match message:
        case say.Commit(sends=sends):
            return tuple(one.to for one in sends)
        case say.Send(to=to) | say.Schedule(to=to):
            return (to,)
        case say.Knows(path=path):
            return (path,)
    return ()
