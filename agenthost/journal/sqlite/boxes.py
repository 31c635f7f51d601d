"""What the one writer remembers of the paths it works for, so that a durable message costs few statements.

True as long as every write goes through here: after a batch that was rolled back everything is forgotten and read anew.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

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
    last_done: int = 0
    """The message that its owner has finished last; 0 if that is not known."""
    late_lease_ms: int = 0
    """Until when ``leased`` is leased, while that is not in its row yet."""
    late_state: tuple[Any, ...] | None = None
    """Values of ``session_changed`` that are not in the session's row yet."""
    coming: list[tuple[Any, ...]] = field(default_factory=list)
    """Rows behind ``leased`` in its lane, the next one last, that will be leased one after the other; as of the
    disturbance ``coming_at``."""
    coming_at: int = 0

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
        self._lease, self._session = sql["lease"], sql["session_changed"]
        self._known: dict[str, Box] = {}
        self._late: list[Box] = []
        self._counter = self._stored = -1
        self.disturbances = 0
        """How often mail was changed in another way than by being accepted, leased or finished in its order."""

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
        self._late.clear()
        self._counter = self._stored = -1

    @property
    def mark(self) -> int:
        """The last number that was given."""
        if self._counter < 0:
            (self._counter,) = self._connection.execute("SELECT value FROM counter").fetchone()
            self._stored = self._counter
        return self._counter

    def rewind(self, mark: int) -> None:
        """An operation was rolled back; those before it in the batch were not, and were settled before it."""
        self._known.clear()
        self._late.clear()
        self._counter = mark

    def forget_one(self, path: str) -> None:
        self._known.pop(path, None)

    def next_number(self) -> int:
        self._counter = self.mark + 1
        return self._counter

    def disturb(self) -> None:
        """What was looked at before may not be so any more."""
        self.settle()
        self.disturbances += 1

    def settle(self) -> None:
        """Write what is late, before anybody reads it from the database."""
        for box in self._late:
            if box.late_lease_ms and box.lease is not None:
                _, boot, n, _ = box.lease
                self._connection.execute(self._lease, (boot, n, box.late_lease_ms, box.leased))
            if box.late_state is not None:
                self._connection.execute(self._session, box.late_state)
            box.late_lease_ms, box.late_state = 0, None
        self._late.clear()

    def late(self, box: Box) -> None:
        """Something of it is to be written before the end of the batch. Of several turns of one agent in a batch that
        is done once."""
        self._late.append(box)

    def before_commit(self) -> None:
        """What is late, and the numbers that were given, become part of the batch."""
        self.settle()
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
