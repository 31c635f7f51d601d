"""Commands that talk to agents: call, send."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import Timeout, client, complete_path, look, normal
from agenthost.cli.showing import Plain, dump, is_terminal
from agenthost.errors import UnknownName, UsageError
from agenthost.observe.printable import printable_lines

if TYPE_CHECKING:
    from agenthost.client.client import Client

Path = Annotated[str, typer.Argument(metavar="PATH", help="The agent.", autocompletion=complete_path)]
Body = Annotated[str, typer.Argument(metavar="JSON", help="The message; - reads it from stdin.")]
Text = Annotated[bool, typer.Option("--text", "-t", help="The message is text, not JSON.")]


def call(
    path: Path,
    body: Body = "null",
    text: Text = False,
    timeout: Timeout = 30.0,
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """Send an agent a message and print its reply.

    A reply that is text is printed as it is, any other as JSON; -o json prints both as JSON.
    """
    message = _body(body, text)
    with client() as asked, _near(asked, path):
        reply = asked.call(normal(path), message, timeout)
    if isinstance(reply, str) and output is Plain.text:
        print(printable_lines(reply) if is_terminal() else reply)
    else:
        dump(reply, output)


def send(
    path: Path,
    body: Body = "null",
    text: Text = False,
    key: Annotated[str, typer.Option(metavar="KEY", help="The same key is taken once, however often it is sent.")] = "",
    timeout: Timeout = 30.0,
) -> None:
    """Put a message into the mailbox of an agent.

    The agent need not run for that. Does not wait for what becomes of the message; from then on it is not lost.
    """
    message = _body(body, text)
    with client() as asked, _near(asked, path):
        asked.send(normal(path), message, timeout, key=key)


@contextmanager
def _near(asked: Client, path: str) -> Iterator[None]:
    """The host says that a name is unknown; the table of names says which one was meant."""
    try:
        yield
    except UnknownName:
        look(asked, [path])
        raise


def _body(given: str, is_text: bool) -> Any:
    if given == "-":
        given = sys.stdin.read() if sys.stdin is not None else ""
    if not given.isprintable():
        try:
            given.encode()
        except UnicodeEncodeError:  # bytes of argv or stdin that are no UTF-8 (PEP 383)
            raise UsageError("cannot send the message: it is not UTF-8 text") from None
    if is_text:
        return given
    try:
        return json.loads(given)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"cannot read the message as JSON: {error}", hint="quote it for the shell, or send text with --text"
        ) from None


COMMANDS = {"call": call, "send": send}
