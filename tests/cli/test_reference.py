"""``docs/commands.md`` is what the commands say."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from agenthost import errors
from agenthost.cli.main import app
from agenthost.cli.reference import BEGIN, END, with_reference
from agenthost.core.life import Life

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/commands.md").read_text()


def test_the_page_is_up_to_date() -> None:
    assert with_reference(PAGE) == PAGE, "python -m agenthost.cli.reference docs/commands.md"
    assert PAGE.count(BEGIN) == PAGE.count(END) == 1


def test_every_exit_status_of_an_error_is_in_the_table() -> None:
    table = PAGE.partition("## Exit statuses")[2].partition("\n## ")[0]
    statuses = {int(row) for row in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert statuses == {0, 130} | {kind.exit_code for kind in errors.BY_CODE.values()}


def test_every_state_is_in_the_table() -> None:
    table = PAGE.partition("## States")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", table)) - {"busy", "computing"} == {str(life) for life in Life}


def test_the_readme_lists_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    group = typer.main.get_command(app)
    assert [name for name in group.commands if f"`{name}`" not in readme and f"`{name} " not in readme] == []  # type: ignore[attr-defined]
