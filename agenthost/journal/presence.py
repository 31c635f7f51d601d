"""Who looks on at a session under a name, and who of them may speak in it: the writing seat.

At most one has the seat. While nobody has it anyone may speak. It ends with its holder's connection: what somebody
holds who is not there would keep the others from speaking.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from agenthost.errors import Busy

NAMES = 100
"""So many are named; who looks on beyond that is there all the same."""
_SEAT_BYTES = 12


class Onlooker(Protocol):
    """``name`` is what others see, ``who`` what the host knows of him."""

    @property
    def name(self) -> str: ...

    @property
    def who(self) -> str: ...


class Presence:
    """Of one session. ``version`` counts its changes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._here: dict[Onlooker, None] = {}
        self.holder: Onlooker | None = None
        self.seat = ""
        """A secret of the holder's, which goes with what he says."""
        self.version = 1

    @property
    def names(self) -> list[str]:
        return [one.name for one in list(self._here)[:NAMES]]

    @property
    def writer(self) -> str:
        return "" if self.holder is None else self.holder.name or self.holder.who

    def came(self, one: Onlooker) -> None:
        if one.name:
            self._here[one] = None
            self.version += 1

    def went(self, one: Onlooker) -> None:
        if one in self._here:
            del self._here[one]
            self.version += 1
        if self.holder is one:
            self.give_back(one)

    def take(self, one: Onlooker, *, by_force: bool) -> Onlooker | None:
        """The seat is his. Who had it before; ``Busy`` if somebody has it and it is not taken from him."""
        before = self.holder
        if before is one:
            return None
        if before is not None and not by_force:
            raise Busy(
                f"cannot write in {self._path}: {self.writer} has the writing seat", hint="take it over, or wait"
            )
        self.holder, self.seat = one, secrets.token_urlsafe(_SEAT_BYTES)
        self.version += 1
        return before

    def give_back(self, one: Onlooker) -> bool:
        """False if he has not got it."""
        if self.holder is not one:
            return False
        self.holder, self.seat = None, ""
        self.version += 1
        return True

    def check(self, seat: str) -> None:
        """``Busy`` if somebody else than the holder of ``seat`` has the writing seat."""
        if self.holder is not None and not secrets.compare_digest(self.seat.encode(), seat.encode()):
            raise Busy(
                f"cannot speak in {self._path}: {self.writer} has the writing seat", hint="take it over, or wait"
            )
