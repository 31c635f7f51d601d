"""``agenthost asked``, ``approve``, ``deny``, ``answer``: messages that wait for a person, and what the person says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, known, normal
from agenthost.cli.showing import Column, Format, dump, table
from agenthost.errors import UnknownName, UsageError
from agenthost.observe.question import question_name

if TYPE_CHECKING:
    from agenthost.client.client import Client

Which = Annotated[
    str,
    typer.Argument(
        metavar="MESSAGE",
        help="Number of the question, as asked shows it, or the path of the agent whose only question it is.",
        autocompletion=complete_path,
    ),
]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="What is said; the agent gets it.")]


def asked(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="Of this agent and all below; all without.", autocompletion=complete_path),
    ] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """List messages that wait for a person, oldest first."""
    with client() as host:
        found = list(_questions(host, normal(path) if path else ""))
        if path and not found:
            known(host, path)
    if output in (Format.table, Format.wide):
        columns = [Column("NUMBER"), Column("AGENT"), Column("SINCE", miss=2), Column("UNTIL", miss=3)]
        columns += [Column("QUESTION"), Column("BECAUSE", miss=1)]
        rows = [
            (_name(one), one["receiver"], _at(one["since"]), _at(one["until"]), question, one["reason"])
            for one, question in zip(found, _each_once(found), strict=True)
        ]
        where = f" of {normal(path)} or below" if path else ""
        table(columns, rows, full=output is Format.wide, empty=f"No message{where} waits for a person.")
    else:
        dump(found, output, items=found, key="message")


def _each_once(found: list[dict[str, Any]]) -> Iterator[str]:
    """Whatever waits because of one budget asks one question."""
    first: dict[str, str] = {}
    for one in found:
        name = first.setdefault(one["budget"], _name(one)) if one["budget"] else _name(one)
        yield one["question"] if name == _name(one) else f"as {name}"


def _name(one: dict[str, Any]) -> str:
    return question_name(one["message"], one["nth"])


def approve(which: Which, text: Annotated[str, typer.Argument(metavar="[TEXT]", help="What to heed.")] = "") -> None:
    """Say yes: the message is tried again."""
    _say(which, text, yes=True)


def deny(which: Which, text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Why not.")] = "") -> None:
    """Say no: the message is set aside as a dead letter."""
    _say(which, text, yes=False)


def answer(which: Which, text: Text) -> None:
    """Say something; the message is tried again with it."""
    _say(which, text, yes=True)


def _say(which: str, text: str, *, yes: bool) -> None:
    with client() as host:
        message, nth = _question(host, which)
        host.request("answer", {"message": message, "nth": nth, "yes": yes, "text": text})


def _question(host: Client, which: str) -> tuple[int, int]:
    """Message, and which question of it."""
    if named := re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?", which):
        return int(named[1]), int(named[2] or 1)
    path = normal(which)
    found = [one for one in _questions(host, path) if one["receiver"] == path]
    if not found:
        raise UnknownName(f"cannot answer {path}: no message of it waits for a person", hint="see agenthost asked")
    if len(found) > 1:
        numbers = ", ".join(_name(one) for one in found)
        raise UsageError(f"cannot choose among {len(found)} questions of {path}", hint=f"name one: {numbers}")
    return found[0]["message"], found[0]["nth"]


def _questions(host: Client, path: str) -> Iterator[dict[str, Any]]:
    after = 0
    while page := host.request("asked", {"prefix": path, "after": after}):
        for one in page:
            if not path or one["receiver"] == path or one["receiver"].startswith(path.rstrip("/") + "/"):
                yield one
        after = page[-1]["message"]


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


COMMANDS = {"asked": asked, "approve": approve, "deny": deny, "answer": answer}
