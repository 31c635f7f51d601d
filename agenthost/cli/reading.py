"""Commands that read what was: ``logs``, what agents printed; ``events``, what happened to them.

Logs are files: they need no host and no living agent. Events are asked of the host, which keeps the last 20,000.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import WHERE, chosen, client, complete_path, look, normal, seconds
from agenthost.cli.showing import Lines, clock, tinted
from agenthost.errors import NoHost, NotPermitted, TimedOut, UnknownName, UsageError
from agenthost.observe.printable import printable

if TYPE_CHECKING:
    from agenthost.client.client import Client
    from agenthost.observe.logs import Line

Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Paths or globs, with all below them.", autocompletion=complete_path),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")]
Output = Annotated[Lines, typer.Option("-o", "--output", help="Format; json is one object a line.")]

_COLOURS = ("36", "33", "35", "34", "32")
_LEVELS = {"error": "1;31", "warning": "33", "good": "32", "info": ""}
_PATH_WIDTH = 16, 40


def logs(
    paths: Paths = None,
    follow: Follow = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with so many of the last lines.")] = 100,
    since: Annotated[
        float | None, typer.Option(metavar="TIME", parser=seconds, help="Only younger ones: 90s, 10m, 2h, 1d.")
    ] = None,
    grep: Annotated[str | None, typer.Option(metavar="REGEX", help="Only lines that it matches.")] = None,
    stderr: Annotated[bool, typer.Option("--stderr", help="Only what programs wrote to stderr.")] = False,
    output: Output = Lines.text,
) -> None:
    """What agents and programs have printed.

    Also those that have ended. Lines from stderr of a program are marked with "!".
    """
    from agenthost.observe.logs import Filter, logged_paths, tail
    from agenthost.observe.logs import follow as follow_lines

    pattern = _pattern(grep)
    folder, known = _folder()
    patterns = list(paths or ())
    silent = _silent(patterns, logged_paths(folder), known)
    if silent and known is None and not follow:
        raise UnknownName(f"cannot show logs of {', '.join(silent)}: none are kept", hint="see: agenthost logs")
    younger_s = time.time() - since if since is not None else None
    wanted = Filter(younger_s, pattern, frozenset({"err"} if stderr else ()))
    if follow:
        found = follow_lines(folder, patterns, lines=lines, wanted=wanted)
    else:
        found = iter(tail(folder, patterns, lines=lines, wanted=wanted))
    width = max(map(len, logged_paths(folder, patterns)), default=0)
    for line in found:
        width = max(width, min(len(line.path), _PATH_WIDTH[1]))
        print(_shown(line, width, output), flush=follow)


def events(
    paths: Paths = None,
    follow: Follow = False,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="Begin with so many of the last; 10 with -f, else all.")
    ] = None,
    since: Annotated[int, typer.Option(metavar="OFFSET", min=1, help="Begin with this record.")] = 1,
    output: Output = Lines.text,
) -> None:
    """What happened, one line a record.

    With -f it goes on until the host ends, also over a restart of the host's router.
    """
    from agenthost.observe.selection import selects

    patterns = list(paths or ())
    last = 10 if lines is None and follow and since == 1 else lines
    width = _PATH_WIDTH[0]
    with client() as asked:
        unknown = _unknown(asked, patterns)
        for record in _records(asked, since, follow, last, lambda path: not patterns or selects(patterns, path)):
            width = max(width, min(len(record["path"]), _PATH_WIDTH[1]))
            _print_record(record, width, output, flush=follow)
            unknown = None  # a temporary child is forgotten, and its records are still there
    if unknown is not None:
        raise unknown


def _unknown(asked: Client, patterns: list[str]) -> UnknownName | None:
    try:
        look(asked, patterns)
    except UnknownName as error:
        return error
    return None


def _records(
    asked: Client, since: int, follow: bool, last: int | None, wanted: Callable[[str], bool]
) -> Iterator[dict[str, Any]]:
    """Of those that are kept the ``last`` with a ``wanted`` path; then what comes, until the host has ended."""
    kept: deque[dict[str, Any]] = deque(maxlen=last)
    offset = since
    for batch in asked.stream("events", {"from": since, "follow": False}, timeout=30):
        kept.extend(record for record in batch if wanted(record["path"]))
        offset = batch[-1]["offset"] + 1 if batch else offset
    yield from kept
    while follow:
        try:
            # A following stream says something every two seconds; silence means that it was lost.
            for batch in asked.stream("events", {"from": offset, "follow": True}, timeout=10):
                if batch and batch[0]["offset"] > offset > since:
                    break  # something between was lost: ask again from there
                for record in batch:
                    offset = record["offset"] + 1
                    if wanted(record["path"]):
                        yield record
                    if record["name"] == "host.ended":
                        return
        except TimedOut:
            continue


def _print_record(record: dict[str, Any], width: int, output: Lines, *, flush: bool) -> None:
    from agenthost.observe.record import Record

    if output is Lines.json:
        print(json.dumps(record, default=str), flush=flush)
        return
    shown = Record(**record)
    head = f"{shown.offset:>6} {tinted(clock(shown.at), '2')} {tinted(f'{printable(shown.path):<{width}}', '36')}"
    print(f"{head} {tinted(shown.sentence(), _LEVELS[shown.level])}", flush=flush)


def _folder() -> tuple[str, list[str] | None]:
    """The log folder of the running host and its paths; else the folder of the only host that has left any."""
    from agenthost.transport.places import Places, state_root

    known: list[str] | None = None
    try:
        with client() as asked:
            found = asked.request("status")
            folder, known = str(found["host"]["logs"]), [row["path"] for row in found["tree"]]
    except NoHost:
        root = state_root(os.getuid(), os.environ)
        names = sorted(entry.name for entry in root.iterdir() if (entry / "logs").is_dir()) if root.is_dir() else []
        name = WHERE.host or (names[0] if len(names) == 1 else None)
        if name is None or name not in names:
            hint = f"name one with --host: {', '.join(names)}" if names else "nothing ran under this user yet"
            raise NoHost("cannot tell whose logs are meant: no host runs", hint=hint) from None
        folder = str(Places(name).logs)
    if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
        raise NotPermitted(f"cannot read {folder}: it belongs to another user", hint="read it as that user or as root")
    return folder, known


def _silent(patterns: list[str], logged: list[str], known: list[str] | None) -> list[str]:
    """Patterns without a log. ``UnknownName`` if the host does not know them either: of its agents, and of logs."""
    from agenthost.observe.selection import selects

    silent = [pattern for pattern in patterns if not any(selects([pattern], path) for path in logged)]
    if silent and known is not None:
        chosen([normal(pattern) for pattern in silent], [*known, *logged])
        print(f"agenthost: nothing was printed by {printable(', '.join(silent))}", file=sys.stderr)
    return silent


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"cannot use --grep {text!r}: {error}") from None


def _shown(line: Line, width: int, output: Lines) -> str:
    if output is Lines.json:
        return json.dumps(asdict(line))
    mark = "!" if line.stream == "err" else " "
    head = f"{clock(line.time_s)} {printable(line.path):<{width}}"
    return f"{tinted(head, _COLOURS[sum(line.path.encode()) % len(_COLOURS)])} {mark}{line.printable()}"


COMMANDS = {"events": events, "logs": logs}
