"""One incarnation at its door, as the journal knows it: what it has asked, what it has not been told yet."""

from __future__ import annotations

from collections import deque

from agenthost.journal.values import Incarnation
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say

OPEN_REQUESTS = 1000
"""Of one door; more are left unread."""


class Party:
    """One incarnation at its door. ``out`` is what it has not been sent yet, ``open`` its requests under way."""

    __slots__ = (
        "hinted", "inc", "is_lost", "is_outdated", "knows_repeats", "open", "out", "owned", "path", "queue",
        "since_ms", "terms", "wants",
    )  # fmt: skip

    def __init__(self, path: str, inc: Incarnation, terms: Terms) -> None:
        self.path, self.inc, self.terms = path, inc, terms
        self.owned = self.hinted = self.is_lost = self.is_outdated = False
        self.knows_repeats = False
        """It was told what the path repeats, or tells that itself."""
        self.queue: deque[say.Request | say.Spent] = deque()
        self.out: list[say.FromJournal] = []
        self.open = 0
        self.wants: set[str] = set()
        """Receivers of the first in the queue that the host is asked about."""
        self.since_ms = 0
        """When the queue began to wait for the disk."""

    def keep(self) -> None:
        """What it has in hand counts after all."""
        self.is_outdated = False

    @property
    def is_full(self) -> bool:
        return len(self.queue) + self.open >= OPEN_REQUESTS
