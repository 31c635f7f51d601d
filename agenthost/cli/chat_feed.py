"""What stands on the screen of a chat: entries as blocks of text, and what is being said, cut to the room there is.

Rule: what agents and others say reaches the terminal through ``observe.printable`` alone.
"""

from __future__ import annotations

import io
import json
import time
from typing import Any

from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.text import Text

from agenthost.client.updates import Dropped, Event, Part, Update
from agenthost.observe.printable import printable, printable_lines

MESSAGE, REPLY = "message", "reply"
"""Types of entries that the host writes by itself."""


class ChatFeed:
    """``seq`` is the last entry that was shown."""

    def __init__(self, *, is_plain: bool, colours: bool) -> None:
        self._is_plain, self._colours = is_plain, colours
        self.seq = 0
        self._parts: dict[str, Part] = {}
        self._unanswered: dict[int, None] = {}
        """Messages of which no turn has ended yet, so far as it has said anything; oldest first."""
        self._said: tuple[int, str] = (0, "")
        """The last text of an agent, and the message that it answered."""

    def take(self, update: Update, width: int) -> str:
        """What is to be printed for good, "" for nothing."""
        match update:
            case Event():
                self.seq = update.seq
                self._parts.pop(update.part, None)
                self._note_turn(update)
                return self._rendered(update, width)
            case Part():
                self._parts[update.part] = update
            case Dropped(parts=parts):
                for part in parts:
                    self._parts.pop(part, None)
        return ""

    @property
    def message(self) -> int:
        """The durable message of the turn in hand; 0 if none is known."""
        for part in self._parts.values():
            return part.message
        return next(iter(self._unanswered), 0)

    @property
    def is_busy(self) -> bool:
        return bool(self._parts or self._unanswered)

    def growing(self, width: int, rows: int) -> str:
        """The end of what is being said, at most so many rows."""
        lines: list[str] = []
        for part in self._parts.values():
            lines.append(f"{printable(part.type)} …")
            text = part.text if part.text is not None else _shown(part.fields)
            for line in printable_lines(text[-width * rows :]).split("\n"):
                lines += [line[at : at + width] for at in range(0, max(1, len(line)), width)]
        return "\n".join(lines[-rows:])

    # ---- inside

    def _note_turn(self, event: Event) -> None:
        if event.type == MESSAGE:
            self._unanswered[event.message] = None
        elif not event.broken and event.message in self._unanswered:
            # Entries come with the end of their turn, and turns of one session in the order of its messages.
            for message in list(self._unanswered):
                del self._unanswered[message]
                if message == event.message:
                    break

    def is_unanswered(self, message: int) -> bool:
        return message in self._unanswered

    def forget(self, message: int) -> None:
        """It will not be answered."""
        self._unanswered.pop(message, None)

    def _rendered(self, event: Event, width: int) -> str:
        fields = dict(event.fields)
        sender = fields.pop("sender", None)
        text = fields.pop("text", None)
        if event.type in (MESSAGE, REPLY):
            body = fields.pop("body", None)
            text, fields = _text_of(body)
        if event.type == REPLY:
            said, self._said = self._said, (0, "")
            if text is not None and said == (event.message, text):
                return ""  # it was streamed: all have read it
        elif isinstance(text, str) and event.type != MESSAGE:
            self._said = (event.message, text)
        who = _person(str(sender)) if event.type == MESSAGE else event.type
        head = Text(printable(who), style="bold green" if event.type == MESSAGE else "bold cyan")
        head.append(f"  {time.strftime('%H:%M', time.localtime(event.at))}", style="dim")
        if event.broken:
            head.append(f"  broken off, attempt {event.attempt}", style="bold yellow")
        blocks: list[RenderableType] = [Text(), head]
        if fields:
            blocks.append(Text(_shown(fields), style="dim"))
        if isinstance(text, str):
            blocks.append(self._body(text, is_said_by_agent=event.type != MESSAGE, is_broken=event.broken))
        return self._printed(blocks, width)

    def _body(self, text: str, *, is_said_by_agent: bool, is_broken: bool) -> RenderableType:
        clean = printable_lines(text).strip("\n")
        if is_broken:
            return Text(clean, style="dim")
        if self._is_plain or not is_said_by_agent:
            return Text(clean)
        return Markdown(clean, hyperlinks=False)

    def _printed(self, blocks: list[RenderableType], width: int) -> str:
        out = io.StringIO()
        system: Any = "standard" if self._colours else None
        console = Console(file=out, force_terminal=self._colours, color_system=system, width=width, highlight=False)
        for block in blocks:
            console.print(block)
        return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))


def _text_of(body: Any) -> tuple[str | None, dict[str, Any]]:
    """The text of a message or a reply, and what else there is."""
    match body:
        case None:
            return None, {}
        case str():
            return body, {}
        case {"text": str() as text, **rest}:
            return text, {str(key): value for key, value in rest.items()}
        case dict():
            return None, body
    return None, {"body": body}


def _shown(fields: dict[str, Any]) -> str:
    return printable(json.dumps(fields, default=str, ensure_ascii=False))


def _person(sender: str) -> str:
    """ "client:1000" is the user of that uid."""
    kind, _, uid = sender.partition(":")
    if kind != "client" or not uid.isdecimal():
        return sender
    import pwd

    try:
        return pwd.getpwuid(int(uid)).pw_name
    except KeyError:
        return f"uid {uid}"
