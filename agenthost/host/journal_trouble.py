"""Why nothing durable can be done now: the journal has ended, its link has broken, it has said so itself, or it has
said nothing for too long. What is told to people when that begins and when it is over.

The rule it keeps: it is told when it changes, once; and who asks is told what is so now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agenthost.host.journal_link import JournalLink

STALL_S = 5.0
"""A journal that has said nothing for so long is stalled."""


class JournalTrouble:
    """``record(name, path, **fields)``."""

    def __init__(self, link: JournalLink, record: Callable[..., None]) -> None:
        self._link, self._record = link, record
        self._why = "it has not said yet that its database is open"
        self._is_open = False
        self._stall: asyncio.TimerHandle | None = None
        self._is_stalled = False

    @property
    def why(self) -> str:
        """Empty while all is well."""
        silent_s = self._link.silent_s
        return self._why or (f"it has not answered for {silent_s:.0f} s" if silent_s >= STALL_S else "")

    @property
    def is_over(self) -> bool:
        """Its database is open, and it answers."""
        return self._is_open and not self.why

    def close(self) -> None:
        if self._stall is not None:
            self._stall.cancel()

    def connected(self) -> None:
        self._is_open = False

    def ended(self) -> None:
        self._why = "the journal's process has ended"

    def lost(self, why: str) -> None:
        self._why = why
        self._record("journal.lost", "/.system/journal", why=why)

    def opened(self) -> None:
        self._is_open = True
        self._why = ""

    def said(self, why: str) -> None:
        """By the journal; "" that it is over."""
        if why != self._why:
            self._why = why
            self._tell(why)

    def heard(self) -> None:
        """It has said something."""
        if self._is_stalled:
            self._is_stalled = False
            self._tell(self._why)

    def expect(self) -> None:
        """Something was said to it."""
        if self._stall is None:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._look)

    def _look(self) -> None:
        """Some time after something was said to it."""
        self._stall = None
        if self._link.silent_s >= STALL_S and not self._is_stalled:
            self._is_stalled = True
            self._tell(self.why)
        if self._link.silent_s:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._look)

    def _tell(self, why: str) -> None:
        self._record("journal.trouble" if why else "journal.well", "/.system/journal", **({"why": why} if why else {}))
