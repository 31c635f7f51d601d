"""Everything a journal in memory holds: plain dicts of frozen values, replaced as they change."""

from __future__ import annotations

from dataclasses import dataclass, field

from agenthost.journal.answers import Rejected
from agenthost.journal.values import (
    Cron,
    Failure,
    Gap,
    Incarnation,
    Intent,
    Logged,
    Mail,
    Noted,
    Session,
    Snapshot,
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
    owners: dict[str, Incarnation] = field(default_factory=dict)
    sessions: dict[str, Conversation] = field(default_factory=dict)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    intents: list[Intent] = field(default_factory=list)
    core: dict[int, list[Noted | Snapshot | Gap]] = field(default_factory=dict)
    counter: int = 0

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
