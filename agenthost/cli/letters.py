"""``agenthost dead-letters``: mail that nobody could handle, with what went wrong, and what is to become of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, normal
from agenthost.cli.showing import Column, Format, Plain, dump, table
from agenthost.errors import AgenthostError
from agenthost.observe.printable import printable

if TYPE_CHECKING:
    from agenthost.client.client import Client

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER", help="Numbers of messages, as ls shows them.")]

app = typer.Typer(help="Mail that could not be handled.", no_args_is_help=True, rich_markup_mode=None)
NAME = "dead-letters"


def ls(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="Of this agent and all below; all without.", autocompletion=complete_path),
    ] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """List dead letters, oldest first."""
    with client() as asked:
        found = [_plain(letter) for letter in _all(asked, normal(path) if path else "")]
    if output in (Format.table, Format.wide):
        columns = [Column("NUMBER"), Column("TO"), Column("FROM", miss=2), Column("SENT", miss=3)]
        columns += [Column("ATTEMPTS", miss=1), Column("REASON")]
        rows = [
            (one["message"], one["receiver"], one["sender"], _at(one["sent"]), one["attempt"], _why(one))
            for one in found
        ]
        table(columns, rows, full=output is Format.wide)
    else:
        dump(found, output, items=found, key="message")


def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Of the message.")],
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """One message with its body and its history."""
    with client() as asked:
        letter = _plain(asked.request("letter", {"message": number}))
    if output is not Plain.text:
        dump(letter, output)
        return
    print(f"message {letter['message']} from {letter['sender']} to {letter['receiver']}: {letter['status']}")
    print(f"sent {_at(letter['sent'])}")
    for line in letter["history"]:
        print(printable(f"  {_at(line['at'])}  attempt {line['attempt']}  {line['what']}: {line['reason']}"))
    dump(letter["body"], "json")


def requeue(numbers: Numbers) -> None:
    """Give messages to their receivers again, with all attempts anew."""
    _each("requeue", numbers)


def drop(numbers: Numbers) -> None:
    """Forget messages: they are never handled."""
    _each("drop", numbers)


def _each(verb: str, numbers: list[int]) -> None:
    with client() as asked:
        for _, result in asked.request_each(verb, [{"message": number} for number in numbers]):
            if isinstance(result, AgenthostError):
                raise result


def _all(asked: Client, path: str) -> Iterator[dict[str, Any]]:
    after = 0
    while page := asked.request("letters", {"prefix": path, "after": after}):
        for letter in page:
            if not path or letter["receiver"] == path or letter["receiver"].startswith(path.rstrip("/") + "/"):
                yield letter
        after = page[-1]["message"]


def _plain(letter: dict[str, Any]) -> dict[str, Any]:
    """With its body as JSON can show it."""
    from agenthost.protocol.codec import unpack_body

    try:
        return {**letter, "body": unpack_body(letter["body"])}
    except AgenthostError:
        return {**letter, "body": letter["body"].hex()}


def _why(letter: dict[str, Any]) -> str:
    return str(letter["history"][-1]["reason"]) if letter["history"] else ""


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


for function in (ls, show, requeue, drop):
    app.command(function.__name__)(function)
