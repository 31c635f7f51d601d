"""``agenthost budget``: what agents have used, and of how much; more for who has used it up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, known, normal
from agenthost.cli.showing import Column, Format, dump, table
from agenthost.core.budget.meters import FIELD_OF, METERS, SECONDS, WHOLE, shown
from agenthost.errors import UsageError

if TYPE_CHECKING:
    from agenthost.client.client import Client

NAME = "budget"
app = typer.Typer(name=NAME, help="What agents may use, and have used.", no_args_is_help=True)
_WORDS = {"stopped": "used up", "asks": "used up, asks", "falls_back": "fell back"}
_TIMES = {field: meter for meter, field in FIELD_OF.items()}


@app.command()
def show(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="This one, and what bounds it from above.", autocompletion=complete_path),
    ] = None,
    below: Annotated[bool, typer.Option("--below", help="It, and everything below that has used something.")] = False,
    output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table,
) -> None:
    """What was used, and of how much. Without PATH: all that the config bounds."""
    with client() as host:
        found = list(_sheets(host, known(host, path) if path else "", below=below))
    if output not in (Format.table, Format.wide):
        dump(found, output, items=found, key="path")
        return
    columns = [Column("PATH"), Column("SCOPE", miss=2), Column("METER"), Column("USED"), Column("OF"), Column("STATE")]
    rows = [row for sheet in found for row in _rows(sheet)]
    empty = f"Nothing of {normal(path)} is bounded, and it has used nothing." if path else "The config bounds nothing."
    table(columns, rows, full=output is Format.wide, empty=empty)


def _rows(sheet: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Its bounds, then what else it has used."""
    where, bounded = sheet["path"], set[str]()
    for bound in sheet["bounds"]:
        meter = bound["meter"]
        unit = f" {sheet['currency']}" if meter == "cost" and sheet["currency"] else ""
        state = _WORDS.get(bound["state"], "")
        if bound["scope"] != "turn":
            bounded.add(meter)
        yield where, bound["scope"], meter, shown(meter, bound["used"]), shown(meter, bound["of"]) + unit, state
    for name, value in sheet["used"].items():
        meter = _TIMES.get(name, name)
        if value and meter not in bounded:
            yield where, "", meter, shown(meter, value), "", ""


def _sheets(host: Client, path: str, *, below: bool) -> Iterator[dict[str, Any]]:
    if path and not below:
        yield from host.request("budgets", {"path": path})
        return
    after = ""
    wanted = {"path": path or "/", "below": True} if below else {"path": ""}
    while page := host.request("budgets", {**wanted, "after": after}):
        yield from page
        after = page[-1]["path"]


_METAVAR = {"wall": "TIME", "cpu": "TIME"}


def _more(meter: str, help: str) -> Any:
    return typer.Option(metavar=_METAVAR.get(meter, "AMOUNT"), help=help)


@app.command()
def grant(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Whose budget.", autocompletion=complete_path)],
    cost: Annotated[str | None, _more("cost", "In the currency of the prices.")] = None,
    tokens: Annotated[str | None, _more("tokens", "In and out together, such as 200k or 1M.")] = None,
    tokens_in: Annotated[str | None, _more("tokens_in", "Tokens that models are given.")] = None,
    tokens_out: Annotated[str | None, _more("tokens_out", "Tokens that models give.")] = None,
    tool_calls: Annotated[str | None, _more("tool_calls", "Programs run, and calls of other agents.")] = None,
    wall: Annotated[str | None, _more("wall", "That turns take, such as 10m.")] = None,
    cpu: Annotated[str | None, _more("cpu", "Of the processor, such as 30s.")] = None,
    processes: Annotated[str | None, _more("processes", "Programs and children that are started.")] = None,
    restarts: Annotated[str | None, _more("restarts", "By its supervisor.")] = None,
    turns: Annotated[str | None, _more("turns", "That end.")] = None,
) -> None:
    """Let it use so much more than the config says. What waits because of that goes on."""
    given = locals()
    wanted = [(meter, _amount(meter, given[meter])) for meter in METERS if given[meter] is not None]
    if not wanted:
        raise UsageError("cannot grant nothing", hint="name a meter and how much, such as --cost 5")
    with client() as host:
        for meter, amount in wanted:
            host.request("grant", {"path": normal(path), "meter": meter, "amount": amount})


def _amount(meter: str, text: str) -> float:
    from agenthost.config.budget_kinds import positive_count
    from agenthost.config.problem import Refused
    from agenthost.config.units import duration_s

    try:
        if meter in SECONDS:
            return duration_s(text, positive=True)
        return positive_count(text) if meter in WHOLE else float(text)
    except Refused as refused:
        raise UsageError(f"cannot grant {meter} {text}: {refused.what}", hint=refused.hint) from None
    except ValueError:
        raise UsageError(f"cannot grant {meter} {text}: it is no number") from None
