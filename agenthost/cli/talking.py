"""Commands that talk to agents: call, send."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path
from agenthost.cli.showing import Format, dump
from agenthost.errors import UsageError

Path = Annotated[str, typer.Argument(metavar="PATH", help="The agent.", autocompletion=complete_path)]
Body = Annotated[str, typer.Argument(metavar="JSON", help="The message; - reads it from stdin.")]
Text = Annotated[bool, typer.Option("--text", "-t", help="The message is text, not JSON.")]


def call(
    path: Path,
    body: Body = "null",
    text: Text = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Exit status 124 after it.")] = 30.0,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """Send an agent a message and print its reply."""
    with client() as asked:
        reply = asked.call(path, _body(body, text), timeout)
    if isinstance(reply, str) and output is Format.table:
        print(reply)
    else:
        dump(reply, Format.json if output is Format.table else output)


def send(
    path: Path,
    body: Body = "null",
    text: Text = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Exit status 124 after it.")] = 30.0,
) -> None:
    """Put a message into an agent's mailbox, and do not wait for what becomes of it."""
    with client() as asked:
        asked.send(path, _body(body, text), timeout)


def _body(given: str, is_text: bool) -> Any:
    source = sys.stdin.read() if given == "-" else given
    if is_text:
        return source
    try:
        return json.loads(source)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"cannot read the message as JSON: {error}", hint="quote it for the shell, or send text with --text"
        ) from None


COMMANDS = {"call": call, "send": send}
