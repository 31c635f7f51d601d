"""The session log of an agent in a test without a host: what its turns have told, as readers of it would see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agenthost.agent.telling import Telling
from agenthost.protocol import mail
from agenthost.protocol.codec import pack_body, unpack_body


class Entry(msgspec.Struct, frozen=True):
    """``broken``: it was told by a turn that failed, or its block was left by an exception."""

    type: str
    fields: dict[str, Any]
    broken: bool = False


class SessionLog:
    """Stands for the journal as far as ``Telling`` needs one: it has no door, so nothing is said before its time."""

    sock = None
    backlog_bytes = 0
    in_hand: mail.Mail | None = None
    on_unsaid: Callable[[], None] | None = None

    def __init__(self) -> None:
        self.prefaces: list[Callable[[], bytes]] = []
        self.entries: list[Entry] = []
        self.in_session = False
        """The message in hand was said there."""
        self.reply: Any = None
        self.telling = Telling(self)  # type: ignore[arg-type]  # as much of a Durable as it needs

    def open(self) -> SessionLog:
        return self

    def tell(self, frames: bytes) -> None:
        """Nobody looks on."""

    def said(self, body: Any, sender: str) -> None:
        self.entries.append(Entry("message", {"body": unpack_body(pack_body(body)), "sender": sender}))

    def end_turn(self, *, well: bool) -> None:
        for one in self.telling.entries():
            self.entries.append(Entry(one.type, unpack_body(one.body), one.broken or not well))
        if self.reply is not None and well:
            self.entries.append(Entry("reply", {"body": unpack_body(pack_body(self.reply))}))
        self.reply = None
        self.telling.committed()
