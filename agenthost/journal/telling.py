"""What turns tell of themselves while they last, and what becomes of it: entries of the log, whole or broken.

Between the clerk, who commits, and those who follow: after each commit that has changed a log its followers are told.

The rule it keeps: a part becomes one entry, in the commit that ends its turn; a broken one where the turn has failed,
together with that failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agenthost.errors import AgenthostError
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Appended, Rejected
from agenthost.journal.following import Following
from agenthost.journal.parts import Part, Parts
from agenthost.journal.store import Reader
from agenthost.journal.values import Entry, Incarnation
from agenthost.protocol import mail as say

Token = Callable[[list[Answer] | None, AgenthostError | None], None]


STASH_MS = 1000
STASH_BYTES = 4 * 1024 * 1024
"""Of parts that are stashed in one go; the others have their turn in the next."""


class Telling:
    """``store()`` reads what is committed, ``submit(batch, token, now_ms)`` is the clerk's, and ``is_idle()`` says that
    nothing is submitted that is not committed."""

    def __init__(self, store: Callable[[], Reader], submit: Callable[..., None], is_idle: Callable[[], bool]) -> None:
        self._parts = Parts()
        self._store, self._submit, self._is_idle = store, submit, is_idle
        self.following = Following(self._parts, store)
        self._grown: dict[str, Incarnation] = {}
        """Whose parts have grown since they were stashed."""
        self._stash_at_ms = 0

    # ---- of the turn in hand

    def hear(self, path: str, inc: Incarnation, delta: say.Delta) -> None:
        if self._parts.told(path, inc, delta):
            self._grown[path] = inc
            self.following.told(path)

    def committed(self, path: str, commit: say.Commit, last_seq: int, *, twice: bool) -> None:
        """``commit`` is true, and ``last_seq`` the end of the log; ``twice``: it was so before."""
        parts = self._parts.drop(path, [one.part for one in commit.entries if one.part])
        if not parts:
            return
        numbers = [one.part for one in commit.entries]
        first_seq = last_seq - len(numbers) + 1
        for part in parts:
            self.following.settled(path, [part], 0 if twice else first_seq + numbers.index(part.number))

    # ---- of a turn that failed

    def broken(self, path: str, inc: Incarnation, *, message: int, attempt: int = 0) -> list[Part]:
        """The parts of that attempt."""
        return self._parts.open(path, inc, lambda part: (part.message, part.attempt) == (message, attempt))

    def broken_up_to(self, path: str, inc: Incarnation, number: int) -> list[Part]:
        """The parts of turns that no mail began, up to that one."""
        return self._parts.open(path, inc, lambda part: part.number <= number and not part.message)

    def left(self, path: str, inc: Incarnation) -> list[Part]:
        """All parts of an incarnation that says nothing more."""
        return self._parts.open(path, inc)

    def left_behind(self, path: str, inc: Incarnation) -> Incarnation | None:
        """An older incarnation than that, which has left parts."""
        owner = self._parts.owner(path)
        return owner if owner is not None and owner < inc else None

    @staticmethod
    def append(path: str, inc: Incarnation | None, parts: Sequence[Part], turn: int = 0) -> list[ops.Op]:
        """To be committed with the failure; empty without parts."""
        return [ops.Append(path, tuple(part.broken() for part in parts), inc, turn)] if parts else []

    def broke(self, path: str, parts: Sequence[Part], answers: list[Answer] | None) -> None:
        """What ``append`` has made is committed; the first of ``answers`` is about it. None: it could not be, and will
        be tried again if it is said again."""
        if not parts or answers is None:
            return
        self._parts.drop(path, [part.number for part in parts])
        answer = answers[0]
        is_written = isinstance(answer, Appended) and answer.last >= answer.first
        self.following.settled(path, parts, answer.first if is_written and isinstance(answer, Appended) else 0)

    def forget(self, path: str, parts: Sequence[Part]) -> None:
        """They are in the log already, as the journal before this one has left it."""
        self._parts.drop(path, [part.number for part in parts])
        self.following.settled(path, parts, 0)

    # ---- should nobody be left to say it

    def opened(self, boot: int, now_ms: int) -> None:
        """What turns of earlier hosts have told: nobody will say any more of it."""
        after = ""
        while page := self._store().stashes(after, 1000):
            after = page[-1][0]
            left = [ops.BreakOff(path, inc) for path, inc in page if inc[0] < boot]
            if left:
                self._submit(left, lambda answers, error: None, now_ms)

    def next_ms(self) -> int:
        """0: nothing is to be stashed."""
        return self._stash_at_ms if self._grown else 0

    def tick(self, now_ms: int) -> None:
        """Parts are stashed once in a while: were this process and the agent killed together, nobody else had them."""
        if not self._grown or now_ms < self._stash_at_ms or not self._is_idle():  # behind a commit it would be too late
            return
        self._stash_at_ms = now_ms + STASH_MS
        size_bytes = 0
        while self._grown and size_bytes < STASH_BYTES:
            path = next(iter(self._grown))
            inc = self._grown.pop(path)
            if parts := self._parts.open(path, inc):
                size_bytes += sum(part.size_bytes for part in parts)
                stash = ops.Stash(path, inc, tuple(part.broken() for part in parts))
                self._submit((stash,), lambda answers, error: None, now_ms)

    def last_words(self) -> list[ops.Op]:
        """The host has ended, and all agents end with it: nobody will say these parts again."""
        return [op for path, inc, parts in self._parts.all() for op in self.append(path, inc, parts)]

    # ---- after each commit

    def watch(self, batch: Sequence[ops.Op], token: Token) -> Token:
        """``token``, or one that tells the followers first."""
        if not any(map(_touches, batch)):
            return token
        touched = [(number, op) for number, op in enumerate(batch) if _touches(op)]

        def told(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            for number, op in touched if answers is not None else ():
                if answers is not None and not isinstance(answers[number], Rejected):
                    self._changed(op)
            token(answers, error)

        return told

    def _changed(self, op: ops.Op) -> None:
        match op:
            case ops.RemoveSession(path=path):
                self._parts.drop(path, [part.number for part in self._parts.of(path)])
                self.following.removed(path, f"the session of {path} was removed")
            case ops.CommitTurn(path=path) | ops.Append(path=path) | ops.Import(path=path) | ops.Revive(path=path):
                self.following.grew(path)
            case ops.Own(path=path) | ops.BreakOff(path=path):
                self.following.grew(path)
            case ops.Accept(receiver=path) | ops.Fork(target=path):
                self.following.grew(path)


_CHANGES_A_LOG = frozenset({ops.Own, ops.Append, ops.BreakOff, ops.RemoveSession, ops.Revive, ops.Import, ops.Fork})


def _touches(op: ops.Op) -> bool:
    """It may change a log. Asked of every operation there is."""
    kind = type(op)
    if kind is ops.CommitTurn:
        return bool(op.entries)  # type: ignore[union-attr]  # cheaper than to ask mypy's way
    if kind is ops.Accept:
        return op.logged is not None  # type: ignore[union-attr]
    return kind in _CHANGES_A_LOG


def entries_of(commit: say.Commit) -> tuple[Entry, ...]:
    return tuple(Entry(one.type, one.body, commit.message, commit.attempt, one.broken) for one in commit.entries)
