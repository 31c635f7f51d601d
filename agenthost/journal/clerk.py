"""What agents ask at their doors, carried out: loads, sends, takes, the ends of turns, failures. No sockets in here.

Of each path one incarnation is the owner; what an older one asks is refused as ``stale`` by the store itself. Requests
of one door are taken up in order. One that must wait (its incarnation is not owned yet, a receiver is not known yet)
holds back those behind it, nobody else.

The rule it keeps: an answer that something is done is said after the commit; and who has mail hears of it, or the host
does, after every commit that may have brought some.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agenthost.errors import AgenthostError, JournalUnavailable
from agenthost.journal import ops, words
from agenthost.journal.answers import Answer, Committed, Leased, Rejected
from agenthost.journal.ladder import after_failure
from agenthost.journal.store import Reader, Store
from agenthost.journal.values import Incarnation, Mail
from agenthost.journal.words import Terms
from agenthost.journal.writer import PATIENCE_MS, Writer
from agenthost.protocol import mail as say

FOR_EVER_MS = 1 << 60
LEASE_MS = 86_400_000
"""A lease ends with its holder; this only says since when it would be worth a look."""
OPEN_REQUESTS = 1000
"""Of one door; more are left unread."""

Token = Callable[[list[Answer] | None, AgenthostError | None], None]
_CODES = {"removed": "unknown_name", "overloaded": "overloaded", "too_large": "usage", "stale": say.STALE}


class Party:
    """One incarnation at its door. ``out`` is what it has not been sent yet, ``open`` its requests under way."""

    __slots__ = ("hinted", "inc", "is_lost", "open", "out", "owned", "path", "queue", "since_ms", "terms", "wants")

    def __init__(self, path: str, inc: Incarnation, terms: Terms) -> None:
        self.path, self.inc, self.terms = path, inc, terms
        self.owned = self.hinted = self.is_lost = False
        self.queue: deque[say.FromAgent] = deque()
        self.out: list[say.FromJournal] = []
        self.open = 0
        self.wants: set[str] = set()
        """Receivers of the first in the queue that the host is asked about."""
        self.since_ms = 0
        """When the queue began to wait for the disk."""

    @property
    def is_full(self) -> bool:
        return len(self.queue) + self.open >= OPEN_REQUESTS


class Clerk:
    """``tell`` reaches the host. ``spoken_to`` collects parties that have something to hear."""

    def __init__(self, store: Store, writer: Writer, tell: Callable[[words.FromJournal], None]) -> None:
        self._store, self._writer, self._tell = store, writer, tell
        self._reader: Reader | None = None
        self._parties: dict[str, Party] = {}
        self._known: dict[str, Terms] = {}
        self._asking: dict[str, list[Party]] = {}
        self._told: set[str] = set()
        """Paths whose mail the host has been told of, since they had a door last."""
        self._due_ms = 0
        self.spoken_to: set[Party] = set()

    # ---- for the process

    def opened(self) -> None:
        """Called when the store can be read for the first time: what waits is told, and when more will."""
        reader = self.reader()
        after = ""
        while page := reader.receivers(after, 1000):
            after = page[-1]
            for path in page:
                self.notify(path)
        for one in reader.overdue(FOR_EVER_MS, 1000):  # held by those of an earlier life
            self.notify(one.receiver)
        self._due_ms = reader.next_due_ms()

    def reader(self) -> Reader:
        if self._reader is None:
            self._reader = self._store.reader()
        return self._reader

    def next_tick_ms(self) -> int:
        """0: nothing is due."""
        return self._due_ms

    def tick(self, now_ms: int) -> None:
        if self._due_ms and self._due_ms <= now_ms:
            self._due_ms = 0
            self.submit((ops.Ripen(),), self._ripened, now_ms, FOR_EVER_MS)
        trouble = self._writer.trouble
        if trouble is not None:
            for party in list(self._parties.values()):
                if not party.owned and party.queue and party.since_ms + PATIENCE_MS < now_ms:
                    while party.queue:
                        self._refuse(party, party.queue.popleft().id, trouble)

    def submit(self, batch: Sequence[ops.Op], token: Token, now_ms: int, patience_ms: int = PATIENCE_MS) -> None:
        try:
            self._writer.submit(token, batch, now_ms, patience_ms)
        except AgenthostError as error:
            token(None, error)

    # ---- who is there

    def arrive(self, party: Party, then: Callable[[], None], now_ms: int) -> None:
        """It owns its path from the commit on; ``then`` is called after that."""
        self._parties[party.path] = party
        self._known[party.path] = party.terms
        party.since_ms = now_ms

        def owned(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if error is not None:  # damaged: nothing will ever be written
                while party.queue:
                    self._refuse(party, party.queue.popleft().id, error)
                then()
                return
            party.owned = True
            self._told.discard(party.path)
            then()
            self._go_on(party, now_ms)
            if self.reader().open_count(party.path):
                self.notify(party.path)

        self.submit((ops.Own(party.path, party.inc),), owned, now_ms, FOR_EVER_MS)

    def lost(self, party: Party) -> None:
        """Its door is closed."""
        party.is_lost = True
        party.out.clear()
        self.spoken_to.discard(party)

    def leave(self, path: str, inc: Incarnation, why: str, terms: Terms, then: Callable[[], None], now_ms: int) -> None:
        """Nothing of it is left. What it still held goes back; with ``why`` as a failed attempt."""
        self._told.discard(path)  # the host may have heard of it while this one was there, and done nothing
        party = self._parties.get(path)
        if party is not None and party.inc == inc:
            del self._parties[path]
            party.queue.clear()

        def after(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if error is not None or answers is None or isinstance(answers[0], Rejected):
                then()  # somebody newer owns it: what it held is free already
                return
            held = self.reader().held(path)
            if held is not None and held.incarnation == inc:
                if why:
                    self._fail(path, held, why, terms, lambda error: then(), now_ms, final=False)
                else:
                    release = ops.Release(held.id, held.attempt, "stopped before it was done")
                    self.submit((release,), lambda answers, error: self._left(path, then), now_ms, FOR_EVER_MS)
            else:
                self._left(path, then)

        # Behind all that it has asked for itself.
        self.submit((ops.Own(path, inc),), after, now_ms, FOR_EVER_MS)

    def _left(self, path: str, then: Callable[[], None]) -> None:
        if self.reader().open_count(path):
            self.notify(path)
        then()

    def known(self, path: str, terms: Terms | None, why: str, now_ms: int) -> None:
        """The host's word on a receiver."""
        waiting = self._asking.pop(path, [])
        if terms is not None:
            self._known[path] = terms
        else:
            self._known.pop(path, None)
        for party in waiting:
            if path not in party.wants:
                continue  # refused because of another receiver
            party.wants.discard(path)
            if terms is None and party.queue:
                party.wants.clear()
                self._say(party, say.Refused(party.queue.popleft().id, "unknown_name", why))
            if not party.wants:
                self._go_on(party, now_ms)

    def forget(self, path: str) -> None:
        self._known.pop(path, None)

    def notify(self, path: str) -> None:
        """There may be mail for it."""
        party = self._parties.get(path)
        if party is not None and not party.is_lost:
            if party.owned and not party.hinted:
                party.hinted = True
                self._say(party, say.Waiting())
        elif path not in self._told:
            self._told.add(path)
            self._tell(words.Waits(path))

    # ---- what they ask

    def hear(self, party: Party, message: say.FromAgent, now_ms: int) -> None:
        party.queue.append(message)
        if len(party.queue) == 1:
            party.since_ms = now_ms
        if len(party.queue) == 1 or party.owned:
            self._go_on(party, now_ms)

    def _go_on(self, party: Party, now_ms: int) -> None:
        queue = party.queue
        while queue and party.owned and not party.wants:
            if unknown := {path for path in _receivers(queue[0]) if path not in self._known}:
                party.wants = unknown
                for path in unknown:
                    if path not in self._asking:
                        self._asking[path] = []
                        self._tell(words.Knows(path))
                    self._asking[path].append(party)
                return
            message = queue.popleft()
            try:
                self._do(party, message, now_ms)
            except AgenthostError as error:  # the disk fails in the middle of a look
                self._refuse(party, message.id, error)

    def _do(self, party: Party, message: say.FromAgent, now_ms: int) -> None:
        match message:
            case say.Commit():
                self._commit(party, message, now_ms)
            case say.Take(id=id):
                party.hinted = False
                op = ops.Lease(party.path, party.inc, now_ms + LEASE_MS)
                self._ask(party, id, op, lambda answer: say.Leased(id, _mail(answer)), now_ms)
            case say.Send(id=id, to=to, body=body, key=key):
                accept = self._accept(party, to, body, key)
                self._ask(party, id, accept, lambda answer: say.Done(id), now_ms, (to,))
            case say.Fail():
                self._failed(party, message, now_ms)
            case say.Knows(id=id):
                self._say(party, say.Done(id))
            case say.Load(id=id):
                state = self.reader().state(party.path)
                self._say(party, say.State(id, None if state is None else state.state))

    def _commit(self, party: Party, message: say.Commit, now_ms: int) -> None:
        if message.take:
            party.hinted = False
        op = ops.CommitTurn(
            party.path,
            party.inc,
            message.message,
            message.attempt,
            message.state,
            message.state_version,
            tuple(self._accept(party, one.to, one.body, one.key) for one in message.sends),
            lease_until_ms=now_ms + LEASE_MS if message.take else 0,
        )

        def answer(answer: Answer) -> say.FromJournal:
            found = answer.next if isinstance(answer, Committed) else None
            return say.Leased(message.id, _mail(found))

        self._ask(party, message.id, op, answer, now_ms, [one.to for one in message.sends])

    def _accept(self, party: Party, to: str, body: bytes, key: str) -> ops.Accept:
        terms = self._known.get(to) or Terms()
        return ops.Accept(to, party.path, body, key=key, limit=terms.limit, when_full=terms.when_full)

    def _ask(
        self,
        party: Party,
        id: int,
        op: ops.Op,
        answered: Callable[[Any], say.FromJournal],
        now_ms: int,
        receivers: Iterable[str] = (),
    ) -> None:
        """One operation, and what is said when it is committed, or was refused."""

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            party.open -= 1
            if answers is None:
                self._refuse(party, id, error or JournalUnavailable("cannot write the journal"))
                return
            (answer,) = answers
            if isinstance(answer, Rejected):
                self._say(party, say.Refused(id, _CODES.get(answer.code, "error"), answer.why))
                return
            self._say(party, answered(answer))
            for path in receivers:
                self.notify(path)

        party.open += 1
        self.submit((op,), token, now_ms)

    def _failed(self, party: Party, message: say.Fail, now_ms: int) -> None:
        held = self.reader().held(party.path)
        if held is None or (held.id, held.attempt, held.incarnation) != (message.message, message.attempt, party.inc):
            self._say(party, say.Done(message.id))  # said before, and done
            return

        def then(error: AgenthostError | None) -> None:
            if error is None:
                self._say(party, say.Done(message.id))
            else:
                self._refuse(party, message.id, error)

        if message.unused:
            release = ops.Release(held.id, held.attempt, message.why)
            self.submit((release,), lambda answers, error: then(error), now_ms)
        else:
            self._fail(party.path, held, message.why, party.terms, then, now_ms, final=message.final)

    def _fail(
        self,
        path: str,
        held: Mail,
        why: str,
        terms: Terms,
        then: Callable[[AgenthostError | None], None],
        now_ms: int,
        *,
        final: bool,
    ) -> None:
        op = after_failure(held.id, held.attempt, why, self.reader().history(held.id), terms, now_ms, final=final)

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if error is None and isinstance(op, ops.DeadLetter):
                self._tell(words.SetAside(path, held.id, held.sender, held.attempt, why))
                self.notify(path)
            elif isinstance(op, ops.BackOff):
                self._due_ms = min(self._due_ms or op.until_ms, op.until_ms)
                if self.reader().open_count(path) > 1:
                    self.notify(path)
            then(error)

        self.submit((op,), token, now_ms)

    def _ripened(self, answers: list[Answer] | None, error: AgenthostError | None) -> None:
        if answers is None:
            return
        for path in getattr(answers[0], "receivers", ()):
            self.notify(path)
        self._due_ms = 1 if getattr(answers[0], "more", False) else self.reader().next_due_ms()

    # ---- saying

    def _refuse(self, party: Party, id: int, error: AgenthostError) -> None:
        self._say(party, say.Refused(id, error.code, error.message, error.hint or ""))

    def _say(self, party: Party, message: say.FromJournal) -> None:
        if not party.is_lost:
            party.out.append(message)
            self.spoken_to.add(party)


def _receivers(message: say.FromAgent) -> tuple[str, ...]:
    match message:
        case say.Commit(sends=sends):
            return tuple(one.to for one in sends)
        case say.Send(to=to):
            return (to,)
        case say.Knows(path=path):
            return (path,)
    return ()


def _mail(answer: Any) -> say.Mail | None:
    if not isinstance(answer, Leased):
        return None
    mail = answer.mail
    return say.Mail(mail.id, mail.sender, mail.body, mail.attempt, mail.accepted_ms)
