"""What the host says to the journal, carried out: who owns what, events of the core, sends of clients, an operator's
wishes. No sockets in here.

The rule it keeps: a word is named in a Did, or answered, when what it asks for has survived or cannot be done; said
again, it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agenthost.errors import AgenthostError, UsageError
from agenthost.journal import ops, words
from agenthost.journal.answers import Accepted, Answer, Rejected
from agenthost.journal.clerk import FOR_EVER_MS, Clerk, Party
from agenthost.journal.store import Store

PAGE = 1000
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

    def hear(self, word: words.FromHost, now_ms: int) -> None:
        match word:
            case words.Event():
                self._note(word, now_ms)
            case words.Own():
                party = Party(word.path, (word.boot, word.n), word.terms)
                self._on_own(word, party)
                self._clerk.arrive(party, lambda: self.did.append(word.id), now_ms)
            case words.Disown():
                self._on_disown(word)
                inc = (word.boot, word.n)
                self._clerk.leave(word.path, inc, word.why, word.terms, lambda: self.did.append(word.id), now_ms)
            case words.Known():
                self._clerk.known(word.path, word.terms, word.why, now_ms)
                self.did.append(word.id)
            case words.Clear():
                self._clear(word, now_ms)
            case words.Picture():
                picture = ops.Picture(word.boot, 0, word.now_s, word.state)
                self._clerk.submit((picture,), lambda answers, error: self.did.append(word.id), now_ms)
            case words.Send():
                self._send(word, now_ms)
            case words.Ask():
                self._ask(word, now_ms)

    # ---- events of the core

    def _note(self, word: words.Event, now_ms: int) -> None:
        note = ops.Note(word.boot, word.number, word.now_s, word.event, word.chance)

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
        self._clerk.forget(word.path)
        self._clerk.submit(batch, lambda answers, error: self.did.append(word.id), now_ms, FOR_EVER_MS)

    # ---- clients and operators

    def _send(self, word: words.Send, now_ms: int) -> None:
        terms = word.terms
        op = ops.Accept(word.to, word.sender, word.body, key=word.key, limit=terms.limit, when_full=terms.when_full)

        def done(answer: Any) -> Any:
            assert isinstance(answer, Accepted)
            self._clerk.notify(word.to)
            return {"message": answer.message, "twice": answer.twice}

        self._carry_out(word.id, op, done, now_ms)

    def _ask(self, word: words.Ask, now_ms: int) -> None:
        try:
            match word.what:
                case "requeue":
                    number = int(word.args["message"])
                    op = ops.Requeue(number, str(word.args.get("by", "")))
                    self._carry_out(word.id, op, lambda answer: self._moved(number), now_ms)
                case "drop":
                    drop = ops.Drop(int(word.args["message"]), str(word.args.get("by", "")))
                    self._carry_out(word.id, drop, lambda answer: None, now_ms)
                case "vacuum":
                    self._tell(words.Answer(word.id, self._store.vacuum()))
                case _:
                    self._tell(words.Answer(word.id, self._look(word.what, word.args)))
        except AgenthostError as error:
            self._tell(words.Answer(word.id, None, error.code, error.message, error.hint or ""))
        except Exception as error:  # a mistake of ours: whoever has asked gets an answer
            why = f"cannot do {word.what!r}: {type(error).__name__}: {error}"
            self._tell(words.Answer(word.id, None, AgenthostError.code, why))

    def _moved(self, id: int) -> None:
        message = self._clerk.reader().message(id)
        if message is not None:
            self._clerk.notify(message.receiver)

    def _look(self, what: str, args: dict[str, Any]) -> Any:
        reader = self._clerk.reader()
        match what:
            case "mailboxes":
                found: list[tuple[str, int]] = []
                while page := reader.mailboxes(found[-1][0] if found else "", PAGE):
                    found += page
                return dict(found)
            case "letters":
                letters = reader.dead_letters(str(args["prefix"]), int(args["after"]), int(args["limit"]))
                return [self._letter(one.id) for one in letters]
            case "letter":
                return self._letter(int(args["message"]))
            case "stats":
                return msgspec.to_builtins(reader.stats())
        raise UsageError(f"cannot ask the journal for {what!r}: it does not know that")

    def _letter(self, id: int) -> dict[str, Any] | None:
        reader = self._clerk.reader()
        one = reader.message(id)
        if one is None:
            return None
        history = [
            {"attempt": line.attempt, "at": line.at_ms / 1000, "what": line.what, "reason": line.reason}
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

    def _carry_out(self, id: int, op: ops.Op, done: Callable[[Answer], Any], now_ms: int) -> None:
        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            if answers is None:
                assert error is not None
                self._tell(words.Answer(id, None, error.code, error.message, error.hint or ""))
            elif isinstance(answers[0], Rejected):
                refused = answers[0]
                self._tell(words.Answer(id, None, _CODES.get(refused.code, refused.code), refused.why))
            else:
                self._tell(words.Answer(id, done(answers[0])))

        self._clerk.submit((op,), token, now_ms)
