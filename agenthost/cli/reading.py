"""``logs``: what agents and programs have printed. Reads files; needs no host and no living agent."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agenthost.cli.asking import WHERE, client, complete_path
from agenthost.cli.showing import Format, is_colourful
from agenthost.errors import NoHost, NotPermitted, UnknownName, UsageError

if TYPE_CHECKING:
    from agenthost.observe.logs import Line

_COLOURS = (36, 33, 35, 34, 32)


def logs(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Paths or globs.", autocompletion=complete_path)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Begin with so many of the last lines.")] = 100,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only younger ones: 90s, 10m, 2h, 1d.")] = None,
    grep: Annotated[str | None, typer.Option(metavar="REGEX", help="Only lines that it matches.")] = None,
    stderr: Annotated[bool, typer.Option("--stderr", help="Only what programs wrote to stderr.")] = False,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """What agents and programs have printed, also those that have ended."""
    from agenthost.observe.logs import Filter, logged_paths, tail
    from agenthost.observe.logs import follow as follow_lines

    folder, patterns = _folder(), paths or []
    wanted = Filter(_since(since), _pattern(grep), frozenset({"err"} if stderr else ()))
    known = logged_paths(folder, patterns)
    if patterns and not known and not follow:
        raise UnknownName(f"cannot show logs of {', '.join(patterns)}: none are kept", hint="see: agenthost logs")
    if follow:
        found = follow_lines(folder, patterns, lines=lines, wanted=wanted)
    else:
        found = iter(tail(folder, patterns, lines=lines, wanted=wanted))
    width = max(map(len, known), default=0)
    for line in found:
        print(_shown(line, width, output), flush=follow)


def _folder() -> str:
    """The log folder of the running host, else of the only one that has left any."""
    from agenthost.transport.places import Places, state_root

    try:
        with client() as asked:
            folder = str(asked.request("status", {"paths": ["/"]})["host"]["logs"])
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
    return folder


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)", text)
    if found is None:
        raise UsageError(f"cannot read --since {text!r}: it is a number with s, m, h or d", hint="such as 10m")
    return time.time() - float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"cannot use --grep {text!r}: {error}") from None


def _shown(line: Line, width: int, output: Format) -> str:
    if output is not Format.table:
        return json.dumps(asdict(line))
    mark = "!" if line.stream == "err" else " "
    at = time.strftime("%H:%M:%S", time.localtime(line.time_s)) + f".{int(line.time_s % 1 * 1000):03d}"
    head = f"{at} {line.path:<{width}}"
    if is_colourful():
        head = f"\033[{_COLOURS[sum(line.path.encode()) % len(_COLOURS)]}m{head}\033[0m"
    return f"{head} {mark}{line.printable()}"


COMMANDS = {"logs": logs}
