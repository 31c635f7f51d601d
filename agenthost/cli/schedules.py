"""``agenthost schedule``: mail for later. What is sent again and again, what is not due yet, and taking it back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, normal
from agenthost.cli.showing import Column, Format, dump, table
from agenthost.cli.talking import Body, Path, Text, body_of, near
from agenthost.errors import AgenthostError

if TYPE_CHECKING:
    from agenthost.client.client import Client

app = typer.Typer(help="Mail for later.", no_args_is_help=True, rich_markup_mode=None)
NAME = "schedule"


def ls(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="For this agent and all below; all without.", autocompletion=complete_path),
    ] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """List what is sent again and again, and what waits for its time, by when it is due."""
    wanted = normal(path) if path else "/"
    with client() as asked:
        found = sorted((one for one in _all(asked) if _is_below(one["receiver"], wanted)), key=lambda one: one["next"])
    if output in (Format.table, Format.wide):
        columns = [Column("NAME"), Column("NEXT"), Column("TO"), Column("FROM", miss=2), Column("WHEN", miss=1)]
        rows = [(one["name"], _at(one["next"]), one["receiver"], one["sender"], one["when"]) for one in found]
        table(columns, rows, full=output is Format.wide)
    else:
        dump(found, output, items=found, key="name")


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; what is there of that name is replaced.")],
    cron: Annotated[str, typer.Argument(metavar="CRON", help="When, such as '30 2 * * mon-fri' or @hourly.")],
    path: Path,
    body: Body = "null",
    text: Text = False,
    zone: Annotated[
        str, typer.Option(metavar="ZONE", help="Time zone, such as Europe/Berlin; that of the host's machine without.")
    ] = "",
) -> None:
    """Send a message to an agent again and again.

    The agent need not run for that. Of times that passed while the host did not run, one is made up for.
    """
    message = body_of(body, text)
    with client() as asked, near(asked, path):
        due = asked.schedule(name, cron, normal(path), message, zone=zone)
    print(f"next: {_at(due)}")


def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names, and numbers of messages, as ls has them.")],
) -> None:
    """Take back what is sent again and again, or what waits for its time."""
    with client() as asked:
        for name in names:
            if name.isdecimal():
                asked.request("undelay", {"message": int(name)})
            else:
                asked.unschedule(name)


def _all(asked: Client) -> Iterator[dict[str, Any]]:
    name = ""
    while page := asked.request("schedules", {"after": name}):
        for one in page:
            yield {**_plain(one), "when": one["cron"], "key": None}
        name = page[-1]["name"]
    after = [0, 0]
    while page := asked.request("delayed", {"after": after}):
        for one in page:
            number, due_ms = one.pop("message"), one.pop("due_ms")
            yield {**_plain(one), "name": str(number), "next": due_ms / 1000, "when": "once"}
        after = [due_ms, number]


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    """With its body as JSON can show it; None if it is long."""
    from agenthost.protocol.codec import unpack_body

    if one["body"] is None:
        return one
    try:
        return {**one, "body": unpack_body(one["body"])}
    except AgenthostError:
        return {**one, "body": one["body"].hex()}


def _is_below(path: str, wanted: str) -> bool:
    return path == wanted or path.startswith(wanted.rstrip("/") + "/")


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


for function in (ls, add, rm):
    app.command(function.__name__)(function)
