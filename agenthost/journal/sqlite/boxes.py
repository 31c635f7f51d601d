"""What the one writer remembers of the paths it works for, so that a durable message costs few statements.

True as long as every write goes through here: after a batch that was rolled back everything is forgotten and read anew.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from agenthost.journal.answers import Rejected
from agenthost.journal.values import Incarnation

REMEMBERED = 50_000
"""Paths; about 20 MB. Then all are forgotten: a million sleeping sessions take no room here."""


@dataclass(slots=True)
class Box:
    """``leased`` is the message that is leased to it, 0 for none; ``lease`` its attempt, boot, n and lane.
    ``turn``: see ``values.Owner``. ``session`` is the number of its session's row, 0 for none."""

    path: str
    open: int
    leased: int
    lease: tuple[int, int, int, str] | None
    owner: Incarnation | None
    turn: int
    removed: bool
    intents: bool
    stashed: bool
    session: int
    last_seq: int

    def fence(self, incarnation: Incarnation, what: str) -> Rejected | None:
        if self.owner == incarnation:
            return None
        holder = "nobody owns it" if self.owner is None else f"{self.owner[0]}.{self.owner[1]} owns it"
        who = f"{incarnation[0]}.{incarnation[1]}"
        return Rejected("stale", f"cannot {what} {self.path} as incarnation {who}: {holder}", self.path)

    def gone(self, what: str) -> Rejected | None:
        return Rejected("removed", f"cannot {what} {self.path}: it was removed", self.path) if self.removed else None


class Boxes:
    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str]) -> None:
        self._connection = connection
        self._select = sql["box"]
        self._known: dict[str, Box] = {}
        self._counter = self._stored = -1

    def of(self, path: str) -> Box:
        box = self._known.get(path)
        if box is None:
            box = self._known[path] = self._load(path)
        return box

    def trim(self) -> None:
        """Between batches alone: an operation may hold a box."""
        if len(self._known) > REMEMBERED:
            self._known.clear()

    def forget(self) -> None:
        """The batch was rolled back."""
        self._known.clear()
        self._counter = self._stored = -1

    @property
    def mark(self) -> int:
        """The last number that was given."""
        if self._counter < 0:
            (self._counter,) = self._connection.execute("SELECT value FROM counter").fetchone()
            self._stored = self._counter
        return self._counter

    def rewind(self, mark: int) -> None:
        """An operation was rolled back; those before it in the batch were not."""
        self._known.clear()
        self._counter = mark

    def forget_one(self, path: str) -> None:
        self._known.pop(path, None)

    def next_number(self) -> int:
        self._counter = self.mark + 1
        return self._counter

    def before_commit(self) -> None:
        """The numbers that were given become part of the batch."""
        if self._counter != self._stored:
            self._connection.execute("UPDATE counter SET value = ?", (self._counter,))
            self._stored = self._counter

    def _load(self, path: str) -> Box:
        row = self._connection.execute(self._select, {"path": path}).fetchone()
        opened, removed, intents, stashed, boot, n, turn, session, last_seq, leased, *lease = row
        return Box(
            path,
            opened,
            leased or 0,
            tuple(lease) if leased else None,
            None if boot is None else (boot, n),
            turn,
            bool(removed),
            bool(intents),
            bool(stashed),
            session or 0,
            last_seq or 0,
        )
