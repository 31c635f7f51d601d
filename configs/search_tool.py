"""A search tool that knows nothing of agenthost: JSON lines in, JSON lines out (config: ``protocol: lines``).

``python search_tool.py FILE_OR_FOLDER ...`` reads Markdown. ``{"find": TEXT, "limit": N}`` gives
``{"passages": [{"file", "line", "text"}, ...]}``, best first; ``text`` stands in the file word for word.
``{"quote": {"file", "line", "text"}}`` gives ``{"true": ...}``: whether it really stands there. Anything else gives
``{"error": ...}``. Files are read anew for each question, so an answer is about what is there now.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSAGE_MAX_CHARS = 320
LIMIT_MAX = 20
_WORD = re.compile(r"[a-z0-9][a-z0-9_]+")
_STOP = frozenset(
    """
    a an and are as at be by can do does for from has have how if in is it its of on or that the their them then there
    they this to was what when where which who why will with you your not no but so than into out up may must
    """.split()
)


@dataclass(frozen=True, slots=True)
class Passage:
    """``line`` counts from 1."""

    file: str
    line: int
    text: str


def words_of(text: str) -> list[str]:
    """The words that carry meaning, in lower case, without a plural's s."""
    found = (word for word in _WORD.findall(text.lower()) if word not in _STOP)
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]


def markdown_files(places: list[str]) -> list[Path]:
    files: list[Path] = []
    for place in map(Path, places):
        files += sorted(place.rglob("*.md")) if place.is_dir() else [place] if place.is_file() else []
    return files


def passages(file: Path) -> Iterator[Passage]:
    """Paragraphs, list items and table rows; no headings, no code. Long ones are cut at the end of a line."""
    begun, held, fenced = 0, list[str](), False
    lines = file.read_text(errors="replace").splitlines()
    for number, line in enumerate([*lines, ""], 1):
        mark = line.lstrip()
        if mark.startswith("```"):
            fenced = not fenced
        ends = not mark or fenced or mark.startswith(("```", "#", "|", "- ", "* ")) or bool(re.match(r"\d+\. ", mark))
        full = bool(held) and sum(map(len, held)) + len(held) + len(line) > PASSAGE_MAX_CHARS
        if held and (ends or full):
            yield Passage(str(file), begun, "\n".join(held))
            held = []
        if not mark or fenced or mark.startswith(("```", "#", "|--", "| --")):
            continue
        if not held:
            begun = number
        held.append(line)


def find(text: str, files: list[Path], limit: int) -> list[Passage]:
    """By the words in common; a rare word counts more, a passage of another language of words not at all."""
    wanted = set(words_of(text))
    all_passages = [(passage, Counter(words_of(passage.text))) for file in files for passage in passages(file)]
    spread = Counter(word for _, words in all_passages for word in words)
    rarity = {word: math.log(1 + len(all_passages) / spread[word]) for word in wanted if word in spread}
    scored = []
    for order, (passage, words) in enumerate(all_passages):
        score = sum(rarity[word] * (1 + 0.2 * min(words[word] - 1, 2)) for word in rarity if word in words)
        if score > 0 and len(passage.text) >= 40:
            scored.append((-score, order, passage))
    return [passage for _, _, passage in sorted(scored)[:limit]]


def stands_there(quote: dict[str, Any], files: list[Path]) -> bool:
    """Only files that the tool was given are looked into: a quote names a file, it does not open one."""
    for file in files:
        if str(file) == quote["file"]:
            lines = file.read_text(errors="replace").splitlines()
            wanted = str(quote["text"]).splitlines()
            return bool(wanted) and lines[quote["line"] - 1 : quote["line"] - 1 + len(wanted)] == wanted
    return False


def answer(question: Any, places: list[str]) -> dict[str, Any]:
    files = markdown_files(places)
    try:
        if "find" in question:
            limit = min(int(question.get("limit", 3)), LIMIT_MAX)
            found = find(str(question["find"]), files, limit)
            return {"passages": [{"file": item.file, "line": item.line, "text": item.text} for item in found]}
        return {"true": stands_there(question["quote"], files)}
    except (KeyError, TypeError, ValueError) as error:
        return {"error": f"cannot answer this: {error!r}; send find or quote"}


def main() -> None:
    if not markdown_files(sys.argv[1:]):
        sys.exit(f"cannot search: no Markdown in {sys.argv[1:]}; name a file or a folder")
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), sys.argv[1:])
        except json.JSONDecodeError as error:
            reply = {"error": f"cannot read this line: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
