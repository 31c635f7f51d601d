"""Who is there: which incarnation has which path, what becomes of what one that is gone still held, and which receivers
there are, as far as the host was asked. No sockets in here; what those who are there ask is ``clerk``'s.

The rule it keeps: who comes owns his path after all that his predecessor has said, and its end, have been settled; and
who has mail hears of it, or the host does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agenthost.core.remedy.failure import Failure
from agenthost.errors import AgenthostError
from agenthost.journal import ops, words
from agenthost.journal.answers import Answer, Rejected
from agenthost.journal.party import Party
from agenthost.journal.settling import whole
from agenthost.journal.store import Reader
from agenthost.journal.telling import Telling
from agenthost.journal.values import Incarnation
from agenthost.journal.words import Terms
from agenthost.journal.writer import FOR_EVER_MS, PATIENCE_MS
from agenthost.protocol import mail as say


class Attendance:
    """``submit`` is the clerk's, ``go_on(party, now_ms)`` takes up what it has asked, ``fail`` is ``Settling.fail``;
    ``tell`` reaches the host. ``spoken_to`` collects parties that have something to hear."""

    def __init__(
        self,
        submit: Callable[..., None],
        reader: Callable[[], Reader],
        tell: Callable[[words.FromJournal], None],
        telling: Telling,
        go_on: Callable[[Party, int], None],
        fail: Callable[..., None],
    ) -> None:
        self._submit, self._reader, self._tell, self._telling = submit, reader, tell, telling
        self._go_on, self._fail = go_on, fail
        self._parties: dict[str, Party] = {}
        self._known: dict[str, Terms] = {}
        self._asking: dict[str, list[Party]] = {}
        self._finding: dict[str, list[Callable[[str], None]]] = {}
        self._leaving: dict[str, list[Callable[[], None]]] = {}
        """Paths that somebody is leaving, and what is to be done there after that."""
        self._told: set[str] = set()
        """Paths whose mail the host has been told of, since they had a door last."""
        self.spoken_to: set[Party] = set()
        self.is_held: Callable[[str], bool] = lambda path: False
        """Its mail waits until somebody grants it more: nobody is told of it before."""

    # ---- coming and going

    def arrive(self, party: Party, then: Callable[[], None], now_ms: int) -> None:
        """It owns its path from the commit on; ``then`` is called after that."""
        older = self._telling.left_behind(party.path, party.inc)
        if older is not None and party.path not in self._leaving:  # the host has not said that it has ended
            self.leave(party.path, older, "", party.terms, lambda: None, now_ms)
        if party.path in self._leaving:
            self._leaving[party.path].append(lambda: self.arrive(party, then, now_ms))
            return
        self._parties[party.path] = party
        self._known[party.path] = party.terms
        party.since_ms = now_ms

        def owned(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if error is not None:  # damaged: nothing will ever be written
                while party.queue:
                    self.refuse(party, party.queue.popleft().id, error)
                then()
                return
            party.owned = True
            self._told.discard(party.path)
            then()
            self._go_on(party, now_ms)
            if self._reader().open_count(party.path):
                self.notify(party.path)

        self._submit((ops.Own(party.path, party.inc),), owned, now_ms, FOR_EVER_MS)

    def lost(self, party: Party) -> None:
        """Its door is closed."""
        party.is_lost = True
        party.out.clear()
        self.spoken_to.discard(party)

    def leave(
        self,
        path: str,
        inc: Incarnation,
        why: str,
        terms: Terms,
        then: Callable[[], None],
        now_ms: int,
        failure: Failure | None = None,
    ) -> None:
        """Nothing of it is left. What it still held goes back; with ``why`` as a failed attempt. Its successor arrives
        after that: else its end would not be known from a mere loss."""
        if path in self._leaving:
            self._leaving[path].append(lambda: self.leave(path, inc, why, terms, then, now_ms, failure))
            return
        self._leaving[path] = []
        self._told.discard(path)  # the host may have heard of it while this one was there, and done nothing
        self._known.pop(path, None)  # it may sleep, as a million others do
        party = self._parties.get(path)
        if party is not None and party.inc == inc:
            del self._parties[path]
            party.queue.clear()
        told = bool(self._telling.left(path, inc))

        def over() -> None:
            then()
            for deed in self._leaving.pop(path):
                deed()

        def after(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            parts = self._telling.left(path, inc)  # without those that were on their way to the log
            if answers is None:  # damaged: nothing will ever be written
                self._telling.forget(path, parts)
                over()
                return
            if isinstance(answers[0], Rejected):  # somebody newer owns it: what it held is free already
                self._telling.forget(path, parts)
                self._left(path, over)
                return
            try:
                held = self._reader().held(path)
            except AgenthostError:
                self._telling.forget(path, parts)
                over()
                raise
            if held is not None and held.incarnation != inc:
                held = None
            if held is not None and why:
                self._fail(path, held, whole(failure, why), terms, lambda error: over(), now_ms, parts)
                return
            batch = self._telling.append(path, inc, parts) or ([ops.BreakOff(path, inc)] if told else [])
            if held is not None:
                batch.append(ops.Release(held.id, held.attempt, "stopped before it was done"))

            def released(answers: list[Answer] | None, error: AgenthostError | None) -> None:
                self._telling.broke(path, parts, answers)
                self._left(path, over)

            if batch:
                self._submit(batch, released, now_ms, FOR_EVER_MS)
            else:
                self._left(path, over)

        # Behind all that it has asked for itself.
        batch = (ops.Own(path, inc),) if told else (ops.Own(path, inc), ops.BreakOff(path, inc))
        self._submit(batch, after, now_ms, FOR_EVER_MS)

    def _left(self, path: str, over: Callable[[], None]) -> None:
        try:
            if self._reader().open_count(path):
                self.notify(path)
        finally:
            over()

    # ---- who may be sent mail

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
                self.say(party, say.Refused(party.queue.popleft().id, "unknown_name", why))
            if not party.wants:
                self._go_on(party, now_ms)
        for found in self._finding.pop(path, ()):
            found("" if terms is not None else why or "there is no such agent")

    def find(self, path: str, then: Callable[[str], None]) -> None:
        """``then`` is told why no mail may be sent there, "" if it may; now, or when the host has said it."""
        if path in self._known:
            then("")
        else:
            self._finding.setdefault(path, []).append(then)
            self.look_up(path)

    def terms_of(self, path: str) -> Terms | None:
        """How mail for it is treated; None if the host has to be asked."""
        return self._known.get(path)

    def lacks(self, party: Party, receivers: Iterable[str]) -> bool:
        """Whether its first request has to wait until the host has said who these are."""
        party.wants = {path for path in receivers if path not in self._known}
        for path in party.wants:
            self.look_up(path).append(party)
        return bool(party.wants)

    def look_up(self, path: str) -> list[Party]:
        """The host is asked, once. Who waits for that."""
        if path not in self._asking:
            self._asking[path] = []
            self._tell(words.Knows(path))
        return self._asking[path]

    def is_present(self, party: Party) -> bool:
        return self._parties.get(party.path) is party

    def lose_patience(self, error: AgenthostError, now_ms: int) -> None:
        """Those who could not come in for so long are told why."""
        for party in list(self._parties.values()):
            if not party.owned and party.queue and party.since_ms + PATIENCE_MS < now_ms:
                while party.queue:
                    self.refuse(party, party.queue.popleft().id, error)

    def change(self, path: str) -> Callable[[], None]:
        """Its session is about to be another, by an operator: whoever has it in hand has what does not count, and what
        he says from now on would be written over it. To be called if nothing has come of it."""
        party = self._parties.get(path)
        if party is None or party.is_outdated:
            return lambda: None
        party.is_outdated = True
        return party.keep

    def forget(self, path: str) -> None:
        self._known.pop(path, None)

    def notify(self, path: str) -> None:
        """There may be mail for it."""
        if self.is_held(path):
            return
        party = self._parties.get(path)
        if party is not None and not party.is_lost:
            if party.owned and not party.hinted:
                party.hinted = True
                self.say(party, say.Waiting())
        elif path not in self._told:
            self._told.add(path)
            self._tell(words.Waits(path))

    # ---- saying

    def refuse(self, party: Party, id: int, error: AgenthostError) -> None:
        self.say(party, say.Refused(id, error.code, error.message, error.hint or ""))

    def say(self, party: Party, message: say.FromJournal) -> None:
        if not party.is_lost:
            party.out.append(message)
            self.spoken_to.add(party)
