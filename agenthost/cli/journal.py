"""``agenthost journal``: the database of what survives, looked at and kept small. Reading it needs no running host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agenthost.cli.asking import client
from agenthost.errors import JournalDamaged
from agenthost.observe.printable import printable

app = typer.Typer(help="The database of what survives.", no_args_is_help=True, rich_markup_mode=None)
NAME = "journal"

File = Annotated[Path | None, typer.Argument(metavar="FILE", help="The database; that of the running host without it.")]


def check(file: File = None) -> None:
    """Read everything, and say what is wrong."""
    from agenthost.journal.sqlite.reading import SqliteReader

    path = file or _running()
    with SqliteReader(path) as reader:
        wrong = reader.check()
    for line in wrong:
        print(printable(line))
    if wrong:
        raise JournalDamaged(f"the journal {path} is damaged", hint="stop the host and restore the file from a copy")
    print(f"{path}: whole")


def export(file: File = None) -> None:
    """Write all that is kept to stdout, one JSON object a line, as it is at one moment."""
    import sys

    import msgspec

    from agenthost.journal.sqlite.reading import SqliteReader

    encode = msgspec.json.Encoder().encode
    with SqliteReader(file or _running()) as reader:
        for one in reader.export():
            sys.stdout.write(encode(one).decode() + "\n")


def vacuum() -> None:
    """Give room that the running host's journal does not use any more back to the disk."""
    given = 0
    with client() as asked:
        while some := asked.request("journal", {"what": "vacuum"}):
            given += int(some)
    print(f"{given} bytes given back")


def _running() -> Path:
    with client() as asked:
        return Path(asked.request("status", {"paths": ["/"]})["host"]["database"])


for function in (check, export, vacuum):
    app.command(function.__name__)(function)
