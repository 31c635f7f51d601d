"""``agenthost inspect``: one agent or program as it is now, with the stack of its threads and its processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, normal
from agenthost.cli.cell_lines import process_lines
from agenthost.cli.showing import Plain, dump
from agenthost.observe.printable import printable, span


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The agent.", autocompletion=complete_path)],
    stack: Annotated[bool, typer.Option("--stack", "-s", help="With where its threads and tasks stand.")] = False,
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """What an agent does now: its turn, its processes, its stack.

    Nothing is changed by it: the agent goes on.
    """
    with client() as asked:
        seen = asked.request("inspect", {"path": normal(path), "stack": stack})
    if output is not Plain.text:
        dump(seen, output)
        return
    for line in page(seen, with_stack=stack):
        print(printable(line))


def page(seen: dict[str, Any], *, with_stack: bool) -> Iterator[str]:
    """``seen`` is the host's answer."""
    yield f"{seen['path']}: {', '.join(_facts(seen))}"
    yield ""
    yield "processes:"
    yield from (f"  {line}" for line in process_lines(seen))
    if with_stack:
        yield ""
        yield f"stack ({seen['stack_means']}):"
        yield from (f"  {line}" for line in seen["stack"].splitlines())


def _facts(seen: dict[str, Any]) -> Iterator[str]:
    yield "frozen" if seen["frozen"] else seen["state"]
    yield f"incarnation {seen['incarnation']}"
    if seen["pid"]:
        yield f"pid {seen['pid']}"
    if seen["turn"]:
        yield f"its turn lasts {span(seen['turn_s'])}"
    if seen["silent_s"] is not None:
        yield f"heard of {span(seen['silent_s'])} ago"


COMMANDS = {"inspect": inspect}
