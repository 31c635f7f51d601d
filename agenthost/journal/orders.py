"""What the host says to the journal, carried out: who owns what, events of the core, sends of clients, an operator's
wishes. No sockets in here.

The rule it keeps: a word is named in a Did, or answered, when what it asks for has survived or cannot be done; said
again, it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from agenthost.errors import AgenthostError, UnknownName, UsageError
from agenthost.journal import crashes, members, ops, outlook, session_orders, words
from agenthost.journal.answers import Accepted, Answer, Rejected
from agenthost.journal.budget_sheets import budget_sheets, sheet_of
from agenthost.journal.clerk import Clerk
from agenthost.journal.crash_words import CrashWords
from agenthost.journal.party import Party
from agenthost.journal.remedies import answer_of, lapsed_words, question_of
from agenthost.journal.store import Store
from agenthost.journal.values import Cron, Entry, Mail
from agenthost.journal.writer import FOR_EVER_MS
from agenthost.protocol.codec import unpack_body

PAGE, FEW = 1000, 100
SHOWN_BYTES = 1024
"""Of a body, where many are listed."""
GAP = "they came while they could not be written"
_CODES = {"unknown": "unknown_name", "conflict": "usage", "removed": "unknown_name", "too_large": "usage"}


class Orders:
    """``tell`` reaches the host. ``did`` collects the words to be named in the next Did. ``on_own(word, party)`` gives
    the party its door."""

    def __init__(
        self,
        store: Store,
        clerk: Clerk,
        tell: Callable[[words.FromJournal], None],
        on_own: Callable[[words.Own, Party], None],
        on_disown: Callable[[words.Disown], None],
    ) -> None:
        self._store, self._clerk, self._tell = store, clerk, tell
        self._on_own, self._on_disown = on_own, on_disown
        self.did: list[int] = []
        self._crashes = CrashWords(clerk.submit, lambda number: self.did.append(number))
        self.on_admit: Callable[[bytes, str], None] = lambda ticket, who: None

    def hear(self, word: words.FromHost, now_ms: int) -> None:
        match word:
            case words.Event():
                self._note(word, now_ms)
            case words.Own():
                party = Party(word.path, (word.boot, word.n), word.terms)
                self._on_own(word, party)
                self._clerk.there.arrive(party, lambda: self.did.append(word.id), now_ms)
            case words.Disown():
                self._on_disown(word)
                inc = (word.boot, word.n)
                then = lambda: self.did.append(word.id)  # noqa: E731
                self._clerk.there.leave(word.path, inc, word.why, word.terms, then, now_ms, word.failure)
            case words.Known():
                self._clerk.known(word.path, word.terms, word.why, now_ms)
                self.did.append(word.id)
            case words.Clear():
                self._clear(word, now_ms)
            case words.Picture():
                picture = ops.Picture(word.boot, 0, word.now_s, word.state)
                self._clerk.submit((picture,), lambda answers, error: self.did.append(word.id), now_ms)
            case words.Crashed():
                self._crashes.hear(word, now_ms)
            case words.Send():
                self._send(word, now_ms)
            case words.Schedule():
                self._clerk.timetable.schedule(word.what, word.sender, self._told(word.id), now_ms)
            case words.Schedules():
                self._clerk.timetable.want(word.wanted, now_ms)
                self.did.append(word.id)
            case words.Admit(id=id):
                self.on_admit(word.ticket, word.who)
                self._tell(words.Answer(id))
            case words.Keep(path=path, record=record):
                kept = ops.Unkeep(path) if record is None else ops.Keep(path, record)
                self._clerk.submit((kept,), lambda answers, error: self.did.append(word.id), now_ms, FOR_EVER_MS)
            case words.Budgets():
                self._clerk.meters.budgets(word, now_ms)
                self.did.append(word.id)
            case words.Brings():
                self._clerk.meters.brings(word, now_ms)
                self.did.append(word.id)
            case words.Meter():
                self._clerk.meters.metered(word, lambda: self.did.append(word.id), now_ms)
            case words.Ask():
                self._ask(word, now_ms)

    # ---- events of the core

    def _note(self, word: words.Event, now_ms: int) -> None:
        note = ops.Note(word.boot, word.number, word.now_s, word.event, word.chance, word.effects)

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if answers is not None and isinstance(answers[0], Rejected) and answers[0].code == "out_of_order":
                missed = ops.Missed(word.boot, word.number - 1, GAP)
                self._clerk.submit((missed, note), lambda answers, error: self.did.append(word.id), now_ms)
                return
            self.did.append(word.id)  # one that could not be written is a gap from here on

        self._clerk.submit((note,), token, now_ms)

    # ---- names that are used again

    def _clear(self, word: words.Clear, now_ms: int) -> None:
        batch = (ops.Strand(word.path, word.why), ops.RemoveSession(word.path), ops.Revive(word.path))
        self._clerk.there.forget(word.path)
        self._clerk.timetable.forget_sender(word.path, now_ms)
        self._clerk.meters.forget(word.path, now_ms)
        self._clerk.submit(batch, lambda answers, error: self.did.append(word.id), now_ms, FOR_EVER_MS)

    # ---- clients and operators

    def _send(self, word: words.Send, now_ms: int) -> None:
        try:
            logged = self._said(word) if word.in_session else None
        except AgenthostError as error:
            self._tell(words.Answer(word.id, None, error.code, error.message, error.hint or ""))
            return
        terms = word.terms
        op = ops.Accept(
            word.to,
            word.sender,
            word.body,
            key=word.key,
            due_ms=word.due_ms,
            limit=terms.limit,
            when_full=terms.when_full,
            by_clock=word.by_clock,
            session=word.to if word.in_session else "",
            logged=logged,
        )

        def done(answer: Any) -> Any:
            assert isinstance(answer, Accepted)
            if word.due_ms > now_ms:
                self._clerk.due.at(word.due_ms)
            else:
                self._clerk.there.notify(word.to)
            return {"message": answer.message, "twice": answer.twice}

        self._carry_out(word.id, op, done, now_ms)

    def _said(self, word: words.Send) -> Entry:
        """The log entry of what is said in a session. ``Busy`` if somebody else has the writing seat, unless it was
        said before; ``ProtocolError`` for a body that readers could not read."""
        is_known = bool(word.key) and self._clerk.reader().by_key(word.sender, word.key) is not None
        if not is_known:
            self._clerk.telling.following.check_seat(word.to, word.seat)
        unpack_body(word.body)
        return Entry("message", msgspec.msgpack.encode({"body": msgspec.Raw(word.body), "sender": word.sender}))

    def _ask(self, word: words.Ask, now_ms: int) -> None:
        try:
            match word.what:
                case "requeue":
                    number = int(word.args["message"])
                    op = ops.Requeue(number, str(word.args.get("by", "")))
                    self._carry_out(word.id, op, lambda answer: self._moved(number), now_ms)
                case "drop" if word.args.get("in_hand") and self._is_in_hand(int(word.args["message"])):
                    self._clerk.settling.unwanted(int(word.args["message"]), str(word.args.get("by", "")))
                    self._tell(words.Answer(word.id))
                case "drop":
                    drop = ops.Drop(int(word.args["message"]), str(word.args.get("by", "")))
                    self._carry_out(word.id, drop, lambda answer: self._moved(drop.message), now_ms)
                case "answer":
                    self._answer(word, now_ms)
                case "grant":
                    self._grant(word, now_ms)
                case "cancel":
                    cancel = ops.Cancel(str(word.args["sender"]), str(word.args["key"]))
                    self._carry_out(word.id, cancel, lambda answer: None, now_ms)
                case "unschedule":
                    self._clerk.timetable.unschedule(str(word.args["name"]), self._told(word.id), now_ms)
                case what if what in session_orders.CHANGES:
                    self._change(word, now_ms)
                case "vacuum":
                    self._tell(words.Answer(word.id, self._store.vacuum()))
                case _:
                    self._tell(words.Answer(word.id, self._look(word.what, word.args)))
        except AgenthostError as error:
            self._tell(words.Answer(word.id, None, error.code, error.message, error.hint or ""))
        except Exception as error:  # a mistake of ours: whoever has asked gets an answer
            why = f"cannot do {word.what!r}: {type(error).__name__}: {error}"
            self._tell(words.Answer(word.id, None, AgenthostError.code, why))

    def _answer(self, word: words.Ask, now_ms: int) -> None:
        """A person's word on a message that waits for one; the result is the path of who has it."""
        args = word.args
        parked = self._clerk.reader().message(int(args["message"]))
        if parked is None or parked.status != "parked":
            is_ = "there is none" if parked is None else f"it waits for nobody's answer, it is {parked.status}"
            raise UnknownName(f"cannot answer message {args['message']}: {is_}", hint="see agenthost asked")
        history = self._clerk.reader().history(parked.id)
        if (lapsed := lapsed_words(parked, history, int(args.get("nth", 0)))) is not None:
            why, hint = lapsed
            raise UnknownName(why, hint=hint)
        op = answer_of(parked, yes=bool(args["yes"]), text=str(args["text"]), by=str(args["by"]), history=history)
        if isinstance(op, ops.Resume) and op.grant is not None:
            op = replace(op, grant=self._clerk.meters.wanted(op.grant))
        grant = op.grant if isinstance(op, ops.Resume) else None

        def in_vain() -> None:
            if grant is not None:
                self._clerk.meters.not_granted(grant)

        def done(answer: Answer) -> str:
            if grant is not None:
                self._clerk.meters.was_granted(grant, now_ms)
            self._clerk.there.notify(parked.receiver)
            if isinstance(op, ops.DeadLetter):
                self._tell(words.SetAside(parked.receiver, parked.id, parked.sender, parked.attempt, op.reason))
            return parked.receiver

        self._carry_out(word.id, op, done, now_ms, in_vain)

    def _grant(self, word: words.Ask, now_ms: int) -> None:
        args, meters = word.args, self._clerk.meters
        op = meters.grant(str(args["path"]), str(args["meter"]), float(args["amount"]), str(args["by"]))

        def done(answer: Answer) -> list[dict[str, Any]]:
            meters.was_granted(op, now_ms)
            return sheet_of(meters, self._clerk.reader(), op.path)

        self._carry_out(word.id, op, done, now_ms)

    def _change(self, word: words.Ask, now_ms: int) -> None:
        """Of a session that nobody has in hand; should somebody have begun to meanwhile, he begins anew."""
        path = str(word.args["path"])
        op = session_orders.change(self._clerk.reader(), word.what, word.args)

        def changed(answer: Answer | None) -> int:
            if isinstance(op, ops.RemoveSession):
                self._clerk.meters.forget(path, now_ms)
            return session_orders.last_seq(self._clerk.reader(), path)

        if op is None:
            self._tell(words.Answer(word.id, changed(None)))
        else:
            self._carry_out(word.id, op, changed, now_ms, self._clerk.there.change(path))

    def _told(self, id: int) -> Callable[[int, AgenthostError | None], None]:
        """Answers with when a periodic message is due next."""

        def done(due_ms: int, error: AgenthostError | None) -> None:
            if error is None:
                self._tell(words.Answer(id, {"next": due_ms / 1000}))
            else:
                self._tell(words.Answer(id, None, error.code, error.message, error.hint or ""))

        return done

    def _is_in_hand(self, id: int) -> bool:
        message = self._clerk.reader().message(id)
        return message is not None and message.status == "leased"

    def _moved(self, id: int) -> None:
        message = self._clerk.reader().message(id)
        if message is not None:
            self._clerk.there.notify(message.receiver)

    def _look(self, what: str, args: dict[str, Any]) -> Any:
        reader = self._clerk.reader()
        match what:
            case _ if what in session_orders.LOOKS:
                return session_orders.look(reader, what, args)
            case "mailboxes":
                found: list[tuple[str, int]] = []
                while page := reader.mailboxes(found[-1][0] if found else "", PAGE):
                    found += page
                return dict(found)
            case what if what in crashes.LOOKS:
                return crashes.look(reader, what, args)
            case "budgets":
                return budget_sheets(self._clerk.meters, reader, args)
            case what if what in outlook.LOOKS:
                return outlook.look(reader, what, args)
            case what if what in members.LOOKS:
                return members.look(reader, what, args)
            case "letters":
                letters = reader.dead_letters(str(args["prefix"]), int(args["after"]), int(args["limit"]))
                return [self._letter(one.id) for one in letters]
            case "letter":
                return self._letter(int(args["message"]))
            case "asked":
                parked = reader.parked(str(args["prefix"]), int(args["after"]), int(args["limit"]))
                return [question_of(one, reader.history(one.id)) for one in parked]
            case "schedules":
                return [_cron(one) for one in reader.crons(str(args["after"]), int(args["limit"]))]
            case "delayed":
                due_ms, number = args["after"]
                return [_delayed(one) for one in reader.delayed((int(due_ms), int(number)), int(args["limit"]))]
            case "kept":
                few = reader.kept(str(args["after"]), FEW)  # a record may hold code
                return [{"path": one.path, "record": one.record} for one in few]
            case "stats":
                return msgspec.to_builtins(reader.stats())
        raise UsageError(f"cannot ask the journal for {what!r}: it does not know that")

    def _letter(self, id: int) -> dict[str, Any] | None:
        reader = self._clerk.reader()
        one = reader.message(id)
        if one is None:
            return None
        history = [
            {
                "attempt": line.attempt,
                "at": line.at_ms / 1000,
                "what": line.what,
                "reason": line.reason,
                "fingerprint": line.fingerprint,
                "remedy": line.rung,
            }
            for line in reader.history(id)
        ]
        return {
            "message": one.id,
            "receiver": one.receiver,
            "sender": one.sender,
            "status": one.status,
            "attempt": one.attempt,
            "sent": one.accepted_ms / 1000,
            "body": one.body,
            "history": history,
        }

    def _carry_out(
        self,
        id: int,
        op: ops.Op,
        done: Callable[[Answer], Any],
        now_ms: int,
        in_vain: Callable[[], None] = lambda: None,
    ) -> None:
        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if answers is None or isinstance(answers[0], Rejected):
                in_vain()
            if answers is None:
                assert error is not None
                self._tell(words.Answer(id, None, error.code, error.message, error.hint or ""))
            elif isinstance(answers[0], Rejected):
                refused = answers[0]
                self._tell(words.Answer(id, None, _CODES.get(refused.code, refused.code), refused.why))
            else:
                self._tell(words.Answer(id, done(answers[0])))

        self._clerk.submit((op,), token, now_ms)


def _cron(one: Cron) -> dict[str, Any]:
    return {
        "name": one.name,
        "receiver": one.receiver,
        "sender": one.sender,
        "cron": one.cron,
        "next": one.due_ms / 1000,
        "body": one.body if len(one.body) <= SHOWN_BYTES else None,
    }


def _delayed(one: Mail) -> dict[str, Any]:
    return {
        "message": one.id,
        "receiver": one.receiver,
        "sender": one.sender,
        "key": one.key,
        "due_ms": one.due_ms,
        "body": one.body if len(one.body) <= SHOWN_BYTES else None,
    }
