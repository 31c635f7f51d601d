"""One thing that a turn tells: an entry of the log to be, perhaps with a text that grows; and what may be told."""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.errors import UsageError
from agenthost.protocol import mail
from agenthost.protocol.codec import pack_body
from agenthost.protocol.frames import framed

SAID_BY_US = "message"
"""The type of what is said to the agent; nobody else may use it."""
TYPE_BYTES = 1024

_encode = msgspec.msgpack.Encoder().encode


class Part:
    """``length`` is that of its text, -1 without one; ``said`` is how much of it was told."""

    __slots__ = (
        "attempt", "fields", "has_new_fields", "is_broken", "is_open", "length", "message", "number", "pieces", "said",
        "size_bytes", "type", "values",
    )  # fmt: skip

    def __init__(self, number: int, of: mail.Mail | None, type: str, values: dict[str, Any], *, grows: bool) -> None:
        self.number, self.type, self.values = number, type, values
        self.message, self.attempt = (of.message, of.attempt) if of is not None else (0, 0)
        self.fields = packed_fields(values, type)
        self.size_bytes = len(self.fields)
        self.has_new_fields = True
        self.pieces: list[str] = []
        self.length, self.said = (0 if grows else -1), 0
        self.is_open, self.is_broken = grows, False

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def delta(self, *, whole: bool = False) -> bytes:
        """A frame: what was not said, or all of it."""
        fields = self.fields if whole or self.has_new_fields else b""
        start = 0 if whole else self.said
        text = self._since(start) if self.length > start else ""
        at = start if self.length >= 0 else -1
        told = mail.Delta(self.number, self.message, self.attempt, self.type, fields, at, text)
        self.said, self.has_new_fields = max(self.length, 0), False
        return framed(_encode(told))

    def _since(self, start: int) -> str:
        found, at = list[str](), self.length
        for piece in reversed(self.pieces):
            if at <= start:
                break
            at -= len(piece)
            found.append(piece)
        return "".join(reversed(found))[start - at :]

    def entry(self) -> mail.Entry:
        if self.length < 0:
            return mail.Entry(self.type, self.fields, self.number)
        body = pack_body({**self.values, "text": self.text})
        return mail.Entry(self.type, body, self.number, self.is_broken or self.is_open)


def check_type(type: str) -> None:
    if not 0 < len(type) <= TYPE_BYTES // 4:
        raise UsageError(f"cannot tell of {type!r}: a type is a text of 1 to {TYPE_BYTES // 4} characters")
    if type == SAID_BY_US:
        raise UsageError(f"cannot tell of {type!r}: that is what is said to the agent", hint="use another type")


def check_fields(type: str, fields: dict[str, Any], *, grows: bool) -> None:
    if grows and "text" in fields:
        raise UsageError(f"cannot give {type!r} a field 'text': that is what is written to it")


def packed_fields(values: dict[str, Any], type: str) -> bytes:
    try:
        return pack_body(values)
    except TypeError as error:
        raise TypeError(str(error).replace("cannot send body", f"cannot tell of {type!r}: its fields", 1)) from None


def utf8_bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"cannot write {text[:40]!r}: {error}") from None
