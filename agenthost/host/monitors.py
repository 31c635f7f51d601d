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

from agenthost.core.reason import Reason
from agenthost.errors import Overloaded
from agenthost.host.incarnation import Incarnation
from agenthost.host.repeating import Repeating
from agenthost.protocol.codec import encode

UNSEEN = 10_000
"""Downs that one agent has not answered; then it may monitor nobody else."""
REMEMBERED = 256
"""Downs that one agent has answered."""


@dataclass(slots=True)
class _Hearer:
    who: Incarnation
    of: set[int] = field(default_factory=set)
    """Numbers of the incarnations it monitors."""
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

    def check(self, who: Incarnation, path: str) -> None:
        """``Overloaded``: it does not answer what it is told, and may monitor nobody else."""
        hearer = self._hearers.get(who.n)
        if hearer is not None and len(hearer.unseen) >= UNSEEN:
            raise Overloaded(f"cannot monitor {path}: {UNSEEN} Downs are not answered with Seen yet")

    def begin(self, who: Incarnation, whom: Incarnation) -> None:
        hearer = self._hearers.setdefault(who.n, _Hearer(who))
        hearer.of.add(whom.n)
        self._of.setdefault(whom.n, {})[who.n] = None

    def forget(self, who: Incarnation, incarnation: str) -> None:
        """What was told is said on until it is seen: calls to who was looked up as well may wait for it alone."""
        hearer = self._hearers.get(who.n)
        if hearer is None:
            return
        number = incarnation.rpartition(".")[2]
        n = int(number) if number.isdecimal() and len(number) < 20 else 0
        hearer.of.discard(n)
        self._of.get(n, {}).pop(who.n, None)

    def ended(self, incarnation: Incarnation, reason: Reason) -> set[bytes]:
        """Tell all who monitor it, and forget what it monitors itself. The peers that were told."""
        self._gone(incarnation)
        peers: set[bytes] = set()
        for n in self._of.pop(incarnation.n, ()):
            hearer = self._hearers[n]
            hearer.of.discard(incarnation.n)
            down = incarnation.down(next(self.ids), reason)
            hearer.told[incarnation.name] = (down.id, encode(down))
            self._say(hearer, incarnation.name)
            if hearer.who.peer is not None:
                peers.add(hearer.who.peer)
        return peers

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
        for number in hearer.unseen:
            self._repeating.settled((incarnation.n, number))
