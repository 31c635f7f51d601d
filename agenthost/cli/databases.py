"""The database of a host that does not run, or does not answer: which one is meant.

The rule it keeps: it is never guessed; and what comes of a database is not taken for what a host has said: a line on
stderr tells.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agenthost.cli.asking import WHERE, client
from agenthost.errors import NoHost, UsageError
from agenthost.observe.printable import printable

if TYPE_CHECKING:
    from agenthost.journal.sqlite.reading import SqliteReader


def database() -> Path:
    """Of the host that runs, or of the one that is named, or of the only one there is."""
    try:
        with client() as asked:
            return Path(asked.request("status", {"paths": ["/"]})["host"]["database"])
    except NoHost as error:
        return database_without(error)


def database_without(error: NoHost) -> Path:
    """No host has answered, which is ``error``: raised where no journal is known either. ``UsageError`` where it cannot
    be told which one is meant."""
    from agenthost.transport.places import Places, hosts_with_state

    if WHERE.socket:
        raise error
    names = hosts_with_state()
    if not names or (WHERE.host and WHERE.host not in names):
        raise error
    if WHERE.host:
        return Places(WHERE.host).journal
    if len(names) == 1:
        return Places(names[0]).journal
    hint = f"name one with --host: {', '.join(names)}"
    raise UsageError("cannot tell which journal is meant: no host runs", hint=hint) from None


@contextmanager
def instead_of_host(error: NoHost, file: Path | None = None, *, is_told: bool = False) -> Iterator[SqliteReader]:
    """What the journal in ``file`` knows, without it the one of the host that has not answered. ``is_told``: so much is
    known to whoever asks."""
    from agenthost.journal.sqlite.reading import SqliteReader

    where = file or database_without(error)
    if file is None and not is_told:
        print(f"agenthost: no host answers; this is what its journal has: {printable(where)}", file=sys.stderr)
    with SqliteReader(where) as reader:
        yield reader
