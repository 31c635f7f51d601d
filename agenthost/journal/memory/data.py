"""Everything a journal in memory holds: plain dicts of frozen values, replaced as they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from agenthost.core.budget.amounts import Amounts
from agenthost.journal.answers import Rejected
from agenthost.journal.values import (
    Crash,
    Cron,
    Entry,
    Failure,
    Gap,
    Granted,
    Incarnation,
    Intent,
    Kept,
    Logged,
    Mail,
    Noted,
    Session,
    Snapshot,
    Spending,
    Stashed,
    State,
    Tombstone,
)


@dataclass(slots=True)
class Conversation:
    """A session with what belongs to it. ``checkpoints``: (when it was made, as a number; the state)."""

    session: Session
    state: bytes | None = None
    log: dict[int, Logged] = field(default_factory=dict)
    checkpoints: dict[str, tuple[int, State, bool]] = field(default_factory=dict)


@dataclass(slots=True)
class Data:
    mail: dict[int, Mail] = field(default_factory=dict)
    boxes: dict[str, set[int]] = field(default_factory=dict)
    """Open messages of each receiver."""
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    failures: dict[int, list[Failure]] = field(default_factory=dict)
    crons: dict[str, Cron] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    """Where a message stands among the first of all lanes, if not at its place: one that comes again."""
    by_clock: set[int] = field(default_factory=set)
    """Delayed messages that are due at a time of the clock."""
    owners: dict[str, Incarnation] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    """The last turn of each owner that was written by its number."""
    stash: dict[str, Stashed] = field(default_factory=dict)
    sessions: dict[str, Conversation] = field(default_factory=dict)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    intents: list[Intent] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)
    repeats: dict[str, bytes] = field(default_factory=dict)
    meters: dict[str, Amounts] = field(default_factory=dict)
    spending: dict[str, Spending] = field(default_factory=dict)
    spent: dict[int, Amounts] = field(default_factory=dict)
    grants: list[Granted] = field(default_factory=list)
    counted: dict[int, int] = field(default_factory=dict)
    crashes: dict[int, Crash] = field(default_factory=dict)
    crash_count: int = 0
    core: dict[int, list[Noted | Snapshot | Gap]] = field(default_factory=dict)
    counter: int = 0

    def grow(self, path: str, entries: Sequence[Entry], now_ms: int, last_seq: int = 0) -> int:
        """The log of that session, which begins after ``last_seq``. The number of its last entry."""
        if path not in self.sessions:
            self.sessions[path] = Conversation(Session(path, now_ms, now_ms, last_seq + 1, last_seq, 0, 0))
        held = self.sessions[path]
        for seq, one in enumerate(entries, held.session.last_seq + 1):
            held.log[seq] = Logged(path, seq, now_ms, one.type, one.body, one.message, one.attempt, one.broken)
        last_seq = held.session.last_seq + len(entries)
        held.session = replace(held.session, changed_ms=now_ms, last_seq=last_seq, ended_ms=0)
        return last_seq

    def break_off(self, path: str, now_ms: int) -> None:
        """Nobody will say any more of what is stashed."""
        stashed = self.stash.pop(path, None)
        if stashed is not None:
            self.grow(path, [replace(one, broken=True) for one in stashed.entries], now_ms)

    def next_number(self) -> int:
        self.counter += 1
        return self.counter

    def fence(self, path: str, incarnation: Incarnation) -> Rejected | None:
        owner = self.owners.get(path)
        if owner == incarnation:
            return None
        return Rejected("stale", f"cannot write for {path} as {incarnation}: {owner or 'nobody'} owns it", path)

    def gone(self, path: str) -> Rejected | None:
        return Rejected("removed", f"cannot use {path}: it was removed", path) if path in self.tombstones else None

    def open_mail(self, receiver: str) -> list[Mail]:
        """By id."""
        return [self.mail[number] for number in sorted(self.boxes.get(receiver, ()))]

    def held(self, receiver: str) -> Mail | None:
        return next((one for one in self.open_mail(receiver) if one.status == "leased"), None)

    def last_number(self, boot: int) -> int:
        kept = self.core.get(boot)
        if not kept:
            return 0
        return kept[-1].last if isinstance(kept[-1], Gap) else kept[-1].number
