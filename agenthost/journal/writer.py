"""Many requesters' operations into few commits.

Pure bookkeeping around a ``Store``: no thread, no socket, no clock. A loop hands in requests as they come
(``submit``), commits when it has nothing more to read or the batch is full (``try_commit``), and passes the answers on.
While a commit is under way requests gather for the next: the slower the disk, the larger the batch, and nobody waits
for a timer.

What the disk refuses is kept and tried again (``retry_at_ms``), so that a disk that is full for a minute costs a
minute; a request that has waited longer than its patience is answered with the error. A request that breaks the store
(a mistake of ours) is found by committing each alone, and is answered ``failed``; the others do not notice.

The rule it keeps: answers come after the commit, in the order in which requests were submitted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agenthost.errors import AgenthostError, JournalDamaged, JournalUnavailable, Overloaded
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Rejected
from agenthost.journal.store import Store

BATCH_OPS = 2000
BATCH_BYTES = 8 * 1024 * 1024
QUEUE_OPS = 100_000
QUEUE_BYTES = 256 * 1024 * 1024
PATIENCE_MS = 30_000
FOR_EVER_MS = 1 << 60
RETRY_MS = (50, 100, 250, 500, 1000)
"""Pauses after a batch that the disk refused; the last one repeats."""
OP_BYTES = 200
"""What an operation takes besides its bodies."""


@dataclass(frozen=True, slots=True)
class Request:
    """``token`` is the submitter's, given back with the answers."""

    token: Any
    batch: tuple[ops.Op, ...]
    give_up_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Either the answers, in the order of the request's operations, or why nothing of it was written."""

    token: Any
    answers: list[Answer] | None = None
    error: AgenthostError | None = None


class Writer:
    """One for a store; its loop's thread alone. ``commits`` and ``operations`` count what was written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: deque[Request] = deque()
        self._ops = 0
        self._bytes = 0
        self._refusals = 0
        self._notes = 0
        """Requests that are nothing but events of the core."""
        self.retry_at_ms = 0
        self.trouble: AgenthostError | None = None
        """Why the last batch was not written, None while all is well: for ``status``."""
        self.commits = 0
        self.operations = 0

    def submit(self, token: Any, batch: Sequence[ops.Op], now_ms: int, patience_ms: int = PATIENCE_MS) -> None:
        """Queue a request; it is written within one commit, with others. ``Overloaded`` if too much waits already and
        its patience is not without end; the error itself while the database is damaged."""
        if isinstance(self.trouble, JournalDamaged):
            raise self.trouble
        size_bytes = sum(map(_size, batch))
        is_full = self._ops + len(batch) > QUEUE_OPS or self._bytes + size_bytes > QUEUE_BYTES
        if self._queue and is_full and patience_ms < FOR_EVER_MS:
            raise Overloaded(
                f"cannot queue {len(batch)} operations for the journal: {self._ops} wait",
                hint="the disk is too slow or full; try again later",
            )
        request = Request(token, tuple(batch), now_ms + patience_ms, size_bytes)
        self._queue.append(request)
        self._notes += _is_note(request)
        self._ops += len(batch)
        self._bytes += size_bytes

    @property
    def waiting(self) -> int:
        """Operations that are not committed."""
        return self._ops

    @property
    def is_unhurried(self) -> bool:
        """Nobody waits for what is to be written: it is all events of the core."""
        return len(self._queue) == self._notes

    @property
    def full(self) -> bool:
        """There is enough for a batch: commit before reading more."""
        return self._ops >= BATCH_OPS or self._bytes >= BATCH_BYTES

    def try_commit(self, now_ms: int) -> list[Outcome]:
        """Commit one batch; empty if nothing waits, or it is not yet time to try again. Blocks as long as the disk."""
        if not self._queue or now_ms < self.retry_at_ms:
            return []
        requests = self._next_batch()
        try:
            outcomes = self._commit(requests, now_ms)
        except JournalUnavailable as error:
            pause_ms = RETRY_MS[min(self._refusals, len(RETRY_MS) - 1)]
            self._refusals += 1
            self.trouble, self.retry_at_ms = error, now_ms + pause_ms
            return self._give_up(error, now_ms)
        except JournalDamaged as error:
            self.trouble = error
            return self._give_up(error, None)
        for _ in outcomes:
            self._drop_first()
        self._refusals, self.retry_at_ms, self.trouble = 0, 0, None
        return outcomes

    def _next_batch(self) -> list[Request]:
        """At least one request, however large."""
        batch, count, size_bytes = list[Request](), 0, 0
        for request in self._queue:
            if batch and (count + len(request.batch) > BATCH_OPS or size_bytes + request.size_bytes > BATCH_BYTES):
                break
            batch.append(request)
            count += len(request.batch)
            size_bytes += request.size_bytes
        return batch

    def _commit(self, requests: list[Request], now_ms: int) -> list[Outcome]:
        try:
            answers = self._store.commit([op for request in requests for op in request.batch], now_ms)
        except (JournalUnavailable, JournalDamaged):
            raise
        except Exception as error:  # a mistake in the store: whoever met it must not take the others along
            return self._one_by_one(requests, now_ms, error)
        self.commits += 1
        self.operations += len(answers)
        outcomes, at = [], 0
        for request in requests:
            outcomes.append(Outcome(request.token, answers[at : at + len(request.batch)]))
            at += len(request.batch)
        return outcomes

    def _one_by_one(self, requests: list[Request], now_ms: int, error: Exception) -> list[Outcome]:
        """Nothing of the batch was written. The outcomes are those of as many as could be tried: should the store
        become unavailable in the midst, the rest is still queued, and is tried again."""
        if len(requests) == 1:
            why = f"cannot write this operation: {type(error).__name__}: {error}"
            return [Outcome(requests[0].token, [Rejected("failed", why) for _ in requests[0].batch])]
        outcomes = list[Outcome]()
        for request in requests:
            try:
                outcomes += self._commit([request], now_ms)
            except (JournalUnavailable, JournalDamaged):
                if not outcomes:
                    raise
                break
        return outcomes

    def _give_up(self, error: AgenthostError, now_ms: int | None) -> list[Outcome]:
        """Answer those whose patience is at an end; all of them without ``now_ms``."""
        kept, outcomes = deque[Request](), list[Outcome]()
        for request in self._queue:
            if now_ms is None or request.give_up_ms <= now_ms:
                self._notes -= _is_note(request)
                outcomes.append(Outcome(request.token, error=error))
                self._ops -= len(request.batch)
                self._bytes -= request.size_bytes
            else:
                kept.append(request)
        self._queue = kept
        return outcomes

    def _drop_first(self) -> None:
        request = self._queue.popleft()
        self._notes -= _is_note(request)
        self._ops -= len(request.batch)
        self._bytes -= request.size_bytes


def _is_note(request: Request) -> bool:
    return len(request.batch) == 1 and type(request.batch[0]) is ops.Note


def _size(op: ops.Op) -> int:
    match op:
        case ops.Accept():
            told = 0 if op.logged is None else len(op.logged.body)
            return OP_BYTES + len(op.body) + len(op.meta) + told
        case ops.CommitTurn():
            parts = sum(map(_size, op.sends)) + sum(len(one.body) for one in op.entries)
            return OP_BYTES + len(op.state or b"") + len(op.outcome) + parts
        case ops.Stash():
            return OP_BYTES + sum(len(one.body) for one in op.entries)
        case ops.Append() | ops.Import():
            state = op.state if isinstance(op, ops.Import) else None
            return OP_BYTES + len(state or b"") + sum(len(one.body) for one in op.entries)
        case ops.Note():
            return OP_BYTES + len(op.event) + len(op.chance)
        case ops.Crash():
            return OP_BYTES + len(op.details) + len(op.reason) + len(op.why)
        case ops.Picture():
            return OP_BYTES + len(op.state)
        case ops.Schedule():
            return OP_BYTES + len(op.body) + len(op.meta)
        case ops.Intend():
            return OP_BYTES + len(op.arguments)
        case ops.Conclude():
            return OP_BYTES + len(op.outcome)
    return OP_BYTES
