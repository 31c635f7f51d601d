"""``agenthost crashes``: records of what failed: attempts at messages, processes that ended though nobody wanted it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, is_known, known, normal, seconds, unknown
from agenthost.cli.cell_lines import process_lines
from agenthost.cli.databases import instead_of_host
from agenthost.cli.showing import Column, Format, Plain, clock, dump, table
from agenthost.errors import NoHost
from agenthost.observe.printable import printable, span

Look = Callable[[str, dict[str, Any]], Any]
File = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Of this journal, which needs no running host.")
]
app = typer.Typer(help="What failed, and what was known of it.", no_args_is_help=True, rich_markup_mode=None)
NAME = "crashes"


def ls(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="Of this agent and all below; all without.", autocompletion=complete_path),
    ] = None,
    since: Annotated[
        float | None, typer.Option(metavar="TIME", parser=seconds, help="Only younger ones: 90s, 10m, 2h, 1d.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="So many at most.")] = 50,
    file: File = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """List what failed, newest first."""
    younger = time.time() - since if since is not None else 0.0
    with _looking(file) as look:
        found = list(_some(look, normal(path) if path and path != "/" else "", younger, lines))
    if path and not found and file is None:
        _check_known(path)
    if output in (Format.table, Format.wide):
        columns = [Column("NUMBER"), Column("AT", miss=3), Column("AGENT"), Column("MESSAGE", miss=2)]
        columns += [Column("ATTEMPT", miss=4), Column("ENDED", miss=5), Column("REMEDY", miss=1), Column("REASON")]
        rows = [
            (
                *(one["number"], clock(one["at"]), one["path"], one["message"] or "", one["attempt"] or ""),
                *("yes" if one["ended"] else "", one["remedy"], one["reason"]),
            )
            for one in found
        ]
        where = f" of {normal(path)} or below" if path else ""
        younger_than = f" in the last {span(since)}" if since is not None else ""
        table(columns, rows, full=output is Format.wide, empty=f"No failure{where} is known{younger_than}.")
    else:
        dump(found, output, items=found, key="number")


def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As ls shows it.")],
    file: File = None,
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """All that was known of one when it failed."""
    with _looking(file) as look:
        one = look("crash", {"number": number})
    if output is Plain.text:
        print("\n".join(map(printable, page(one))))
    else:
        dump(one, output)


@contextlib.contextmanager
def _looking(file: Path | None) -> Iterator[Look]:
    """By the host; or in a database that no host needs to have open, where one is named or no host answers."""
    with contextlib.ExitStack() as open_ones:

        def offline(error: NoHost) -> Look:
            from agenthost.journal.crashes import look

            reader = open_ones.enter_context(instead_of_host(error, file))
            return lambda what, args: look(reader, what, args)

        if file is not None:
            yield offline(NoHost("a file is named"))
            return
        try:
            asked = open_ones.enter_context(client())
            asked.request("ping")
        except NoHost as error:
            yield offline(error)
        else:
            yield asked.request


def _check_known(path: str) -> None:
    """``UnknownName`` if nobody has ever heard of it."""
    try:
        with client() as asked:
            known(asked, path)
    except NoHost as error:
        from agenthost.cli.remembered import facts_of

        with instead_of_host(error, is_told=True) as reader:
            facts = facts_of(reader, normal(path))
        if not is_known(facts):
            raise unknown(facts) from None


def _some(look: Look, path: str, since: float, wanted: int) -> Iterator[dict[str, Any]]:
    before = 0
    while wanted > 0:
        limit = min(wanted, 100)
        found = look("crashes", {"path": path, "before": before, "since": since, "limit": limit})
        yield from found
        wanted -= len(found)
        if len(found) < limit:
            return
        before = found[-1]["number"]


# ---- the page


def page(one: dict[str, Any]) -> Iterator[str]:
    """A record as lines for a person."""
    details = one["details"]
    autopsy = details.get("autopsy", {})
    yield f"crash {one['number']} of {one['path']}, incarnation {one['incarnation']}, {_at(one['at'])}"
    yield ""
    yield from _fact("what", one["reason"])
    if one["ended"]:
        yield from _fact("process", f"ended: {one['ended']}" if one["ended"] != one["reason"] else "ended of it")
    else:
        yield from _fact("process", "went on")
    yield from _fact("kind", one["kind"])
    yield from _fact("fingerprint", one["fingerprint"])
    if one["message"]:
        yield from _fact("message", f"{one['message']}, attempt {one['attempt']}")
        yield from _fact("remedy", f"{one['remedy']} ({one['why']})" if one["remedy"] else "")
        spent = _amounts(one.get("spent", {}))
        yield from _fact("spent", f"{spent}, for the message so far" if spent else "")
    yield from _fact("usage", _amounts(details.get("usage", {})))
    yield from _fact("killed", ", ".join([*autopsy.get("killed", []), *details.get("killed", [])]))
    if autopsy:
        turn = f", {span(autopsy['turn_s'])} into its turn" if autopsy.get("turn_s") else ""
        yield from _fact("looked at", f"because: {autopsy['reason']}{turn}")
    yield from _block("processes then", process_lines(autopsy))
    yield from _block(f"stack ({autopsy.get('stack_means', '')})", autopsy.get("stack", "").splitlines())
    trace = details.get("trace", "").splitlines()
    yield from _block("traceback", trace)
    yield from _block("last lines", _without(details.get("lines", []), trace))
    if "lines_missing" in details:
        yield from _fact("last lines", f"not kept: {details['lines_missing']}")
    yield from _fact("left out", ", ".join(details.get("left_out", [])))
    yield from _fact("unreadable", details.get("unreadable", ""))


def _fact(name: str, text: str) -> Iterator[str]:
    if text:
        yield f"{name + ':':13} {' '.join(text.split())}"


def _block(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)


def _without(lines: list[str], trace: list[str]) -> list[str]:
    """What was printed before the traceback, which is shown by itself."""
    told = {line.strip() for line in trace}
    end = len(lines)
    while end and (lines[end - 1].strip() in told or not lines[end - 1].strip()):
        end -= 1
    return lines[:end] if trace else lines


_WORDS = {"tokens_in": "tokens in", "tokens_out": "tokens out", "tool_calls": "tool calls", "cost": "cost"}
_SPANS = {"lived_s": "lived", "cpu_s": "cpu", "wall_s": "turns took"}


def _amounts(used: dict[str, Any]) -> str:
    parts = [f"{_SPANS[name]} {span(value)}" for name, value in used.items() if name in _SPANS]
    parts += [f"{_WORDS.get(name, name)} {value:g}" for name, value in used.items() if name not in _SPANS]
    return ", ".join(parts)


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


for function in (ls, show):
    app.command(function.__name__)(function)
