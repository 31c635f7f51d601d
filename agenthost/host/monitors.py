"""Which agent wants to hear of whose end: Down, at least once, whatever is lost on the way.

Unlike who has merely looked somebody up (``lookups``), who monitors is never forgotten before it ends itself: it may
compute for an hour, and hears of it then. What it has been told lately is kept as well, for a Monitor that is asked
again because the answer was lost: the Down may have come before the answer, to somebody who could not know it yet.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from agenthost.core.reason import Reason
from agenthost.errors import Overloaded
from agenthost.host.incarnation import Incarnation
from agenthost.host.repeating import Repeating
from agenthost.protocol.codec import encode
from agenthost.protocol.control import Down

UNSEEN = 10_000
"""Downs that one agent has not answered; then it may monitor nobody else."""
REMEMBERED = 256
"""Downs that one agent has answered."""


@dataclass(slots=True)
class _Hearer:
    who: Incarnation
    of: dict[int, dict[str, None]] = field(default_factory=dict)
    """Numbers of the incarnations it monitors, to the names by which it knows each: its own, or of one that slept."""
    sleeping: set[str] = field(default_factory=set)
    """Paths that sleep, of which it monitors an incarnation."""
    unseen: dict[int, str] = field(default_factory=dict)
    """Number of a Down to whose end it tells."""
    told: OrderedDict[str, tuple[int, bytes]] = field(default_factory=OrderedDict)
    """Incarnation that has ended to (number, frame) of the Down."""


class Monitors:
    """``send(peer, frame)`` says it once."""

    def __init__(self, send: Callable[[bytes, bytes], None]) -> None:
        self.ids = itertools.count(1)
        """Numbers for Downs, whoever they are for: Seen says no more than the number."""
        self._repeating = Repeating(send)
        self._hearers: dict[int, _Hearer] = {}
        self._of: dict[int, dict[int, None]] = {}
        """An incarnation's number to those of who monitors it."""
        self._sleeping: dict[str, dict[int, dict[str, None]]] = {}
        """Who monitors what sleeps at a path, by the names that are known."""

    def check(self, who: Incarnation, path: str) -> None:
        """``Overloaded``: it does not answer what it is told, and may monitor nobody else."""
        hearer = self._hearers.get(who.n)
        if hearer is not None and len(hearer.unseen) >= UNSEEN:
            raise Overloaded(f"cannot monitor {path}: {UNSEEN} Downs are not answered with Seen yet")

    def begin(self, who: Incarnation, whom: Incarnation) -> None:
        hearer = self._hearers.setdefault(who.n, _Hearer(who))
        hearer.of.setdefault(whom.n, {})[whom.name] = None
        self._of.setdefault(whom.n, {})[who.n] = None

    def forget(self, who: Incarnation, incarnation: str) -> None:
        """What was told is said on until it is seen: calls to who was looked up as well may wait for it alone."""
        hearer = self._hearers.get(who.n)
        if hearer is None:
            return
        for n in [n for n, names in hearer.of.items() if incarnation in names]:
            names = hearer.of[n]
            del names[incarnation]
            if not names:
                del hearer.of[n]
                self._of.get(n, {}).pop(who.n, None)
        for path in tuple(hearer.sleeping):
            self._sleeping[path][who.n].pop(incarnation, None)

    def ended(self, incarnation: Incarnation, reason: Reason) -> set[bytes]:
        """Tell all who monitor it, and forget what it monitors itself. The peers that were told. Sleep is no end: they
        hear of the end of the incarnation that is woken, under the name that they know."""
        self._gone(incarnation)
        peers: set[bytes] = set()
        for n in self._of.pop(incarnation.n, ()):
            hearer = self._hearers[n]
            names = hearer.of.pop(incarnation.n)
            if reason.kind == "asleep":
                self._sleeping.setdefault(incarnation.path, {}).setdefault(n, {}).update(names)
                hearer.sleeping.add(incarnation.path)
                continue
            for name in names:
                self._tell(hearer, msgspec.structs.replace(incarnation.down(next(self.ids), reason), inc=name))
            if hearer.who.peer is not None:
                peers.add(hearer.who.peer)
        return peers

    def born(self, incarnation: Incarnation) -> None:
        """It is the one that was woken, perhaps."""
        for n, names in self._sleeping.pop(incarnation.path, {}).items():
            hearer = self._hearers[n]
            hearer.sleeping.discard(incarnation.path)
            if names:
                hearer.of.setdefault(incarnation.n, {}).update(names)
                self._of.setdefault(incarnation.n, {})[n] = None

    def not_woken(self, path: str, why: str) -> None:
        """It was stopped while it slept."""
        for n, names in self._sleeping.pop(path, {}).items():
            hearer = self._hearers[n]
            hearer.sleeping.discard(path)
            for name in names:
                self._tell(hearer, Down(id=next(self.ids), path=path, inc=name, reason=why, well=True))

    def _tell(self, hearer: _Hearer, down: Down) -> None:
        hearer.told[down.inc] = (down.id, encode(down))
        self._say(hearer, down.inc)

    def again(self, who: Incarnation, incarnation: str) -> None:
        """It has asked again for what it may have been told already."""
        hearer = self._hearers.get(who.n)
        if hearer is not None and incarnation in hearer.told:
            self._say(hearer, incarnation)

    def seen(self, who: Incarnation, id: int) -> None:
        self._repeating.settled((who.n, id))
        hearer = self._hearers.get(who.n)
        if hearer is not None and hearer.unseen.pop(id, None) is not None:
            while len(hearer.told) > REMEMBERED + len(hearer.unseen):
                oldest = next((name for name, (one, _) in hearer.told.items() if one not in hearer.unseen), None)
                if oldest is None:
                    break
                del hearer.told[oldest]

    def close(self) -> None:
        self._repeating.close()

    def _say(self, hearer: _Hearer, incarnation: str) -> None:
        number, frame = hearer.told[incarnation]
        hearer.unseen[number] = incarnation
        assert hearer.who.peer is not None  # it has asked
        self._repeating.say((hearer.who.n, number), hearer.who.peer, frame)

    def _gone(self, incarnation: Incarnation) -> None:
        hearer = self._hearers.pop(incarnation.n, None)
        if hearer is None:
            return
        for n in hearer.of:
            self._of.get(n, {}).pop(incarnation.n, None)
        for path in hearer.sleeping:
            of = self._sleeping[path]
            del of[incarnation.n]
            if not of:
                del self._sleeping[path]
        for number in hearer.unseen:
            self._repeating.settled((incarnation.n, number))
