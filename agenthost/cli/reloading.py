"""``plan`` and ``reload``: what a changed config would do to the running tree, and doing it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agenthost.cli.asking import Timeout, client
from agenthost.cli.showing import Column, Format, dump, table
from agenthost.observe.printable import printable

Output = Annotated[Format, typer.Option("-o", "--output", help="Format.")]

_COLUMNS = (Column("WHAT"), Column("PATH"), Column("WHY"))


def plan(
    output: Output = Format.table,
    detailed: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit status 2 if anything would change.")
    ] = False,
) -> None:
    """What reload would do to each agent, and why. Changes nothing."""
    with client() as asked:
        changes = asked.request("plan")
    _show(changes, output)
    if changes and detailed:
        raise typer.Exit(2)


def reload(output: Output = Format.table, timeout: Timeout = None) -> None:
    """Read the config again and become what it says.

    All or nothing: what is new starts first; if it does not come up, everything stays as it was. Nobody is restarted
    whose config did not change.
    """
    with client() as asked:
        done = asked.request("reload", {"timeout_s": timeout}, timeout=None)
    _show(done["changes"], output)
    if output in (Format.table, Format.wide):
        print(printable(done["text"]))


def _show(changes: list[dict[str, Any]], output: Format) -> None:
    if output not in (Format.table, Format.wide):
        dump(changes, output, items=changes)
    elif changes:
        rows = [(change["what"], change["path"], change["why"]) for change in changes]
        table(_COLUMNS, rows)
    else:
        print("the config says what runs already")


COMMANDS = {"plan": plan, "reload": reload}
