"""``agenthost tail``: the log of a session, as lines; and as it grows."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, normal
from agenthost.cli.showing import Lines, clock, tinted
from agenthost.cli.talking import near
from agenthost.errors import UnknownName
from agenthost.observe.printable import printable, printable_lines

INDENT = " " * 7


def tail(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The session's agent.", autocompletion=complete_path)],
    start: Annotated[int | None, typer.Option("--from", metavar="N", min=1, help="Begin with this entry.")] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="Begin with so many of the last, if no --from.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    live: Annotated[bool, typer.Option("--live", help="With -f: also what is being said, as it grows.")] = False,
    output: Annotated[Lines, typer.Option("-o", "--output", help="Format; json is one object a line.")] = Lines.text,
) -> None:
    """The log of a session, and as it grows.

    With -f it goes on, also over a restart of the host, until it is interrupted or the session is removed.
    """
    with client() as asked, near(asked, path), asked.session(normal(path)) as session:
        after = start - 1 if start is not None else _before_last(asked, normal(path), lines)
        shown = _Json() if output is Lines.json else _Text()
        for update in session.updates(after, follow=follow, live=live and follow):
            shown.show(update)
            sys.stdout.flush()


def _before_last(asked: Any, path: str, count: int) -> int:
    try:
        last: int = asked.request("session", {"path": path})["last_seq"]
    except UnknownName:
        return 0  # nobody has spoken there yet
    return max(0, last - count)


class _Json:
    def show(self, update: Any) -> None:
        from agenthost.client.updates import Dropped, Event, Part

        match update:
            case Event():
                shown = {"seq": update.seq, "at": update.at, "type": update.type, "fields": update.fields}
                shown |= {"message": update.message, "attempt": update.attempt, "broken": update.broken}
                if update.part:
                    shown["part"] = update.part
            case Part():
                shown = {"part": update.part, "type": update.type, "fields": update.fields, "text": update.text}
                shown |= {"message": update.message, "attempt": update.attempt}
            case Dropped(parts=parts):
                shown = {"dropped": list(parts)}
            case _:
                return
        print(json.dumps(shown, default=_plain))


class _Text:
    """One part is shown as it grows; others meanwhile when they have become entries."""

    def __init__(self) -> None:
        self._open = ""

    def show(self, update: Any) -> None:
        from agenthost.client.updates import Cut, Dropped, Event, Part

        match update:
            case Event(part=part) if part and part == self._open:
                broken = ", broken off" if update.broken else ""
                self._end(f"entry {update.seq}{broken}")
            case Event():
                self._end("meanwhile")
                head = f"{update.seq:>6} {tinted(clock(update.at), '2')} {tinted(printable(update.type), '36')}"
                broken = tinted(" (broken off)", "33") if update.broken else ""
                print(f"{head}{broken} {said(update.type, update.fields)}")
            case Part(part=part) if update.text and (self._open == "" or (update.begins and part == self._open)):
                self._end("again")
                self._open = update.part
                print(f"{INDENT}{tinted(printable(update.type), '36')} {_indented(update.text)}", end="")
            case Part(part=part) if part == self._open:
                print(_indented(update.new), end="")
            case Dropped(parts=parts) if self._open in parts:
                self._end("broken off")
            case Cut(why=why):
                print(tinted(f"{INDENT}({printable(why)}; connecting again)", "2"), file=sys.stderr)

    def _end(self, how: str) -> None:
        if self._open:
            print(f"\n{INDENT}{tinted(f'({how})', '2')}")
        self._open = ""


def said(type: str, fields: dict[str, Any]) -> str:
    """The fields in words where they are a text, else as JSON."""
    left = dict(fields)
    sender = left.pop("sender", None)
    text = left.pop("text", None)
    if text is None and isinstance(left.get("body"), str):
        text = left.pop("body")
    words = [tinted(printable(sender), "2")] if sender is not None else []
    if left:
        words.append(printable(json.dumps(left, default=_plain, ensure_ascii=False)))
    if text is not None:
        words.append(_indented(str(text)))
    return " ".join(words)


def _indented(text: str) -> str:
    return printable_lines(text).replace("\n", f"\n{INDENT}")


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


COMMANDS = {"tail": tail}
