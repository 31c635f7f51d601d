"""Commands that change: start, stop, restart, kill. Many names at once go side by side; the worst status counts."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, paths_of
from agenthost.errors import AgenthostError

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Paths or globs.", autocompletion=complete_path)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Until it is done.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Exit status 124 after it; it goes on.")]
Reason = Annotated[str, typer.Option(help="Why; it is recorded.")]


def start(paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "") -> None:
    """Start agents that are down, and wait until they are ready."""
    _change("start", paths, wait, timeout, reason)


def stop(paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "") -> None:
    """Stop agents: ask, TERM, KILL; says how far it had to go. They stay down. ``stop /`` ends the host."""
    _change("stop", paths, wait, timeout, reason)


def restart(paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "") -> None:
    """Stop agents and start them again."""
    _change("restart", paths, wait, timeout, reason)


def kill(paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "") -> None:
    """KILL agents with all they have started, at once. To their supervisors that is a crash."""
    _change("kill", paths, wait, timeout, reason)


def _change(verb: str, patterns: list[str], wait: bool, timeout: float | None, reason: str) -> None:
    worst = 0
    with client() as asked:
        paths = paths_of(asked, patterns)
        for path in paths:
            args: dict[str, Any] = {"path": path, "wait": wait, "timeout_s": timeout, "reason": reason}
            try:
                done = asked.request(verb, args, timeout=None)
                print(f"{done['path']}: {done['text'] or done['state']}")
            except AgenthostError as error:
                print(f"agenthost: {path}: {error}", file=sys.stderr)
                worst = max(worst, error.exit_code)
    if worst:
        raise typer.Exit(worst)


COMMANDS = {"start": start, "stop": stop, "restart": restart, "kill": kill}
