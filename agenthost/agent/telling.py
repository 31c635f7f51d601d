"""What a turn has to tell to those who follow its agent's session: ``ctx.emit`` and ``ctx.stream``.

::

    ctx.emit("tool", name="search", hits=3)
    with ctx.stream("answer") as out:
        for word in model:
            out.write(word)

Each is a *part* of the turn: an entry of the session's log when the turn is committed, together with its state and
mail. Who looks on sees it before, as it grows. If the turn fails, the part is kept all the same, marked as broken.

What is written is said to the journal in small bunches: at once if nothing was said for ``BUNCH_S``, else when so much
time has passed and more is written, or when the agent waits. Nothing here waits: what the journal does not read stays
here, and is said later.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agenthost.agent.part import Part, check_fields, check_type, packed_fields, utf8_bytes
from agenthost.agent.progress import steps
from agenthost.errors import UsageError
from agenthost.protocol import mail
from agenthost.protocol.codec import pack_body

if TYPE_CHECKING:
    from agenthost.agent.durable import Durable

BUNCH_S = 0.02
BUNCH_CHARACTERS = 16 * 1024
PART_BYTES = 16 * 1024 * 1024 - 4096
TURN_BYTES = 32 * 1024 * 1024
"""Of all parts of a turn: a commit is one message (``mail.MESSAGE_BYTES``)."""
PARTS = 9_999
"""Of one turn."""
_LATER_BYTES = 1024 * 1024
"""More than this on its way to the journal: what is written waits."""


class Stream:
    """A part that grows, while its ``with`` block lasts. Only for the thread of the turn."""

    __slots__ = ("_part", "_telling")

    def __init__(self, telling: Telling, part: Part) -> None:
        self._telling, self._part = telling, part

    @property
    def text(self) -> str:
        """All that was written."""
        return self._part.text

    def write(self, text: str) -> None:
        """Never waits. ``UsageError`` after the block, and when it becomes too large."""
        part = self._open("write to")
        size_bytes = len(text) if text.isascii() else utf8_bytes(text)
        self._telling.make_room(part, size_bytes)
        if text:
            part.pieces.append(text)
            part.length += len(text)
            self._telling.grew(part, len(text))

    def set(self, **fields: Any) -> None:
        """Change or add fields of the entry."""
        part = self._open("change")
        check_fields(part.type, fields, grows=True)
        values = {**part.values, **fields}
        packed = packed_fields(values, part.type)
        self._telling.make_room(part, len(packed) - len(part.fields))
        part.values, part.fields, part.has_new_fields = values, packed, True
        self._telling.grew(part, 0)

    def _open(self, what: str) -> Part:
        if not self._part.is_open:
            raise UsageError(f"cannot {what} the {self._part.type!r} of an earlier moment: its block has ended")
        return self._part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._part.is_open, self._part.is_broken = False, error is not None
        self._telling.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, tb)


class Telling:
    """Of one agent: what the turn in hand has told, until that is committed, or broken entries are."""

    __slots__ = ("_durable", "_flushed_at", "_last", "_size_bytes", "_turn", "_unsaid", "breaking", "parts", "reply")

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self.parts: list[Part] = []
        self.breaking: list[Part] = []
        """Of turns that have failed, and the journal has not answered yet."""
        self.reply: bytes | None = None
        """The body of what the turn returns, where it was said in the session."""
        self._last = self._turn = 0
        self._size_bytes = 0
        self._unsaid = 0
        """Characters, and one for each change of fields."""
        self._flushed_at = 0.0
        durable.open().prefaces.append(self._say_again)

    # ---- the author's

    def emit(self, type: str, fields: dict[str, Any]) -> None:
        self._add(type, fields, grows=False)

    def stream(self, type: str, fields: dict[str, Any]) -> Stream:
        return Stream(self, self._add(type, fields, grows=True))

    def _add(self, type: str, fields: dict[str, Any], *, grows: bool) -> Part:
        check_type(type)
        check_fields(type, fields, grows=grows)
        if len(self.parts) >= PARTS:
            raise UsageError(f"cannot tell of {type!r}: a turn tells of at most {PARTS} things")
        part = Part(self._last + 1, self._durable.in_hand, type, dict(fields), grows=grows)
        size_bytes, part.size_bytes = part.size_bytes, 0
        self.make_room(part, size_bytes)
        self._last += 1
        self.parts.append(part)
        self.grew(part, 1)
        return part

    def make_room(self, part: Part, size_bytes: int) -> None:
        """``UsageError`` where ``part`` may not grow by so much."""
        if part.size_bytes + size_bytes > PART_BYTES or self._size_bytes + size_bytes > TURN_BYTES:
            limit = PART_BYTES if part.size_bytes + size_bytes > PART_BYTES else TURN_BYTES
            raise UsageError(
                f"cannot tell more of {part.type!r}: {limit} bytes is the most of "
                f"{'one entry' if limit == PART_BYTES else 'a turn'}",
                hint="keep large things in files, and tell their names",
            )
        part.size_bytes += size_bytes
        self._size_bytes += size_bytes

    # ---- to the journal

    def grew(self, part: Part, characters: int) -> None:
        self._unsaid += characters or 1
        steps.count += 1
        if self._unsaid >= BUNCH_CHARACTERS or time.monotonic() - self._flushed_at >= BUNCH_S:
            self.flush()
        elif self._durable.on_unsaid is not None:
            self._durable.on_unsaid()

    @property
    def has_unsaid(self) -> bool:
        return self._unsaid > 0

    def flush(self) -> None:
        """Say what was not said, as far as it is read."""
        door = self._durable.open()
        if not self._unsaid or door.backlog_bytes > _LATER_BYTES:
            return
        self._unsaid = 0
        self._flushed_at = time.monotonic()
        if door.sock is None:
            door.tell(b"")
            return  # it is said at the next door, whole
        frames = [part.delta() for part in self.parts if part.has_new_fields or part.length > part.said]
        door.tell(b"".join(frames))

    def _say_again(self) -> bytes:
        """At a new door: the journal behind it knows of nothing."""
        self._unsaid = 0
        return b"".join([part.delta(whole=True) for part in (*self.breaking, *self.parts)])

    # ---- the turn's end

    def hold(self, *, is_refused: bool = False) -> None:
        """The commit is said, and has it all: a Delta behind it would begin its part anew. Refused: as before."""
        self._unsaid = 1 if is_refused and self.parts else 0

    @property
    def is_used(self) -> bool:
        return bool(self.parts) or self.reply is not None

    def entries(self) -> tuple[mail.Entry, ...]:
        replies = () if self.reply is None else (mail.Entry("reply", self.reply, 0),)
        return (*(part.entry() for part in self.parts), *replies)

    def new_turn(self) -> int:
        """A number for a turn that no mail began."""
        self._turn += 1
        return self._turn

    def committed(self) -> None:
        self.parts, self.reply = [], None
        self._size_bytes = self._unsaid = 0

    def broke(self) -> None:
        """The turn has failed, and the mail does not tell of that: its parts become broken entries."""
        parts = self.parts
        self.flush()
        self.committed()
        if not parts:
            return
        self.breaking += parts
        turn, last = self.new_turn(), parts[-1].number

        def answered(answer: Any) -> None:
            self.breaking = [part for part in self.breaking if part.number > last]

        self._durable.open().ask(lambda number: mail.Break(number, turn, last), answered)


def reply(durable: Durable, one: mail.Mail, value: Any) -> None:
    """What a turn of mail has returned: of use where that was said in the session."""
    if one.in_session and value is not None:
        durable.tell().reply = pack_body({"body": value})
