"""Rules of the house that ruff does not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted(path for folder in ("agenthost", "workers") for path in (ROOT / folder).rglob("*.py"))
AVOIDED = {"manager", "master", "arbiter", "watcher", "job", "util", "utils", "helper", "helpers", "common", "legacy"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def broad_excepts(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    """Those that swallow what they catch; one that ends in ``raise`` only cleans up."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not isinstance(node.body[-1], ast.Raise):
            names = [node.type, *getattr(node.type, "elts", [])]
            if node.type is None or any(
                isinstance(n, ast.Name) and n.id in ("Exception", "BaseException") for n in names
            ):
                yield node


def words(name: str) -> set[str]:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return set(snake.split("_"))


def test_a_broad_except_has_its_reason_beside_it() -> None:
    bare = []
    for path in SOURCES:
        source = path.read_text()
        lines = source.splitlines()
        for handler in broad_excepts(ast.parse(source)):
            if not any("#" in line for line in lines[max(handler.lineno - 2, 0) : handler.lineno + 1]):
                bare.append(f"{relative(path)}:{handler.lineno}")
    assert bare == []


def test_names_are_our_words() -> None:
    avoided = []
    for path in SOURCES:
        definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        named = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, definitions)]
        avoided += [f"{relative(path)}: {name}" for name in (path.stem, *named) if words(name) & AVOIDED]
    assert avoided == []


def test_a_module_says_what_it_is_about() -> None:
    trees = ((path, ast.parse(path.read_text())) for path in SOURCES)
    assert [relative(path) for path, tree in trees if tree.body and not ast.get_docstring(tree)] == []
