"""Who wants to speak to whom: tickets, addresses, and who is to hear of an end.

Pure book-keeping; ``dialogs`` speaks. A look-up is answered when the callee has said Expecting; whoever was answered
hears Down when that incarnation ends.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass

TICKET_BYTES = 16
REMEMBERED = 8192
"""Answered look-ups that can be answered again without asking the callee, if the answer was lost."""


HEARERS = 10_000
"""Per callee, the latest: clients come and go without a word, and must not be remembered for ever."""


@dataclass(frozen=True, slots=True)
class Asking:
    """An open look-up."""

    peer: bytes
    id: int
    callee: int
    """Incarnation number."""
    ticket: bytes
    uid: int = 0
    """Whose process asks."""
    caller: str = ""
    caller_inc: str = ""


class Lookups:
    def __init__(self) -> None:
        self._open: dict[bytes, Asking] = {}
        self._by_question: dict[tuple[bytes, int], Asking] = {}
        self._answers: OrderedDict[tuple[bytes, int], tuple[int, bytes]] = OrderedDict()
        self._hearers: dict[int, OrderedDict[bytes, None]] = {}
        self._heard_by: dict[bytes, set[int]] = {}
        """The same from the other side."""

    def begin(
        self,
        peer: bytes,
        id: int,
        callee: int,
        uid: int,
        caller: str = "",
        caller_inc: str = "",
        ticket: bytes = b"",
    ) -> Asking:
        asking = Asking(peer, id, callee, ticket or os.urandom(TICKET_BYTES), uid, caller, caller_inc)
        self._open[asking.ticket] = self._by_question[peer, id] = asking
        return asking

    def is_open(self, peer: bytes, id: int) -> bool:
        return (peer, id) in self._by_question

    def answered_with(self, peer: bytes, id: int) -> tuple[int, bytes] | None:
        """The callee's number and the frame, if this was answered lately."""
        return self._answers.get((peer, id))

    def granted(self, ticket: bytes, callee: int) -> Asking | None:
        """``callee`` expects ``ticket``: None if that was not open, or is not its to grant."""
        asking = self._open.get(ticket)
        if asking is None or asking.callee != callee:
            return None
        self._drop(asking)
        hearers = self._hearers.setdefault(callee, OrderedDict())
        hearers[asking.peer] = None
        self._heard_by.setdefault(asking.peer, set()).add(callee)
        hearers.move_to_end(asking.peer)
        while len(hearers) > HEARERS:
            self._unhear(hearers.popitem(last=False)[0], callee)
        return asking

    def answered(self, asking: Asking, frame: bytes) -> None:
        self._answers[asking.peer, asking.id] = (asking.callee, frame)
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def ended(self, callee: int) -> tuple[list[Asking], list[bytes]]:
        """The open look-ups of an incarnation that has ended, and who is to hear of it."""
        left = [asking for asking in self._open.values() if asking.callee == callee]
        for asking in left:
            self._drop(asking)
        hearers = list(self._hearers.pop(callee, ()))
        for peer in hearers:
            self._unhear(peer, callee)
        return left, hearers

    def forget(self, peer: bytes) -> None:
        """``peer`` has gone for good."""
        for asking in [asking for asking in self._open.values() if asking.peer == peer]:
            self._drop(asking)
        for callee in self._heard_by.pop(peer, ()):
            self._hearers.get(callee, OrderedDict()).pop(peer, None)

    def _unhear(self, peer: bytes, callee: int) -> None:
        heard = self._heard_by.get(peer)
        if heard is not None:
            heard.discard(callee)
            if not heard:
                del self._heard_by[peer]

    def _drop(self, asking: Asking) -> None:
        del self._open[asking.ticket]
        self._by_question.pop((asking.peer, asking.id), None)
