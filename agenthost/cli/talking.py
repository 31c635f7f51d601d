"""Commands that talk to agents: call, send."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import Timeout, client, complete_path, look, moment, new_members, normal, seconds
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
    message = body_of(body, text)
    with client() as asked, near(asked, path):
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
    after: Annotated[
        float | None, typer.Option(metavar="TIME", parser=seconds, help="Deliver it so much later, such as 10m.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Deliver it then: 18:30, 2027-01-31T08:00, with a zone or local.")
    ] = None,
    timeout: Timeout = 30.0,
) -> None:
    """Put a message into the mailbox of an agent.

    The agent need not run for that. Does not wait for what becomes of the message; from then on it is not lost. With
    --after or --at it is delivered later; agenthost schedule lists it, and takes it back.
    """
    message = body_of(body, text)
    when = None if at is None else moment(at)
    with client() as asked, near(asked, path):
        asked.send(normal(path), message, timeout, key=key, after_s=after, at=when)


@contextmanager
def near(asked: Client, path: str) -> Iterator[None]:
    """The host says that a name is unknown; the table of names says which one was meant."""
    try:
        yield
    except UnknownName:
        if not new_members(asked, [path]):  # a pool can have members of any name: the host knows why not this one
            look(asked, [path])
        raise


def body_of(given: str, is_text: bool) -> Any:
    if given == "-":
        given = sys.stdin.read() if sys.stdin is not None else ""
    if not given.isprintable():
        try:
            given.encode()
        except UnicodeEncodeError:  # bytes of argv or stdin that are no UTF-8 (PEP 383)
            raise UsageError("cannot send the message: it is not UTF-8 text") from None
    if is_text:
        return given
    from agenthost.protocol.codec import pack_body

    try:
        message = json.loads(given)
        pack_body(message)  # JSON has numbers and texts that no message can have
        return message
    except json.JSONDecodeError as error:
        raise UsageError(
            f"cannot read the message as JSON: {error}", hint="quote it for the shell, or send text with --text"
        ) from None
    except RecursionError:  # of the parser, from about a thousand levels on
        raise UsageError("cannot read the message as JSON: it is nested too deep", hint="send it as --text") from None
    except TypeError as error:
        raise UsageError(str(error), hint="send it as --text") from None


COMMANDS = {"call": call, "send": send}
