"""The writer of a journal in SQLite. See ``agenthost.journal.store.Store`` for what it promises."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from agenthost.errors import AgenthostError, JournalDamaged, UsageError
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Retained
from agenthost.journal.limits import too_large
from agenthost.journal.sqlite import opening, statements
from agenthost.journal.sqlite.boxes import Boxes
from agenthost.journal.sqlite.chronology import Chronology
from agenthost.journal.sqlite.crashes import Crashes
from agenthost.journal.sqlite.failures import meaning
from agenthost.journal.sqlite.keeping import Keeping
from agenthost.journal.sqlite.mail import Post
from agenthost.journal.sqlite.meters import Meters
from agenthost.journal.sqlite.reading import SqliteReader
from agenthost.journal.sqlite.repeating import Repeating
from agenthost.journal.sqlite.sessions import Sessions
from agenthost.journal.sqlite.turns import Turns
from agenthost.journal.sqlite.upkeep import Upkeep

_IN_ORDER = frozenset({ops.Own, ops.Accept, ops.Lease, ops.CommitTurn, ops.Note})
"""These say by themselves when they read what is late, or disturb (``Boxes``)."""

Handler = Callable[[Any, int], Answer]
T = TypeVar("T")


class SqliteStore:
    """``path`` is made if it is not there; its folder is not. ``JournalForeign``, ``JournalUnavailable`` and the like
    as ``agenthost.journal.store`` says; ``JournalUnavailable`` too if there is another writer."""

    def __init__(self, path: Path, durability: opening.Durability = "process") -> None:
        self._path = path
        self._damaged: JournalDamaged | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock = opening.lock(path)
        try:
            connection = self._connection = opening.writer(path, durability)
        except BaseException:
            os.close(self._lock)
            raise
        sql = statements.load()
        self._boxes = Boxes(connection, sql)
        self._chronology = Chronology(connection, sql)
        self._upkeep = Upkeep(connection, sql, self._boxes)
        sessions = Sessions(connection, sql, self._boxes)
        post = Post(connection, sql, self._boxes, sessions)
        turns = Turns(connection, sql, self._boxes, post, sessions)
        keeping, meters = Keeping(connection, sql), Meters(connection, sql)
        crashes = Crashes(connection, sql)
        self._handlers = _handlers(post, sessions, turns, self._chronology, keeping, meters, crashes)
        self._handlers[ops.Repeated] = Repeating(connection, sql, self._boxes).repeated

    def commit(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        handlers, boxes = self._handlers, self._boxes
        boxes.trim()

        def write() -> list[Answer]:
            answers = list[Answer]()
            for op in batch:
                kind = type(op)
                if kind not in _IN_ORDER:
                    boxes.disturb()
                answers.append(too_large(op) or handlers[kind](op, now_ms))
            return answers

        return self._within(write)

    def retain(self, policy: ops.Retention, now_ms: int, limit: int = 1000) -> Retained:
        retained = self._within(lambda: self._upkeep.retain(policy, now_ms, max(1, limit)))
        self._chronology.forget()  # a boot may be gone altogether
        return retained

    def vacuum(self, limit_bytes: int = 1 << 24) -> int:
        self._open()
        try:
            return self._upkeep.vacuum(limit_bytes)
        except sqlite3.Error as error:
            raise self._meant(error) from error

    def check(self) -> tuple[str, ...]:
        with self.reader() as reader:
            return reader.check()

    def reader(self) -> SqliteReader:
        return SqliteReader(self._path)

    def close(self) -> None:
        """What is in the WAL becomes part of the database."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---- one transaction

    def _within(self, write: Callable[[], T]) -> T:
        connection = self._open()
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = write()
            self._boxes.before_commit()
            connection.execute("COMMIT")
        except BaseException as error:  # whatever it was, nothing of the batch may stay
            self._roll_back(connection)
            if isinstance(error, sqlite3.Error):
                raise self._meant(error) from error
            raise
        return result

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        self._boxes.forget()
        self._chronology.forget()
        if connection.in_transaction:  # SQLite has ended it by itself after some errors
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # a transaction that cannot be ended was not committed: the next BEGIN says what is wrong

    def _meant(self, error: sqlite3.Error) -> AgenthostError | sqlite3.Error:
        meant = meaning(error, str(self._path))
        if isinstance(meant, JournalDamaged):
            self._damaged = meant
        return meant or error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise UsageError(f"cannot write the journal {self._path}: it was closed", hint="open it again")
        if self._damaged is not None:
            raise self._damaged
        return self._connection


def _handlers(
    post: Post,
    sessions: Sessions,
    turns: Turns,
    chronology: Chronology,
    keeping: Keeping,
    meters: Meters,
    crashes: Crashes,
) -> dict[type[ops.Op], Handler]:
    return {
        ops.Own: post.own,
        ops.Accept: post.accept,
        ops.Lease: post.lease,
        ops.Extend: post.extend,
        ops.CommitTurn: turns.commit,
        ops.Release: post.settle,
        ops.BackOff: post.settle,
        ops.Park: post.settle,
        ops.DeadLetter: post.settle,
        ops.Move: post.settle,
        ops.Resume: meters.granting(post.resume),
        ops.Requeue: post.requeue,
        ops.Drop: post.drop,
        ops.Strand: post.strand,
        ops.Ripen: post.ripen,
        ops.Cancel: post.cancel,
        ops.Shift: post.shift,
        ops.Skip: post.skip,
        ops.Schedule: post.schedule,
        ops.Unschedule: post.unschedule,
        ops.Fire: post.fire,
        ops.Intend: sessions.intend,
        ops.Conclude: sessions.conclude,
        ops.Append: sessions.append,
        ops.Stash: sessions.stash,
        ops.BreakOff: sessions.break_off,
        ops.Checkpoint: sessions.checkpoint,
        ops.RollBack: sessions.roll_back,
        ops.EndSession: sessions.end,
        ops.RemoveSession: sessions.remove,
        ops.Revive: sessions.revive,
        ops.Fork: sessions.fork,
        ops.Import: sessions.import_,
        ops.Keep: keeping.keep,
        ops.Unkeep: keeping.unkeep,
        ops.Charge: meters.charge,
        ops.Counted: meters.counted,
        ops.Grant: meters.grant,
        ops.Crash: crashes.note,
        ops.Note: chronology.note,
        ops.Picture: chronology.picture,
        ops.Missed: chronology.missed,
    }
