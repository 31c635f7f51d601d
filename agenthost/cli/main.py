"""``agenthost``: the table of commands, the global options, and exit statuses (``errors.py``)."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from agenthost.cli import (
    budgets,
    changing,
    chatting,
    crashes,
    explaining,
    inspecting,
    journal,
    letters,
    looking,
    questions,
    reading,
    reloading,
    replaying,
    running,
    schedules,
    sessions,
    tailing,
    talking,
    unit,
)
from agenthost.cli.asking import WHERE
from agenthost.cli.quick import quicken
from agenthost.errors import AgenthostError
from agenthost.observe.printable import printable_lines

COMPLETE = "_AGENTHOST_COMPLETE"
INTERRUPTED = 130

app = typer.Typer(
    name="agenthost",
    help="A host for AI agents on Unix: supervision trees with real processes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


@app.callback()
def everywhere(
    socket: Annotated[
        str | None, typer.Option(envvar="AGENTHOST_SOCKET", metavar="FILE", help="The host's control socket.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(envvar="AGENTHOST_NAME", metavar="NAME", help="The host's name, if several run.")
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="Plain text, as with NO_COLOR=1.")] = False,
) -> None:
    WHERE.socket, WHERE.host = socket, host
    if no_color:
        os.environ["NO_COLOR"] = "1"


def _until_unread(function: Callable[..., None]) -> Callable[..., None]:
    """A reader that has seen enough (head, less) ends the command: no complaint, and the status is that of success."""

    @functools.wraps(function)
    def command(*given: Any, **named: Any) -> None:
        try:
            function(*given, **named)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what stdout still holds goes nowhere, at the end

    return command


_LOOKING = (looking, inspecting, explaining, reading, tailing, replaying)
for module in (running, unit, *_LOOKING, changing, reloading, talking, chatting, questions):
    for name, function in module.COMMANDS.items():
        app.command(name)(_until_unread(function))
for group in (budgets, letters, schedules, sessions, journal, crashes):
    for command in group.app.registered_commands:
        assert command.callback is not None
        command.callback = _until_unread(command.callback)
    app.add_typer(group.app, name=group.NAME)


def main() -> None:
    """The console script. Statuses: 0 done, 2 usage, 130 interrupted, the rest as ``errors.py`` says."""
    _open_standard_streams()
    if COMPLETE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()  # what add_completion would do besides options that nobody misses
    try:
        try:
            quicken(typer.main.get_command(app))(prog_name="agenthost")
        finally:
            sys.stdout.flush()
    except AgenthostError as error:
        _end(error.exit_code, str(error) if error.code == "bad_config" else f"agenthost: {error}")
    except KeyboardInterrupt:
        _end(INTERRUPTED)
    except OSError as error:
        _end(1, f"agenthost: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))


def _open_standard_streams() -> None:
    """A stream that the caller closed is /dev/null; what the locale cannot show is written as an escape."""
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            while os.open(os.devnull, os.O_RDWR) < fd:
                pass  # what is opened next must not take its place
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # until the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _end(status: int, text: str = "") -> None:
    """Say why and leave, without a second complaint about a stdout that takes nothing."""
    if text:
        print(printable_lines(text), file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what it still holds goes nowhere, at the interpreter's end
    sys.exit(status)


if __name__ == "__main__":
    main()
