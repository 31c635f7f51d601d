"""Commands that change agents, such as start and stop. Many names at once go side by side; the worst status counts."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from agenthost.cli.asking import Timeout, client, complete_path, new_members, normal, paths_of
from agenthost.cli.showing import Format, dump
from agenthost.errors import AgenthostError
from agenthost.observe.printable import printable

Paths = Annotated[list[str], typer.Argument(metavar="PATH", help="Paths or globs.", autocompletion=complete_path)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Until it is done.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="Format.")]


def start(
    paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "", output: Output = Format.table
) -> None:
    """Start what is down, and wait until it is ready. A path below a pool that is not there yet is a new member."""
    _change("start", paths, wait, timeout, reason, output)


def stop(
    paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "", output: Output = Format.table
) -> None:
    """Stop agents; they stay down.

    It climbs a ladder with deadlines: ask, TERM, KILL, and says how far it had to go. "agenthost stop /" ends the host.
    """
    _change("stop", paths, wait, timeout, reason, output)


def restart(
    paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "", output: Output = Format.table
) -> None:
    """Stop agents and start them again."""
    _change("restart", paths, wait, timeout, reason, output)


def kill(
    paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "", output: Output = Format.table
) -> None:
    """KILL agents and all they have started.

    At once, without asking. To their supervisors that is a crash: what is permanent comes back.
    """
    _change("kill", paths, wait, timeout, reason, output)


def interrupt(
    paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "", output: Output = Format.table
) -> None:
    """End the turn that an agent has in hand, not the agent.

    Its tools are killed, its caller gets an error, the next message is served. Who does not come back in time is ended.
    Of a supervisor: the turns of all agents below. The main process of a program gets SIGINT.
    """
    _change("interrupt", paths, wait, timeout, reason, output)


def freeze(
    paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "", output: Output = Format.table
) -> None:
    """Let agents and all they have started stand still.

    Whole subtrees at once. No deadline of the host passes for them meanwhile; who calls them waits. "stop" thaws first.
    """
    _change("freeze", paths, wait, timeout, reason, output)


def thaw(
    paths: Paths, wait: Wait = True, timeout: Timeout = None, reason: Reason = "", output: Output = Format.table
) -> None:
    """Let frozen agents, and all below them, go on."""
    _change("thaw", paths, wait, timeout, reason, output)


def _change(verb: str, patterns: list[str], wait: bool, timeout: float | None, reason: str, output: Format) -> None:
    shown = output in (Format.table, Format.wide)
    worst, results = 0, dict[int, dict[str, Any]]()
    with client() as asked:
        members = new_members(asked, patterns) if verb == "start" else []
        known = [pattern for pattern in patterns if normal(pattern) not in members]
        paths = [*(paths_of(asked, known) if known else ()), *members]
        arguments = [{"path": path, "wait": wait, "timeout_s": timeout, "reason": reason} for path in paths]
        for at, result in asked.request_each(verb, arguments):
            if isinstance(result, AgenthostError):
                worst = max(worst, result.exit_code)
                results[at] = {"path": paths[at], "error": result.code, "text": str(result)}
                print(printable(f"agenthost: {paths[at]}: {result}"), file=sys.stderr)
                continue
            results[at] = result
            if shown and verb == "interrupt" and wait:
                print(printable(f"interrupted {result['path']}: {result['text']}"), flush=True)
            elif shown:
                text = f" ({result['text']})" if result["text"] not in ("", result["state"]) else ""
                print(printable(f"{result['path']}: {result['state']}{text}"), flush=True)
    if not shown:
        listed = [results[at] for at in sorted(results)]
        dump(listed, output, items=listed)
    if worst:
        raise typer.Exit(worst)


COMMANDS = {
    "start": start,
    "stop": stop,
    "restart": restart,
    "kill": kill,
    "interrupt": interrupt,
    "freeze": freeze,
    "thaw": thaw,
}
