"""``agenthost``: the table of commands, the global options, and exit statuses (``errors.py``)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agenthost.cli import changing, looking, reading, running, talking
from agenthost.cli.asking import WHERE
from agenthost.errors import AgenthostError

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
        str | None, typer.Option(envvar="AGENTHOST_SOCKET", metavar="PATH", help="The host's control socket.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(envvar="AGENTHOST_NAME", metavar="NAME", help="The host's name, if several run.")
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="Plain text, as with NO_COLOR=1.")] = False,
) -> None:
    WHERE.socket, WHERE.host = socket, host
    if no_color:
        import os

        os.environ["NO_COLOR"] = "1"


for module in (running, looking, reading, changing, talking):
    for name, function in module.COMMANDS.items():
        app.command(name)(function)


def main() -> None:
    """The console script. Statuses: 0 done, 2 usage, 130 interrupted, the rest as ``errors.py`` says."""
    try:
        app()
    except AgenthostError as error:
        sys.stdout.flush()
        print(f"agenthost: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough (head, less): no complaint
        sys.exit(0)


if __name__ == "__main__":
    main()
