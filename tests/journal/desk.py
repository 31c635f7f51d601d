"""Somebody at a journal: one operation at a time, a clock that only moves when told."""

from __future__ import annotations

from typing import Any

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Answer, Committed, Done, Leased, Nothing, Rejected
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.store import Reader, Store
from agenthost.journal.values import Incarnation, Mail


class Desk:
    def __init__(self, store: SqliteStore | MemoryStore) -> None:
        self.store: Store = store
        self.read: Reader = store.reader()
        self.now_ms = 1000

    def close(self) -> None:
        self.read.close()
        self.store.close()

    def asks(self, op: ops.Op) -> Answer:
        (answer,) = self.store.commit([op], self.now_ms)
        return answer

    def does(self, op: ops.Op) -> None:
        assert self.asks(op) == Done()

    def refuses(self, op: ops.Op) -> str:
        """The code. Nothing was written by it."""
        before = list(self.read.export())
        answer = self.asks(op)
        assert isinstance(answer, Rejected), answer
        assert answer.why.startswith("cannot ")
        assert list(self.read.export()) == before
        return answer.code

    def takes(self, body: bytes = b"", sender: str = "/s", to: str = "/a", **more: Any) -> int:
        answer = self.asks(ops.Accept(to, sender, body, **more))
        assert isinstance(answer, Accepted), answer
        return answer.message

    def leases(self, path: str = "/a", incarnation: Incarnation = (1, 1)) -> Mail | None:
        answer = self.asks(ops.Lease(path, incarnation, self.now_ms + 60_000))
        if isinstance(answer, Nothing):
            return None
        assert isinstance(answer, Leased), answer
        return answer.mail

    def leased(self, path: str = "/a", incarnation: Incarnation = (1, 1)) -> Mail:
        mail = self.leases(path, incarnation)
        assert mail is not None
        return mail

    def commits(self, mail: Mail | None = None, **more: Any) -> Committed:
        answer = self.asks(self.turn(mail, **more))
        assert isinstance(answer, Committed), answer
        return answer

    @staticmethod
    def turn(
        mail: Mail | None = None, *, path: str = "/a", incarnation: Incarnation = (1, 1), **more: Any
    ) -> ops.CommitTurn:
        if mail is None:
            return ops.CommitTurn(path, incarnation, **more)
        return ops.CommitTurn(mail.receiver, mail.incarnation or incarnation, mail.id, mail.attempt, **more)

    def handles(self, **more: Any) -> bytes | None:
        """One turn of ``/a``: what it was about, None if there was nothing to do."""
        mail = self.leases()
        if mail is None:
            return None
        self.commits(mail, **more)
        return mail.body

    def status(self, message: int) -> str:
        mail = self.read.message(message)
        return mail.status if mail else "gone"
