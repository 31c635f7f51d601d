"""What counts as getting on, of the turn in hand: one count for the process, for it has one agent and that one turn.

``ctx.progress()``, what is told by ``emit`` and ``stream``, an answer to a call, the output and the end of a tool, the
start and the end of a child each add one; waiting adds nothing. The sentry says the count with each beat, and the host
sees whether it has moved (``turn.progress`` in the config). Threads may add at the same time, and one of two may be
lost: that it moved is all that matters.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Steps:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


steps = Steps()


class Output(io.FileIO):
    """The near end of a tool's pipe, below an ``io.BufferedReader``: what is read from it counts."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        size_bytes = super().readinto(buffer)
        if size_bytes:
            steps.count += 1
        return size_bytes

    def readall(self) -> bytes:
        data = super().readall()
        if data:
            steps.count += 1
        return data
