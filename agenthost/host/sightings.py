"""What was seen of a turn before it was interrupted, or of a process before it was ended, until it is heard what came
of that: an attempt that failed, the end of the process, or nothing.

The rule it keeps: what was seen of one turn is told of that turn alone. A turn is known by its incarnation and its
number, one of durable mail by its message and attempt as well. Bounded in number, bytes and time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from agenthost.host.autopsy import Autopsy
from agenthost.host.awaiting import Awaiting

SEEN, SEEN_BYTES = 1000, 8 * 1024 * 1024
"""Incarnations, and all that was seen of them."""
OF_ONE = 8
"""Turns of one incarnation, the newest."""
LONGEST_S = 600.0
"""The journal may be away for a while, and says only then that an attempt has failed."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """``look`` numbers them. ``is_end``: the process was ended, or will be, because of it."""

    look: int
    autopsy: Autopsy
    is_end: bool
    size_bytes: int


class Sightings:
    """By the number of the incarnation."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        more = {} if clock is None else {"clock": clock}
        self._of: Awaiting[int, tuple[Sighting, ...]] = Awaiting(SEEN, SEEN_BYTES, LONGEST_S, **more)
        self._looks = 0

    def put(self, autopsy: Autopsy) -> int:
        """The number of the look. It takes the place of an earlier one at the same turn."""
        self._looks += 1
        one = Sighting(self._looks, autopsy, autopsy.is_end, len(msgspec.msgpack.encode(autopsy)))
        others = [each for each in self._held(autopsy.n) if each.autopsy.turn != autopsy.turn]
        self._keep(autopsy.n, (*others, one)[-OF_ONE:])
        return one.look

    def look(self, n: int, look: int) -> Sighting | None:
        return next((one for one in self._held(n) if one.look == look), None)

    def drop(self, n: int, look: int) -> None:
        self._keep(n, tuple(one for one in self._held(n) if one.look != look))

    def of_attempt(self, n: int, message: int, attempt: int) -> Sighting | None:
        wanted = (message, attempt)
        found = (one for one in self._held(n) if (one.autopsy.message, one.autopsy.attempt) == wanted)
        return next(found, None) if message else None

    def will_end(self, n: int, look: int) -> None:
        """The process is ended because of what became of that turn."""
        self._keep(n, tuple(replace(one, is_end=one.is_end or one.look == look) for one in self._held(n)))

    def take_all(self, n: int, cut_off: int) -> tuple[Sighting | None, list[Sighting]]:
        """The process has ended, in turn ``cut_off`` if that is not 0: what was seen belongs to its end; and that of
        other turns, which are over."""
        listed = self._held(n)
        self._of.pop(n)
        ends = [one for one in listed if one.is_end or (cut_off and one.autopsy.turn == cut_off)]
        own = ends[-1] if ends else None
        return own, [one for one in listed if one not in ends]

    def _held(self, n: int) -> tuple[Sighting, ...]:
        return self._of.get(n) or ()

    def _keep(self, n: int, found: tuple[Sighting, ...]) -> None:
        if found:
            self._of.put(n, found, sum(one.size_bytes for one in found))
        else:
            self._of.pop(n)
