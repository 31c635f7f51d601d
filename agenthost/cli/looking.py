"""Commands that look at what is: status, tree, ps, wait."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from agenthost.cli.asking import Timeout, client, complete_path, look, paths_of
from agenthost.cli.showing import (
    STATE_STYLES,
    Column,
    Format,
    Plain,
    age,
    dump,
    is_terminal,
    shortened,
    size,
    table,
    tinted,
)
from agenthost.errors import AgenthostError, NotRunning
from agenthost.observe.printable import printable, said

Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Paths or globs; everything without.", autocompletion=complete_path),
]
Output = Annotated[Format, typer.Option("-o", "--output", help="Format.")]

RUNNING = {"ready", "done", "asleep"}
"""States in which there is nothing to worry about; a worker in any other makes ``status`` exit with 3."""


class Awaited(enum.StrEnum):
    """``stopped`` is every state in which there is no process; the others are states of ``status``."""

    stopped = "stopped"
    down = "down"
    starting = "starting"
    ready = "ready"
    asked = "asked"
    terminating = "terminating"
    killing = "killing"
    stuck = "stuck"
    waiting = "waiting"
    asleep = "asleep"
    done = "done"
    gave_up = "gave_up"


def status(paths: Paths = None, output: Output = Format.table) -> None:
    """The state of every agent.

    Exit status 3 if an agent or program among those asked for is neither ready, done nor asleep.
    """
    with client() as asked:
        found = look(asked, paths)
    tree: list[dict[str, Any]] = found["tree"]
    if output in (Format.table, Format.wide):
        if not paths:
            print(_host_line(found["host"]))
            for stray in found["host"].get("strays", ()):
                print(f"stray of an earlier life: {printable(stray['text'])}")
            if found["host"].get("journal", "well") != "well":
                print(f"nothing durable can be done: {printable(found['host']['journal'])}")
            print()
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
    """The supervision tree, with strategies and states.

    With -p also every process that each agent has started.
    """
    with client() as asked:
        found = look(asked, paths, members=processes)
    if output in (Format.table, Format.wide):
        _print_tree(found["tree"])
    else:
        dump(found, output, items=found["tree"])


def ps(paths: Paths = None, output: Output = Format.table) -> None:
    """Every operating-system process of the host.

    Its own (not with PATH), those of agents and programs, and what these have started; pids as seen from outside.
    """
    with client() as asked:
        own = [] if paths else asked.request("ps")
        rows = look(asked, paths, members=True)["tree"]
    found = [{"path": one["path"], "pid": one["pid"], "name": one["what"], "command": ""} for one in own]
    found += [{"path": row["path"], **member} for row in rows for member in row.get("members", [])]
    if output in (Format.table, Format.wide):
        columns = [Column("PATH"), Column("PID"), Column("NAME", miss=1), Column("COMMAND")]
        shown = [(one["path"], one["pid"], one["name"], one["command"]) for one in found]
        table(columns, shown, full=output is Format.wide)
    else:
        dump(found, output, items=found)


def wait(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Paths or globs.", autocompletion=complete_path)],
    state: Annotated[Awaited, typer.Option("--for", help="The state to wait for.")] = Awaited.ready,
    timeout: Timeout = None,
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """Wait until agents are in a state.

    All of those named must have been in it; exit status 124 if that takes longer than --timeout.
    """
    results = []
    with client() as asked:
        arguments = [{"path": path, "for": str(state), "timeout_s": timeout} for path in paths_of(asked, paths)]
        for _, result in asked.request_each("wait", arguments):
            if isinstance(result, AgenthostError):
                raise result
            results.append(result)
    if output is not Plain.text:
        dump(results, output)


def _host_line(host: dict[str, Any]) -> str:
    wall = "in a PID namespace" if host["namespace"] else "without a PID namespace"
    return (
        f"host {host['name']}: {host['state']}, pid {host['pid']}, up {age(host['since'])}, "
        f"containment {host['containment']} {wall}"
    )


_COLUMNS = [
    Column("PATH"),
    Column("STATE", styles=STATE_STYLES),
    Column("PID", miss=2),
    Column("RUN", miss=4),
    Column("RESTARTS", miss=1),
    Column("MAIL", miss=5),
    Column("FOR"),
    Column("MEMORY", miss=3),
]


def _print_status(tree: list[dict[str, Any]], *, wide: bool) -> None:
    columns = list(_COLUMNS)
    if wide:
        columns += [Column("CPU"), Column("PROCESSES"), Column("RESTART")]
    rows = []
    for row in tree:
        cell = row.get("cell") or {}
        cells = [row["path"], " ".join([row["state"], *row["flags"]]), row["pid"], row["incarnation"]]
        cells += [row["restarts"] or "", row.get("mailbox") or "", age(row["since"]), size(cell.get("memory_bytes"))]
        if wide:
            cpu_s = cell.get("cpu_s")
            cells += ["" if cpu_s is None else f"{cpu_s:.1f} s", cell.get("processes"), row["restart"]]
        rows.append([*cells, _note(row)])
    table([*columns, Column("NOTE")], rows, full=wide)


def _note(row: dict[str, Any]) -> str:
    held = "stays down until it is started" if row["held"] else ""
    own_words = printable(row.get("says", ""))
    return "; ".join(part for part in (row["next"], _members(row), said(row["reason"]), held, own_words) if part)


def _members(row: dict[str, Any]) -> str:
    """Of a pool."""
    if not row.get("pool"):
        return ""
    limit = f" of {row['live_limit']}" if row.get("live_limit") else ""
    return f"{row.get('live', 0)}{limit} live, {row['asleep']} asleep" if row.get("asleep") is not None else ""


def _print_tree(tree: list[dict[str, Any]]) -> None:
    known = {row["path"] for row in tree}
    last_of = {_parent(row["path"]): row["path"] for row in tree}
    for row in tree:
        above: list[str] = []
        path = row["path"]
        while path != "/" and _parent(path) in known:
            above.append(path)
            path = _parent(path)
        indent = "".join("   " if last_of[_parent(one)] == one else "|  " for one in reversed(above[1:]))
        branch = ("`- " if last_of[_parent(row["path"])] == row["path"] else "|- ") if above else ""
        name = row["path"].rsplit("/", 1)[1] if above else row["path"]
        print(f"{indent}{branch}{name}  {tinted(_facts(row), STATE_STYLES.get(row['state'], '33'))}")
        has_below = row["path"] in last_of and row["path"] in known and row["kind"] == "supervisor"
        under = indent + ("" if not above else "   " if branch == "`- " else "|  ") + ("|  " if has_below else "   ")
        for member in row.get("members", []):
            line = printable(f"{under}{member['pid']} {member['command'] or member['name']}")
            print(shortened(line, _terminal_width()) if is_terminal() else line)


def _parent(path: str) -> str:
    return path.rsplit("/", 1)[0] or "/"


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _facts(row: dict[str, Any]) -> str:
    facts = [row["state"], *row["flags"]]
    if row["kind"] == "supervisor":
        facts.append(row["strategy"])
    if row["pid"]:
        facts.append(f"pid {row['pid']}")
    if row["restarts"]:
        facts.append("1 restart" if row["restarts"] == 1 else f"{row['restarts']} restarts")
    return ", ".join(facts)


COMMANDS = {"status": status, "tree": tree, "ps": ps, "wait": wait}
