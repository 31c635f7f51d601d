"""What an agent has asked of the host and is not yet told: each wish of ``protocol.wishes`` has exactly one outcome.

Pure book-keeping, and the frames of a Request; that it is repeated until answered is the control socket's business,
waiting that of the desk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agenthost.agent.bell import Bell
from agenthost.agent.progress import steps
from agenthost.errors import UsageError, from_wire
from agenthost.protocol import control
from agenthost.protocol.codec import encode
from agenthost.protocol.limits import PEER_MESSAGE_BYTES
from agenthost.protocol.wishes import Wish

LARGEST_BYTES = PEER_MESSAGE_BYTES - 1024
"""Of a Request; the rest is for what the control plane puts around it."""


class Asked:
    """``outcome`` is the result, or an ``AgenthostError``, once ``is_answered``. ``on_answer`` hears of it at once,
    then ``bell`` wakes who waits for it."""

    __slots__ = ("bell", "id", "is_answered", "on_answer", "outcome")

    def __init__(self, number: int, on_answer: Callable[[Any], None] | None) -> None:
        self.id, self.on_answer = number, on_answer
        self.bell = Bell()
        self.is_answered = False
        self.outcome: Any = None

    def answer(self, outcome: Any) -> None:
        self.outcome, self.is_answered = outcome, True
        steps.count += 1
        if self.on_answer is not None:
            self.on_answer(outcome)
        self.bell.ring()


class Requests:
    def __init__(self) -> None:
        self._open: dict[int, Asked] = {}

    def open(self, number: int, on_answer: Callable[[Any], None] | None = None) -> Asked:
        asked = self._open[number] = Asked(number, on_answer)
        return asked

    def drop(self, asked: Asked) -> None:
        """Nobody wants to know it any more."""
        self._open.pop(asked.id, None)

    def heard(self, message: control.Response | control.Refused) -> bool:
        """False if it answers nothing that is open here."""
        asked = self._open.pop(message.id, None)
        if asked is None:
            return False
        refused = isinstance(message, control.Refused)
        asked.answer(from_wire(message.code, message.why, message.hint) if refused else message.result)  # type: ignore[union-attr]
        return True


def request(number: int, wish: Wish) -> bytes:
    """The frame. ``UsageError`` if it is longer than the control plane takes, ``TypeError`` if it is no plain data."""
    arguments = {name: value for name, value in msgspec.structs.asdict(wish).items() if value is not None}
    frame = encode(control.Request(id=number, op=type(wish).__name__.lower(), args=arguments))
    if len(frame) > LARGEST_BYTES:
        raise UsageError(
            f"cannot ask the host: the request of {len(frame)} bytes is longer than {LARGEST_BYTES}",
            hint="put what is large into a file, or send it in a message",
        )
    return frame
