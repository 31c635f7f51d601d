"""``agenthost sessions``: what is remembered of agents, whether they run or not: looked at, copied, moved, removed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, normal
from agenthost.cli.showing import Column, Format, Plain, age, dump, size, table
from agenthost.errors import NotRunning, ProtocolError, UnknownName
from agenthost.observe.printable import printable

if TYPE_CHECKING:
    from agenthost.client.client import Client
    from agenthost.journal.values import Logged

app = typer.Typer(help="What is remembered of agents.", no_args_is_help=True, rich_markup_mode=None)
NAME = "sessions"

PAGE = 1000
SHOWN = 5
"""Entries at the end of ``show``."""
STATE_SHOWN_BYTES = 64 * 1024

Path_ = Annotated[
    str, typer.Argument(metavar="PATH", help="The session: its agent's path.", autocompletion=complete_path)
]
Stop = Annotated[bool, typer.Option("--stop", help="If its agent runs, stop it for that, and start it again.")]


def ls(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="This one and all below; all without.", autocompletion=complete_path),
    ] = None,
    after: Annotated[str, typer.Option(metavar="PATH", help="Only those that come after this path.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="So many at most; 0 for all.")] = 100,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """List sessions by path.

    If there are more, stderr says how to go on.
    """
    columns = [Column("SESSION"), Column("ENTRIES"), Column("STATE"), Column("CHANGED"), Column("CREATED", miss=1)]
    last = ""
    with client() as asked:
        found = _all(asked, normal(path) if path else "", normal(after) if after else "")
        listed = islice(found, min(limit, sys.maxsize)) if limit else found
        while page := list(islice(listed, PAGE if output not in (Format.json, Format.yaml) else None)):
            last = page[-1]["path"]
            if output in (Format.table, Format.wide):
                table(columns, [_row(one) for one in page], full=output is Format.wide)
            else:
                dump(page, output, items=page)
        if not last and output in (Format.json, Format.yaml):
            dump([], output)
        if last and limit and next(found, None) is not None:
            print(f"agenthost: there are more; go on with: --after {printable(last)}", file=sys.stderr)


def show(
    path: Path_,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many entries from its end.")] = SHOWN,
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """One session: its log's end, its checkpoints, its state.

    The state is shown as JSON if it is not longer than 64 KiB; -o json has it always.
    """
    from agenthost.cli.session_files import entries, state_of

    path = normal(path)
    with client() as asked, _near(asked, path):
        about = asked.request("session", {"path": path})
        if about.get("removed"):
            if output is Plain.text:
                print(f"{printable(path)}: removed {_at(about['removed'])}, {about['last_seq']} entries before")
            else:
                dump(about, output)
            return
        after = max(about["first_seq"] - 1, about["last_seq"] - lines)
        log = list(entries(asked, path, after, about["last_seq"])) if lines else []
        is_long = output is Plain.text and about["state_bytes"] > STATE_SHOWN_BYTES
        kept = None if is_long else state_of(asked, path)
    state = None if kept is None else plain_body(kept.state)
    if output is not Plain.text:
        dump({**about, "log": [_entry(one) for one in log], "state": state}, output)
        return
    print(f"{printable(path)}: {_counted(about['last_seq'] - about['first_seq'] + 1, 'entry', 'entries')}, ", end="")
    print(f"state {size(about['state_bytes'])}, version {about['state_version']}")
    print(f"created {_at(about['created'])}, changed {_at(about['changed'])}", end="")
    print(f", ended {_at(about['ended'])}" if about["ended"] else "")
    if about["mail"]:
        print(f"{_counted(about['mail'], 'message', 'messages')} waiting")
    for point in about["checkpoints"]:
        print(f"checkpoint {printable(point['name'])}, {_at(point['at'])}, at entry {point['seq']}")
    for one in log:
        broken = " (broken off)" if one.broken else ""
        text = json.dumps(plain_body(one.body), ensure_ascii=False, default=str)
        print(f"{one.seq:>6} {_at(one.at_ms / 1000)} {printable(one.type)}{broken} {printable(text)}")
    if is_long:
        print(f"its state is {size(about['state_bytes'])}: see it with -o json")
    elif kept is not None:
        dump(state, "json")


def export(path: Path_) -> None:
    """Write a session to stdout: lines of JSON, bytes as base64.

    State, checkpoints and log as they are at one moment, also while its agent runs.
    """
    from agenthost.cli.session_files import exported

    with client() as asked, _near(asked, normal(path)):
        for line in exported(asked, normal(path)):
            sys.stdout.write(line.decode())


def import_(
    path: Path_,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What export has written; - reads it from stdin.")],
    stop: Stop = False,
) -> None:
    """Give a path the state and the log that a file has.

    There must be no session at that path. Times are those of the import, checkpoints are not brought along.
    """
    from agenthost.cli.session_files import check, imported, opened

    with opened(file) as lines:
        check(lines)
        lines.seek(0)
        with client() as asked, _near(asked, path), _at_rest(asked, normal(path), stop):
            last = imported(asked, normal(path), lines)
    print(f"{_counted(last, 'entry', 'entries')} in {printable(normal(path))}")


def fork(
    source: Path_,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The path of the new one.")],
    at: Annotated[str, typer.Option("--at", metavar="NAME", help="As it was at this checkpoint.")] = "",
    stop: Stop = False,
) -> None:
    """Copy a session to the path of another agent.

    There must be no session at that path. Mail is not copied.
    """
    with client() as asked, _near(asked, source):
        asked.request("fork", {"path": target, "source": source, "checkpoint": at, "stop": stop})


def rm(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Paths of sessions.", autocompletion=complete_path)
    ],
    stop: Annotated[bool, typer.Option("--stop", help="If its agent runs, stop it for good.")] = False,
) -> None:
    """Remove state, log, checkpoints and open mail of sessions.

    A tombstone stays: mail for a removed session is refused until "sessions revive".
    """
    for path in paths:
        with client() as asked, _near(asked, path):
            asked.request("session", {"path": path})  # a name that was never there is a mistake
            asked.request("remove", {"path": path, "stop": stop})


def revive(path: Path_) -> None:
    """Let a removed session begin anew, empty.

    Its log goes on with the next number.
    """
    with client() as asked, _near(asked, path):
        asked.request("revive", {"path": path})


def rollback(
    path: Path_,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the checkpoint.")],
    stop: Stop = False,
) -> None:
    """Make the state of a session what it was at a checkpoint.

    The log stays as it is.
    """
    with client() as asked, _near(asked, path):
        asked.request("rollback", {"path": path, "checkpoint": name, "stop": stop})


@contextmanager
def _near(asked: Client, path: str) -> Iterator[None]:
    """A name that is unknown is looked for among the sessions nearby."""
    try:
        yield
    except UnknownName as error:
        if error.hint:
            raise
        import difflib

        above = normal(path).rpartition("/")[0]
        known = [one["path"] for one in asked.request("sessions", {"prefix": above, "limit": PAGE})]
        near = [] if normal(path) in known else difflib.get_close_matches(normal(path), known, n=1)
        raise UnknownName(error.message, hint=f"did you mean {near[0]}?" if near else None) from None


@contextmanager
def _at_rest(asked: Client, path: str, stop: bool) -> Iterator[None]:
    """Around more than one request: the agent does not run meanwhile, if it is to be stopped for that."""
    was_stopped = False
    if stop:
        from agenthost.cli.session_files import check_target

        check_target(asked, path)
        try:
            asked.request("stop", {"path": path, "reason": "its session is imported"}, timeout=None)
            was_stopped = True
        except (NotRunning, UnknownName):
            pass  # so much the better
    try:
        yield
    finally:
        if was_stopped:
            asked.request("start", {"path": path}, timeout=None)


def _all(asked: Client, prefix: str, after: str) -> Iterator[dict[str, Any]]:
    while page := asked.request("sessions", {"prefix": prefix, "after": after, "limit": PAGE}):
        yield from page
        after = page[-1]["path"]


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    kept = one["last_seq"] - one["first_seq"] + 1
    return one["path"], kept, size(one["state_bytes"]), f"{age(one['changed'])} ago", f"{age(one['created'])} ago"


def _entry(one: Logged) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "at": one.at_ms / 1000,
        "type": one.type,
        "body": plain_body(one.body),
        "message": one.message,
        "attempt": one.attempt,
        "broken": one.broken,
    }


def plain_body(packed: bytes) -> Any:
    """As JSON can show it."""
    from agenthost.protocol.codec import unpack_body

    try:
        return unpack_body(packed)
    except ProtocolError:
        return packed.hex()


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


COMMANDS: dict[str, Callable[..., None]] = {
    "ls": ls,
    "show": show,
    "export": export,
    "import": import_,
    "fork": fork,
    "rm": rm,
    "revive": revive,
    "rollback": rollback,
}
for name, function in COMMANDS.items():
    app.command(name)(function)
