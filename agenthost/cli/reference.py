"""The list of commands in ``docs/commands.md``, generated from the commands themselves between two markers.

``python -m agenthost.cli.reference docs/commands.md`` writes it; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from agenthost.cli.main import app

BEGIN = "<!-- generated from agenthost/cli; python -m agenthost.cli.reference docs/commands.md -->"
END = "<!-- end of the generated part -->"


def reference() -> str:
    """Markdown: one section for each command."""
    group: Any = typer.main.get_command(app)
    return "\n\n".join("\n".join(_section(name, command)) for name, command in _commands(group))


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def with_reference(page: str) -> str:
    """``page`` with what stands between the markers made new."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    words = " ".join(_argument(param) for param in arguments)
    yield f"### {name}"
    yield ""
    yield f"`agenthost {name}{' [OPTIONS]' if options else ''}{f' {words}' if words else ''}`"
    for paragraph in command.help.split("\n\n"):
        yield ""
        yield " ".join(paragraph.split())
    if command.params:
        yield ""
        yield "| | default | |"
        yield "| --- | --- | --- |"
        for param in [*arguments, *options]:
            shown = _argument(param) if param in arguments else _option(param)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in (shown, _default(param), param.help)) + " |"


def _argument(param: Any) -> str:
    word = f"{param.metavar or param.name.upper()}{'...' if param.nargs == -1 else ''}"
    return word if param.required else f"[{word}]"


def _option(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*sorted(param.opts, key=len), *param.secondary_opts])
    values = param.metavar or "|".join(map(str, getattr(param.type_descriptor, "choices", None) or ()))
    return f"{names} {values or ('N' if not param.is_flag else '')}".strip()


def _default(param: Any) -> str:
    if param.required or param.default in (None, "", False):
        return ""
    if param.default is True:
        return f"`{param.opts[0]}`"
    return f"{param.default:g} s" if isinstance(param.default, float) else f"`{param.default}`"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(with_reference(target.read_text(encoding="utf-8")), encoding="utf-8")
