"""``agenthost chat``: a conversation in a session, on a terminal.

What is shown is what every reader of the session sees; who leaves takes nothing with him. ``chat_screen`` is the
terminal, ``chat_feed`` what stands on it, ``conversing`` says what words and keys do. This is the command.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from agenthost.cli.asking import WHERE, client, complete_path, normal
from agenthost.cli.talking import near
from agenthost.errors import UnknownName, UsageError
from agenthost.observe.printable import printable


def chat(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The agent.", autocompletion=complete_path)],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with so many of the last entries.")] = 20,
    name: Annotated[str, typer.Option(metavar="NAME", help="What others see of who is here.")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Answers as they are, not as Markdown.")] = False,
) -> None:
    """Talk to an agent in its session.

    All who are there see the same, as it grows. Leaving stops nothing: Ctrl-D, then come back with the same command.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("cannot chat without a terminal", hint="see: agenthost send, agenthost tail")
    with client() as asked, near(asked, path):
        asked.request("attach", {"path": normal(path)})  # an unknown name is said at once
        endpoint, after = asked.endpoint, _before_last(asked, normal(path), lines)
    import asyncio

    from agenthost.cli.conversing import talk

    try:
        left_at = asyncio.run(talk(endpoint, normal(path), after, name or _name(), plain))
    except KeyboardInterrupt:
        return
    print(f"left {printable(normal(path))} at entry {left_at}; the agent goes on")
    where = f"--host {printable(WHERE.host)} " if WHERE.host else ""
    print(f"come back with: agenthost {where}chat {printable(normal(path))}")


def _before_last(asked: Any, path: str, count: int) -> int:
    try:
        last: int = asked.request("session", {"path": path})["last_seq"]
    except UnknownName:
        return 0  # nobody has spoken there yet
    return max(0, last - count)


def _name() -> str:
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{os.ttyname(0).removeprefix('/dev/')}"


COMMANDS = {"chat": chat}
