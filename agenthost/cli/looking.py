"""Commands that look: status, tree, ps, events, logs, wait."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, matching
from agenthost.cli.showing import STATE_STYLES, Format, age, clock, dump, is_colourful, size, table
from agenthost.errors import NotRunning, TimedOut

Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATH]...", help="Paths or globs; all without.", autocompletion=complete_path),
]
Output = Annotated[Format, typer.Option("-o", "--output", help="Format.")]

RUNNING = {"ready", "done"}
"""States in which there is nothing to worry about; anything else makes ``status`` exit with 3."""


def status(paths: Paths = None, output: Output = Format.table) -> None:
    """The state of every agent. Exit status 3 if one of those asked for is not running."""
    with client() as asked:
        found = asked.request("status", {"paths": _select(asked, paths)})
    tree: list[dict[str, Any]] = found["tree"]
    if output in (Format.table, Format.wide):
        if not paths:
            _print_host(found["host"])
        _print_status(tree, wide=output is Format.wide)
    else:
        dump(found, output, items=tree)
    if any(row["kind"] == "worker" and row["state"] not in RUNNING for row in tree):
        raise typer.Exit(NotRunning.exit_code)


def tree(
    paths: Paths = None,
    processes: Annotated[bool, typer.Option("--processes", "-p", help="With each agent's processes.")] = False,
    output: Output = Format.table,
) -> None:
    """The supervision tree, with strategies, states and what agents have started."""
    with client() as asked:
        found = asked.request("status", {"paths": _select(asked, paths), "members": processes})
    if output not in (Format.table, Format.wide):
        dump(found, output, items=found["tree"])
        return
    for line in _branches(found["tree"]):
        print(line)


def ps(paths: Paths = None, output: Output = Format.table) -> None:
    """Every operating-system process of the host: its own, the agents', and what these have started."""
    with client() as asked:
        own = [] if paths else asked.request("ps")
        tree = asked.request("status", {"paths": _select(asked, paths), "members": True})["tree"]
    rows = [{"path": one["path"], "pid": one["pid"], "name": one["what"], "command": ""} for one in own]
    rows += [{"path": row["path"], **member} for row in tree for member in row.get("members", [])]
    if output is Format.table:
        titles = ("PATH", "PID", "NAME", "COMMAND")
        table(titles, [(row["path"], row["pid"], row["name"], row["command"]) for row in rows])
    else:
        dump(rows, output, items=rows)


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as things happen.")] = False,
    since: Annotated[int, typer.Option(metavar="OFFSET", help="Begin with this record.")] = 1,
    output: Output = Format.table,
) -> None:
    """What happened, one line a record. Survives a restart of the host's router."""
    offset = since
    with client() as asked:
        while True:
            try:
                # A following stream says something every two seconds; silence means it was lost.
                for batch in asked.stream("events", {"from": offset, "follow": follow}, timeout=10 if follow else 30):
                    if batch and batch[0]["offset"] > offset and offset > since:
                        break  # something between was lost: ask again from there
                    for record in batch:
                        _print_record(record, output)
                        offset = record["offset"] + 1
                else:
                    if not follow:
                        return
            except TimedOut:
                if not follow:
                    raise


def wait(
    path: Annotated[str, typer.Argument(metavar="PATH", autocompletion=complete_path)],
    state: Annotated[str, typer.Option("--for", help="ready, stopped, or any state of status.")] = "ready",
    timeout: Annotated[float | None, typer.Option(help="Seconds; exit status 124 after it.")] = None,
) -> None:
    """Wait until an agent is in a state."""
    with client() as asked:
        asked.request("wait", {"path": path, "for": state, "timeout_s": timeout}, timeout=None)


def _select(asked: Any, paths: list[str] | None) -> list[str]:
    if not paths:
        return []
    known = [row["path"] for row in asked.request("status")["tree"]]
    return [path for pattern in paths for path in matching(pattern, known)]


def _print_host(host: dict[str, Any]) -> None:
    wall = "in a PID namespace" if host["namespace"] else "without a PID namespace"
    print(
        f"host {host['name']}: {host['state']}, pid {host['pid']}, up {age(host['since'])}, "
        f"containment {host['containment']} {wall}\n"
    )


def _print_status(tree: list[dict[str, Any]], *, wide: bool) -> None:
    titles = ["PATH", "STATE", "PID", "RUN", "RESTARTS", "FOR", "MEMORY", "NOTE"]
    rows = []
    for row in tree:
        cell = row.get("cell") or {}
        state = " ".join([row["state"], *row["flags"]])
        note = _note(row)
        rows.append(
            [row["path"], state, row["pid"] or "", row["incarnation"] or "", row["restarts"] or "", age(row["since"]),
             size(cell.get("memory_bytes")), note if wide else note[:100]]
        )  # fmt: skip
    table(titles, rows, {1: STATE_STYLES})


def _note(row: dict[str, Any]) -> str:
    parts = [row["next"], row["reason"], "stopped by an operator" if row["held"] else None]
    return "; ".join(part for part in parts if part)


def _branches(tree: list[dict[str, Any]]) -> list[str]:
    lines = []
    roots = {row["path"] for row in tree}
    for row in tree:
        above = row["path"].rsplit("/", 1)[0] or "/"
        depth = row["path"].count("/") if row["path"] != "/" and above in roots else 0
        name = row["path"] if depth == 0 else row["path"].rsplit("/", 1)[1]
        facts = [row["state"], *row["flags"]]
        if row["kind"] == "supervisor":
            facts.append(row["strategy"])
        if row["pid"]:
            facts.append(f"pid {row['pid']}")
        if row["restarts"]:
            facts.append(f"{row['restarts']} restarts")
        text = f"{name}  {_tinted(row['state'], ', '.join(facts))}"
        lines.append("   " * max(0, depth - 1) + ("`- " if depth else "") + text)
        for member in row.get("members", []):
            lines.append("   " * depth + f"   {member['pid']} {member['command'] or member['name']}")
    return lines


def _tinted(state: str, text: str) -> str:
    if not is_colourful():
        return text
    codes = {"ready": "32", "stuck": "31", "gave_up": "31", "killing": "31", "down": "2", "done": "2"}
    return f"\033[{codes.get(state, '33')}m{text}\033[0m"


def _print_record(record: dict[str, Any], output: Format) -> None:
    from agenthost.observe.record import Record

    if output is not Format.table:
        print(json.dumps(record, default=str), flush=True)
        return
    shown = Record(**record)
    print(f"{shown.offset:>6} {clock(shown.at)} {shown.path:<24} {shown.sentence()}", flush=True)


COMMANDS = {"status": status, "tree": tree, "ps": ps, "events": events, "wait": wait}
