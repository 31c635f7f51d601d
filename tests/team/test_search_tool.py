"""The search tool: a program that reads Markdown, and speaks lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.team.conftest import CONFIGS

BOOK = """# The book of birds

An owl hunts at night and hears
a mouse below the snow.

- A sparrow lives in towns, near people and their crumbs.
- A swift sleeps on the wing, a kilometre above the ground.

| bird | egg of what colour it lays in spring |
|------|--------------------------------------|
| robin | blue as the sky over the mountains |

```text
an owl in a block of code, which is no passage to quote
```
"""


@pytest.fixture
def books(tmp_path: Path) -> list[Path]:
    (tmp_path / "birds.md").write_text(BOOK)
    (tmp_path / "notes.txt").write_text("An owl in a file that is no Markdown.")
    return [tmp_path / "birds.md"]


def texts(tool: ModuleType, question: str, files: list[Path], limit: int = 3) -> list[str]:
    return [passage.text for passage in tool.find(question, files, limit)]


def test_the_passage_with_the_rare_words_comes_first(search_tool: ModuleType, books: list[Path]) -> None:
    assert texts(search_tool, "Where do swifts sleep?", books)[0].startswith("- A swift sleeps on the wing")
    assert texts(search_tool, "which colour has the egg of a robin", books)[0].startswith("|")


def test_a_passage_stands_in_its_file_word_for_word(search_tool: ModuleType, books: list[Path]) -> None:
    (passage,) = search_tool.find("owl night mouse snow", books, 1)
    assert passage.text == "An owl hunts at night and hears\na mouse below the snow."
    assert BOOK.splitlines()[passage.line - 1] == "An owl hunts at night and hears"


def test_headings_and_code_are_no_passages(search_tool: ModuleType, books: list[Path]) -> None:
    found = texts(search_tool, "owl block of code, book of birds", books, 20)
    assert not [text for text in found if "code" in text or "book" in text]


def test_nothing_is_found_where_no_word_is_shared(search_tool: ModuleType, books: list[Path]) -> None:
    assert texts(search_tool, "submarine", books) == []
    assert texts(search_tool, "the of and", books) == []


def test_a_long_paragraph_is_cut_at_the_end_of_a_line(search_tool: ModuleType, tmp_path: Path) -> None:
    lines = [f"line {number} of a paragraph that goes on and on about penguins" for number in range(20)]
    (tmp_path / "long.md").write_text("\n".join(lines))
    passages = list(search_tool.passages(tmp_path / "long.md"))
    assert "\n".join(passage.text for passage in passages) == "\n".join(lines)
    assert all(len(passage.text) <= search_tool.PASSAGE_MAX_CHARS for passage in passages)
    assert [lines[passage.line - 1] for passage in passages] == [passage.text.split("\n")[0] for passage in passages]


def ask(places: list[str], *questions: str) -> list[dict[str, Any]]:
    """The program itself, through its pipes."""
    command = [sys.executable, str(CONFIGS / "search_tool.py"), *places]
    done = subprocess.run(command, input="\n".join(questions), capture_output=True, text=True, check=True, timeout=30)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_line_gets_one_line_also_what_cannot_be_read(books: list[Path]) -> None:
    replies = ask([str(books[0].parent)], '{"find": "owl", "limit": 1}', "nonsense", "[]", '{"other": 1}', "")
    assert [sorted(reply) for reply in replies] == [["passages"], ["error"], ["error"], ["error"]]


def test_a_quote_is_true_only_where_it_really_stands(books: list[Path]) -> None:
    file = str(books[0])
    good = {"file": file, "line": 3, "text": "An owl hunts at night and hears\na mouse below the snow."}
    bad: list[dict[str, Any]] = [
        {**good, "line": 4},
        {**good, "text": "An owl hunts by day."},
        {**good, "text": ""},
        {**good, "file": str(books[0].parent / "notes.txt"), "line": 1},
    ]
    replies = ask([file], *(json.dumps({"quote": quote}) for quote in [good, *bad]))
    assert replies == [{"true": True}, *[{"true": False}] * len(bad)]


def test_a_tool_with_nothing_to_search_says_so_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, str(CONFIGS / "search_tool.py"), str(tmp_path)]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "cannot search: no Markdown" in done.stderr
